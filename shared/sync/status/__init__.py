"""Where the sync stands."""
