"""What is kept after a study: rows, rows resolved, the watermark."""
