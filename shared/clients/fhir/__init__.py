"""The FHIR server: its REST API (FHIR R4, http.html), its answers, and its capabilities."""
