"""The app's settings: what they are called, how they are read, and what they are by default."""
