"""Whose a resource is: ours by a sign that servers keep, and ours alone where nobody else has put anything on it."""

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import are_doubles, bears_no_sign, by_id, is_only_ours, is_ours, signed

URL = "https://dicom.example.org"
OPTIONS = MappingOptions(URL)
TAG = {"system": "urn:dicom-cast:source", "code": URL}
UID = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
ACCESSION = {"type": {"coding": [{"code": "ACSN"}]}, "value": "A"}


@pytest.mark.parametrize(
    ("meta", "ours"),
    [
        ({"source": URL}, True),
        ({"source": f"{URL}/"}, True),
        ({"source": f"{URL}#aGVsbG8"}, True),
        ({"source": "https://elsewhere.example.org"}, False),
        ({"source": f"{URL}.evil.example.org"}, False),
        ({}, False),
        ({"tag": [TAG]}, True),
        ({"tag": [{"system": "urn:other", "code": "x"}, TAG]}, True),
        ({"tag": [{"system": "urn:other", "code": URL}]}, False),
        ({"tag": [{"system": TAG["system"], "code": f"{URL}/partitions/north"}]}, False),
        ({"source": "#aGVsbG8", "tag": [TAG]}, True),
        ({"source": "https://ris.example.org", "tag": [TAG]}, False),
    ],
    ids=str,
)
def test_a_resource_is_ours_by_its_source_or_its_tag(meta, ours):
    """Servers drop the one or the other; another system's source says that it has made the resource its own."""
    assert is_ours({"meta": meta} if meta else {}, URL) is ours


@pytest.mark.parametrize(
    ("meta", "none"),
    [
        ({}, True),
        ({"source": "#aGVsbG8"}, True),
        ({"tag": [{"system": "urn:other", "code": URL}]}, True),
        ({"source": URL}, False),
        ({"source": "https://ris.example.org"}, False),
        ({"tag": [TAG]}, False),
        ({"tag": [{"system": TAG["system"], "code": "https://other.example.org"}]}, False),
    ],
    ids=str,
)
def test_a_resource_that_bears_no_sign(meta, none):
    """Neither ours nor another's: a request's id that HAPI puts in is no source."""
    assert bears_no_sign({"meta": meta} if meta else {}) is none


@pytest.mark.parametrize(
    ("more", "alone"),
    [
        ({}, True),
        ({"text": {"status": "generated"}, "numberOfSeries": 0, "procedureCode": [{"text": "CT"}]}, True),
        ({"identifier": [UID, ACCESSION]}, True),
        ({"description": "CT Thorax", "note": [{"text": "CT Thorax"}]}, True),
        ({"note": [{"text": "call the ward"}]}, False),
        ({"description": "CT Thorax", "note": [{"text": "CT Thorax"}, {"text": "call the ward"}]}, False),
        ({"note": [{"text": "CT Thorax"}, {"text": "call the ward"}]}, False),
        ({"note": [{"text": "CT Thorax", "authorString": "Ward"}]}, False),
        ({"identifier": [UID, {"system": "urn:ris", "value": "7"}]}, False),
        ({"identifier": [UID, {"value": "7"}]}, False),
        ({"basedOn": [{"reference": "ServiceRequest/1"}]}, False),
        ({"extension": [{"url": "urn:x"}]}, False),
        ({"_status": {"extension": [{"url": "urn:x"}]}}, False),
        ({"endpoint": [{"reference": "Endpoint/1"}, {"reference": "Endpoint/2"}]}, False),
    ],
    ids=str,
)
def test_a_study_is_ours_alone(more, alone):
    """Unless it says what the mapping does not write: what others have made their own is never deleted."""
    study = {"resourceType": "ImagingStudy", "id": "1", "meta": {"tag": [TAG]}, "identifier": [UID]}
    assert is_only_ours(study | more, OPTIONS) is alone


def test_without_the_extended_mapping_a_note_alone_is_ours():
    """There is no ImagingStudy.description then to tell it by."""
    study = {"resourceType": "ImagingStudy", "id": "1", "meta": {"tag": [TAG]}, "note": [{"text": "CT Thorax"}]}
    bare = MappingOptions(URL, extended=False)
    assert is_only_ours(study, bare)
    assert not is_only_ours(study | {"note": [*study["note"], {"text": "call the ward"}]}, bare)


def test_older_resources_get_their_tag_once():
    """Beside the tags of others; what has it stays as it is."""
    old = {"resourceType": "ImagingStudy", "meta": {"source": URL, "tag": [{"code": "x"}]}}
    new = signed(old, URL)
    assert new["meta"] == {"source": URL, "tag": [{"code": "x"}, TAG]}
    assert signed(new, URL) is new
    assert old["meta"]["tag"] == [{"code": "x"}]


def test_doubles_are_told_from_others_of_the_same_name():
    """All of our making, and nothing of others on any; their order is one that no write changes."""
    own = {"resourceType": "Patient", "id": "10", "meta": {"tag": [TAG]}, "identifier": [{"value": "P"}]}
    assert are_doubles([own, own | {"id": "9"}], OPTIONS)
    assert not are_doubles([own, own | {"id": "9", "meta": {}}], OPTIONS)
    assert not are_doubles([own, own | {"id": "9", "address": [{"text": "x"}]}], OPTIONS)
    assert not are_doubles([own, own | {"id": "9", "identifier": [{"value": "P"}, {"value": "Q"}]}], OPTIONS)
    assert min([own, own | {"id": "9"}], key=by_id)["id"] == "9"
