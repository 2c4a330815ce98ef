"""The FHIR server: its REST API (FHIR R4, http.html), what it answers, and what it is like."""
