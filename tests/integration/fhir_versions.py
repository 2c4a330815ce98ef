"""How often a resource was written: the versions that the FHIR server made of it."""

import requests


def times_written(fhir_url, resource):
    """A version number where the server counts its versions; else as many as its history has (R4 makes no promise)."""
    version = resource["meta"]["versionId"]
    if version.isdecimal():
        return int(version)
    url = f"{fhir_url}/{resource['resourceType']}/{resource['id']}/_history"
    history = requests.get(url, params={"_count": "100"}, headers={"Cache-Control": "no-cache"}, timeout=30).json()
    return len(history["entry"])
