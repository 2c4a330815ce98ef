"""`python -m local acceptance`: the app's whole life cycle on a FHIR server of the user's choice, then all removed."""
