"""The app: mapping, syncing, and the clients of the outside systems."""
