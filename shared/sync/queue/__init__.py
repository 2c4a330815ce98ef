"""The studies of a batch: which go now, together, again, later."""
