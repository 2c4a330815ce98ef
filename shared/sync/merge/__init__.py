"""What FHIR should say: from what the archive holds, what FHIR says and what others wrote."""
