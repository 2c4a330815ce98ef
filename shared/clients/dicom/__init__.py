"""The DICOM service: its change feed, and its own account of a study."""
