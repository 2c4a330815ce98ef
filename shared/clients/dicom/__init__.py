"""The DICOM service: its change feed, its studies, and what it holds of each."""
