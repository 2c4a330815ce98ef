"""Dose Observations on the real FHIR server: its searches find them, its versions do not shake the merge."""

from uuid import uuid4

import pytest
import requests

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.mapping.converters import urn
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_report, remove_report, report_query
from shared.mapping.dose.observation import ReportInstance
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.transaction import Create, transaction_bundle
from tests.dose_reports import ct, ct_event, num

SERVICE = "https://dicom.example.org"
OPTIONS = MappingOptions(SERVICE)
EVENT = f"2.25.{uuid4().int}"


@pytest.fixture(scope="module")
def fhir(fhir_url):
    return FhirClient(HttpService("FHIR server", fhir_url))


@pytest.fixture
def uid():
    return f"2.25.{uuid4().int}"


@pytest.fixture(scope="module")
def links(fhir_url):
    """The study and the patient of the reports: servers that hold references to be integral want them to be there."""
    patient = made(fhir_url, {"resourceType": "Patient"})
    study = {"resourceType": "ImagingStudy", "status": "available", "subject": {"reference": patient}}
    return {urn("ImagingStudy", "1.2.3"): made(fhir_url, study), urn("Patient", "", "P-1"): patient}


def made(fhir_url, resource):
    """The reference of a resource that is created."""
    answer = requests.post(f"{fhir_url}/{resource['resourceType']}", json=resource, timeout=30)
    return f"{resource['resourceType']}/{answer.json()['id']}"


def synced(fhir, uid, metadata, links):
    """How many Observations were written."""
    held = fhir.search("Observation", report_query(uid, OPTIONS))
    writes = merge_report(held, map_dose_report(metadata, OPTIONS), links, OPTIONS)
    if writes:
        fhir.transact(transaction_bundle(writes))
    return len(writes)


def test_a_report_from_create_to_delete(fhir, uid, links):
    """Written once; followed; taken away without those of another report of the same event."""
    other = f"2.25.{uuid4().int}"
    assert synced(fhir, other, ct(ct_event(1, event_uid=EVENT), SOPInstanceUID=other), links) == 2
    report = ct(ct_event(1, event_uid=EVENT), ct_event(2), SOPInstanceUID=uid, CompletionFlag="PARTIAL")
    assert synced(fhir, uid, report, links) == 3
    assert synced(fhir, uid, report, links) == 0
    corrected = ct(ct_event(1, event_uid=EVENT, dlp=num("DCM 113838 DLP", 7.46, "mGy.cm")), SOPInstanceUID=uid)
    assert synced(fhir, uid, corrected, links) == 3  # summary and event follow, the second event goes
    assert synced(fhir, uid, corrected, links) == 0
    held = fhir.search("Observation", report_query(uid, OPTIONS))
    assert [one["status"] for one in held] == ["final", "final"]
    fhir.transact(transaction_bundle(remove_report(held, ReportInstance("1.2.3", "1.2.3.9", uid), links, OPTIONS)))
    assert fhir.search("Observation", report_query(uid, OPTIONS)) == []
    assert len(fhir.search("Observation", report_query(other, OPTIONS))) == 2


def test_a_create_whose_answer_was_lost_is_not_done_twice(fhir, uid, links):
    """Conditional create: UIDs and code together find the one Observation."""
    mapped = map_dose_report(ct(ct_event(1), ct_event(2), SOPInstanceUID=uid), OPTIONS)
    writes = merge_report([], mapped, links, OPTIONS)
    assert all(isinstance(write, Create) for write in writes)
    created = [[one.created for one in fhir.transact(transaction_bundle(writes))] for _ in range(2)]
    assert created == [[True] * 3, [False] * 3]
    assert len(fhir.search("Observation", report_query(uid, OPTIONS))) == 3
