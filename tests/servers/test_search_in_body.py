"""The search of the study page on FHIR servers as they are: what a person typed is found, and is in no URL."""

from uuid import uuid4

import requests

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.mapping.transaction import value_query


class Noting(HttpService):
    """Takes note of the URLs that it asks."""

    def __init__(self, url):
        super().__init__("FHIR server", url)
        self.asked = []

    def send(self, method, path, **others):
        self.asked.append(f"{method} {path}")
        return super().send(method, path, **others)


def made(fhir_url, resource):
    """The reference of a resource that is created."""
    answer = requests.post(f"{fhir_url}/{resource['resourceType']}", json=resource, timeout=30)
    return f"{resource['resourceType']}/{answer.json()['id']}"


def test_a_search_in_the_body(fhir_url):
    """Patients by PatientID and studies by accession number and by Patient, each the one that is meant."""
    number = uuid4().hex[:12]
    ids = [f"P+{name} {number}" for name in "ab"]
    patients = [made(fhir_url, {"resourceType": "Patient", "identifier": [{"value": one}]}) for one in ids]
    about = {"resourceType": "ImagingStudy", "status": "available", "subject": {"reference": patients[0]}}
    studies = [made(fhir_url, about | {"identifier": [{"value": f"A-{number}-{name}"}]}) for name in "cd"]
    http = Noting(fhir_url)
    client = FhirClient(http)

    def found(resource_type, query):
        return sorted(f"{resource_type}/{one['id']}" for one in client.first(resource_type, query))

    assert found("Patient", value_query(ids[0])) == [patients[0]]
    assert found("Patient", value_query("Nobody")) == []
    assert found("ImagingStudy", value_query(f"A-{number}-c")) == [studies[0]]
    assert found("ImagingStudy", f"subject={patients[0]}") == sorted(studies)
    assert client.capabilities.post_searches is True
    assert not [url for url in http.asked if number in url or "Nobody" in url]
