"""FHIR compared with what the archive holds, study by study, and healed."""
