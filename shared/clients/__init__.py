"""All I/O: one module per outside system, no domain rules."""
