"""The changes that entries make to a study."""
