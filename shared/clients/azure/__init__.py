"""Azure Storage: the lease on a blob, and the tables."""
