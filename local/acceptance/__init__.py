"""`python -m local acceptance`: tries the app's life cycle on a FHIR server of the user's choice, then removes all."""
