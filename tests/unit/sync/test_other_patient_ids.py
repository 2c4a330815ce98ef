"""Numbers that a patient has besides: on the Patient where a setting says so, and nobody is ever found by one."""

from dataclasses import replace

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable
from shared.model.options import PatientUpdatePolicy
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeErrors, FakeFeed, FakeFhir, entry, ports
from tests.r4 import faults

SYSTEM = "urn:oid:1.2.3"
MAPPING = MappingOptions("https://d", issuer_systems={"HOSPITAL": SYSTEM}, other_patient_ids=True)
MARK = [{"url": "urn:dicom-cast:other-patient-id", "valueBoolean": True}]


def other(number, issuer="HOSPITAL", kind=None, universal=None, universal_type="ISO"):
    said = {"00100020": number, "00100021": issuer, "00100022": kind}
    item = {tag: {"vr": "LO", "Value": [value]} for tag, value in said.items() if value}
    if universal:
        parts = {"00400032": universal, "00400033": universal_type}
        item["00100024"] = {"vr": "SQ", "Value": [{tag: {"vr": "UT", "Value": [one]} for tag, one in parts.items()}]}
    return item


def of(number, *others, sequence=1):
    """An entry of a study of its own, of a patient of the hospital."""
    study = f"1.{sequence}"
    tags = {"t00100020": number, "t00100021": "HOSPITAL", "t00101002": {"vr": "SQ", "Value": list(others)}}
    return entry(sequence, study=study, instance=f"{study}.1", **tags)


def synced(*entries, mapping=MAPPING, there=()):
    fakes = ports(feed=FakeFeed(list(entries)), fhir=FakeFhir(list(there)), errors=FakeErrors())
    run_batch(fakes, BatchOptions(mapping, size=100))
    return fakes


def patients(fakes):
    return [one for one in fakes.fhir.resources if one["resourceType"] == "Patient"]


def numbers(patient):
    return [(one.get("system"), one["value"], one.get("use")) for one in patient["identifier"]]


SAYS = [
    # rule, items, further identifiers, tags that are told
    ("a number of a known issuer", [other("OLD-5")], [(SYSTEM, "OLD-5")], []),
    ("of an issuer that nobody knows", [other("OLD-5", "OTHER")], [], []),
    ("of no issuer", [other("OLD-5", None)], [], []),
    ("of a universal ID", [other("OLD-5", None, universal="1.9")], [("urn:oid:1.9", "OLD-5")], []),
    ("of a wristband", [other("OLD-5", kind="RFID"), other("OLD-6", kind="TEXT")], [(SYSTEM, "OLD-6")], []),
    ("the patient's own", [other("NEW-7")], [], []),
    ("the own number of another issuer", [other("NEW-7", None, universal="1.9")], [("urn:oid:1.9", "NEW-7")], []),
    ("an item that is broken", [other("OLD-5", universal="1.x"), other("OLD-6")], [(SYSTEM, "OLD-6")], ["(0010,1002)"]),
    ("an empty item", [{}], [], []),
]


@pytest.mark.parametrize(("rule", "items", "further", "told"), SAYS, ids=[row[0] for row in SAYS])
def test_the_numbers_of_a_patient(rule, items, further, told):
    """Each that says whose it is, as a secondary identifier that bears the app's mark."""
    fakes = synced(of("NEW-7", *items))
    (patient,) = patients(fakes)
    assert numbers(patient) == [(SYSTEM, "NEW-7", None), *((*one, "secondary") for one in further)], rule
    assert all(one["extension"] == MARK for one in patient["identifier"][1:])
    assert faults(patient) == []
    assert [row.message.split(" ")[0] for row in fakes.errors.rows] == told


def test_by_default_there_is_none():
    """They cannot be taken back: nothing tells which study a number on a Patient is from."""
    fakes = synced(of("NEW-7", other("OLD-5")), mapping=replace(MAPPING, other_patient_ids=False))
    assert len(patients(fakes)[0]["identifier"]) == 1


def test_nobody_is_found_by_one():
    """Who comes with that number as their own is another Patient, who is made, and found from then on."""
    entries = [of("NEW-7", other("OLD-5")), of("OLD-5", sequence=2), of("OLD-5", sequence=3)]
    fakes = synced(*entries[:1])
    fakes.feed.held = entries
    run_batch(fakes, BatchOptions(MAPPING, size=100))
    new, old = patients(fakes)
    assert (numbers(new)[0][1], numbers(old)) == ("NEW-7", [(SYSTEM, "OLD-5", None)])
    subjects = [one["subject"]["reference"] for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert subjects == ["Patient/1", "Patient/2", "Patient/2"]
    sent = len(fakes.fhir.bundles)
    fakes.watermarks.rewind()
    run_batch(fakes, BatchOptions(MAPPING, size=100))
    assert len(fakes.fhir.bundles) == sent
    assert [row for row in fakes.errors.rows if row.table is not ErrorTable.INVALID_TAG] == []


def test_who_has_it_by_a_registry_is_found():
    """A secondary identifier of another system's making is one as any."""
    theirs = {"use": "secondary", "system": SYSTEM, "value": "OLD-5"}
    there = {"resourceType": "Patient", "id": "1", "meta": {"versionId": "1"}, "identifier": [theirs]}
    fakes = synced(of("OLD-5"), there=[there])
    assert patients(fakes) == [there]


@pytest.mark.parametrize("policy", PatientUpdatePolicy)
def test_a_patient_who_is_there(policy):
    """Gets them besides what others wrote, once; by `never` nothing."""
    own = {"system": SYSTEM, "value": "NEW-7"}
    there = {"resourceType": "Patient", "id": "1", "meta": {"versionId": "1"}, "identifier": [{"value": "x"}, own]}
    mapping = replace(MAPPING, patient_update_policy=policy, identifier_type="MR")
    entries = [of("NEW-7", other("OLD-5")), of("NEW-7", other("OLD-6"), other("OLD-5"), sequence=2)]
    (patient,) = patients(synced(*entries, there=[there], mapping=mapping))
    added = [] if policy is PatientUpdatePolicy.NEVER else ["OLD-5", "OLD-6"]
    assert [one["value"] for one in patient["identifier"]] == ["x", "NEW-7", *added]
    assert patient["identifier"][:2] == there["identifier"]


def test_doubles_of_ours_are_doubles_with_other_numbers_too():
    """Two that two hosts made are told, and stop nothing."""
    sign = {"versionId": "1", "tag": [{"system": "urn:dicom-cast:source", "code": "https://d"}]}
    own = {"system": SYSTEM, "value": "NEW-7"}
    more = {"extension": MARK, "use": "secondary", "system": SYSTEM, "value": "OLD-5"}
    there = [{"resourceType": "Patient", "id": id_, "meta": sign, "identifier": [own, more]} for id_ in ("1", "2")]
    fakes = synced(of("NEW-7", other("OLD-5")), there=there)
    assert [row.exception for row in fakes.errors.rows] == ["DoubledPatient"]
