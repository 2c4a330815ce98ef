"""DICOM to FHIR. Pure: no I/O, no clock, no environment, no logger."""
