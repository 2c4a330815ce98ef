"""What the triggers say over HTTP: JSON, problems, metrics, and the page for the night shift. Formats, no I/O."""
