"""All I/O: the clients of the outside systems, without domain rules."""
