"""Azure Storage: the lease on a blob, and the tables, DICOM Cast's and the app's own."""
