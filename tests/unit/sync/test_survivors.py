"""A registry has merged Patients: the one that is left is linked, and nothing is written on the others."""

import copy

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")


def patient(id_, *targets, value="P-1", **more):
    links = [{"type": "replaced-by", "other": {"reference": one}} for one in targets]
    linked = {"link": [None, {"type": "seealso", "other": {"reference": "Patient/9"}}, *links]} if links else {}
    identifier = [{"value": value}] if value else []
    return {
        "resourceType": "Patient",
        "id": id_,
        "meta": {"versionId": "1"},
        "identifier": identifier,
        **linked,
        **more,
    }


CHAINS = [
    # name, what is there, whom the study is linked to
    ("the old alone carries it", [patient("1", "Patient/2", active=False), patient("2", value="Q")], "Patient/2"),
    ("both carry it", [patient("1", "Patient/2", active=False), patient("2")], "Patient/2"),
    ("it is not said to be inactive", [patient("1", "Patient/2"), patient("2", value="Q")], "Patient/2"),
    ("a versioned reference", [patient("1", "Patient/2/_history/3"), patient("2", value="Q")], "Patient/2"),
    ("merged twice", [patient("1", "Patient/2"), patient("2", "Patient/3", value="Q"), patient("3", value="R")], "Patient/3"),
    ("two merged into one", [patient("1", "Patient/3"), patient("2", "Patient/3"), patient("3", value="R")], "Patient/3"),
]  # fmt: skip


def sync(resources):
    fhir = FakeFhir(resources=copy.deepcopy(resources))
    name = {"vr": "PN", "Value": [{"Alphabetic": "Merged-Away^Now"}]}
    (outcome,) = StudySync(ports(fhir=fhir), OPTIONS).run_all([Study([entry(1, t00100010=name)])])
    studies = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    written = [
        one["resource"]["id"] for bundle in fhir.bundles for one in bundle["entry"] if one["request"]["method"] == "PUT"
    ]
    return outcome, [one["subject"]["reference"] for one in studies], written


@pytest.mark.parametrize(("name", "there", "linked"), CHAINS, ids=[row[0] for row in CHAINS])
def test_the_one_that_is_left_is_linked(name, there, linked):
    """It is written only where it carries the identifier itself."""
    outcome, subjects, written = sync(there)
    assert (outcome.failures, subjects) == ((), [linked])
    carries = {f"Patient/{one['id']}" for one in there if one["identifier"][0]["value"] == "P-1"}
    assert written == ([linked.split("/")[1]] if linked in carries else [])


ERRORS = [
    # what is there, what the row says
    ([patient("1", "Patient/2")], "Patient/1, replaced by Patient/2, which is not there"),
    ([patient("1", "Patient/2"), patient("2", "Patient/1", value="Q")], "Patient/2, replaced by Patient/1: a circle"),
    ([patient("1", "Patient/1")], "Patient/1, replaced by Patient/1: a circle"),
    ([patient("1", "Patient/2", "Patient/3")], "several (Patient/2, Patient/3)"),
    ([patient("1", "https://elsewhere/Patient/2")], "what is no Patient of this server"),
    ([patient("1", {"x": 1})], "what is no Patient of this server"),
    ([patient(str(n), f"Patient/{n + 1}", value="P-1" if n == 1 else "Q") for n in range(1, 20)], "more than 10 merges"),
    ([patient("1", "Patient/3"), patient("2"), patient("3", value="Q")], "several resources have the same identity: Patient/3, Patient/2"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "message"), ERRORS, ids=[row[1] for row in ERRORS])
def test_what_cannot_be_followed_is_a_row(there, message):
    """Nothing is written, and the row names it."""
    outcome, subjects, written = sync(there)
    assert (subjects, written) == ([], [])
    assert [message in one.message for one in outcome.failures] == [True]
