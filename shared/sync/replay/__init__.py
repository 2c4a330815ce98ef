"""The same road for a replay."""
