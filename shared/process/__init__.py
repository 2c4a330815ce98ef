"""What a process of the app needs beside the sync: log lines, deadlines, the garbage collector."""
