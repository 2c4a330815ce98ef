"""IssuerOfPatientID as the system of a Patient: written as a URI, found as it was written before, refused as a guess."""

from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable
from shared.model.options import PatientUpdatePolicy
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeErrors, FakeFeed, FakeFhir, entry, ports
from tests.r4 import faults

ISSUED = MappingOptions("https://dicom.example.org", use_issuer=True)
NAMED = MappingOptions("https://dicom.example.org", patient_system="HOSPITAL A")
OPTIONS = BatchOptions(ISSUED, size=100, total_retry_seconds=100)
WRITTEN, FORMER = "HOSPITAL%20A", "HOSPITAL A"


def of(issuer, sequence=1):
    """An entry of a study of its own."""
    study = f"1.{sequence}"
    return entry(sequence, study=study, instance=f"{study}.1", t00100021=issuer, t00100040="F")


def held(system=None, id_="a"):
    """A Patient that somebody has made."""
    identifier = {"system": system, "value": "P-1"} if system else {"value": "P-1"}
    return {"resourceType": "Patient", "id": id_, "meta": {"versionId": "1"}, "identifier": [identifier]}


def synced(*entries, there=(), mapping=ISSUED):
    fakes = ports(feed=FakeFeed(list(entries)), fhir=FakeFhir(list(there)), errors=FakeErrors())
    run_batch(fakes, replace(OPTIONS, mapping=mapping))
    return fakes


def of_type(fakes, kind):
    return [one for one in fakes.fhir.resources if one["resourceType"] == kind]


def subjects(fakes):
    return {one["subject"]["reference"] for one in of_type(fakes, "ImagingStudy")}


@pytest.mark.parametrize("system", [None, WRITTEN])
def test_a_patient_without_a_type_is_not_given_the_identifier_twice(system):
    """`Patient__IdentifierType` is of those that the app makes; who is there is found, and stays as they are."""
    typed = replace(ISSUED, identifier_type="MR")
    there = held(system)
    fakes = synced(of(FORMER if system else None), there=[there], mapping=typed)
    assert of_type(fakes, "Patient")[0]["identifier"] == there["identifier"]
    made = synced(of(FORMER), of(FORMER, 2), mapping=typed)
    (patient,) = of_type(made, "Patient")
    assert [one["type"]["coding"][0]["code"] for one in patient["identifier"]] == ["MR"]
    assert faults(patient) == []


@pytest.mark.parametrize("mapping", [ISSUED, NAMED], ids=["issuer", "setting"])
def test_what_is_no_uri_is_written_as_one(mapping):
    """And found again: a second study is the same Patient's."""
    fakes = synced(of(FORMER), of(FORMER, 2), mapping=mapping)
    (patient,) = of_type(fakes, "Patient")
    assert patient["identifier"] == [{"system": WRITTEN, "value": "P-1"}]
    assert faults(patient) == []
    assert len(subjects(fakes)) == 1
    assert len(of_type(fakes, "ImagingStudy")) == 2


@pytest.mark.parametrize("mapping", [ISSUED, NAMED], ids=["issuer", "setting"])
@pytest.mark.parametrize("policy", list(PatientUpdatePolicy))
@pytest.mark.parametrize("system", [WRITTEN, FORMER])
def test_a_patient_under_either_spelling_is_used(system, policy, mapping):
    """With the identifier that it has; who has the PatientID under no system, or another's, is another."""
    others = [held(id_="b"), held("HOSPITAL", "c")]
    mapping = replace(mapping, patient_update_policy=policy)
    fakes = synced(of(FORMER), of(FORMER, 2), there=[held(system), *others], mapping=mapping)
    found, *rest = sorted(of_type(fakes, "Patient"), key=lambda one: one["id"])
    assert subjects(fakes) == {"Patient/a"}
    assert found["identifier"] == [{"system": system, "value": "P-1"}]
    assert ("gender" in found) == (policy is not PatientUpdatePolicy.NEVER)
    assert rest == others


def test_one_under_each_spelling_is_a_second_match():
    """Which of them it is, is not guessed."""
    fakes = synced(of(FORMER), there=[held(WRITTEN, "a"), held(FORMER, "b")])
    (row,) = fakes.errors.rows
    assert (row.exception, subjects(fakes)) == ("MultipleMatchingResourcesError", set())


def test_a_patient_under_both_spellings_is_one():
    """Somebody has mended it."""
    there = held(FORMER) | {"identifier": [{"system": one, "value": "P-1"} for one in (FORMER, WRITTEN)]}
    fakes = synced(of(FORMER), there=[there])
    assert subjects(fakes) == {"Patient/a"}
    assert of_type(fakes, "Patient")[0]["identifier"] == there["identifier"]


@pytest.mark.parametrize("issuer", [{"vr": "LO", "Value": ["A", "B"]}, "H" * 65], ids=["two", "long"])
def test_an_issuer_that_cannot_be_used_links_nobody(issuer):
    """Whoever has that PatientID without a system is another: nothing is written, and the row has the reason."""
    fakes = synced(of(issuer), there=[held()])
    (row,) = fakes.errors.rows
    assert row.table is ErrorTable.DICOM
    assert "IssuerOfPatientID" in row.message
    assert fakes.fhir.resources == [held()]
