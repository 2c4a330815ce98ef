"""What a process of the app needs beside the sync: log lines, telemetry, deadlines, the garbage collector."""
