"""FHIR held against what the archive holds, study by study, and healed."""
