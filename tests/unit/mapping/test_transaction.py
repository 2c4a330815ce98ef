"""Writes -> one transaction Bundle."""

import pytest

from shared.mapping.transaction import (
    Create,
    Delete,
    Update,
    endpoint_query,
    identifier_query,
    marking,
    transaction_bundle,
    written,
)
from shared.model.fhir import Written


def test_each_write_is_guarded():
    """Creates by a search, updates and deletes by the version that was read: nothing is written over or twice."""
    held = {"resourceType": "ImagingStudy", "id": "5", "meta": {"versionId": "2"}}
    new = {"resourceType": "Patient"}
    create = Create("urn:uuid:1", new, "identifier=%7CP", "identifier=%7CP")
    bundle = transaction_bundle([create, Update(held), Delete(held, held)])
    assert bundle == {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": new,
                "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=%7CP"},
            },
            {
                "resource": held,
                "request": {"method": "PUT", "url": "ImagingStudy/5", "ifMatch": 'W/"2"'},
            },
            {"request": {"method": "DELETE", "url": "ImagingStudy/5", "ifMatch": 'W/"2"'}},
        ],
    }


@pytest.mark.parametrize(
    ("system", "value", "query"),
    [
        ("", "P-1", "identifier=%7CP-1"),
        ("urn:dicom:uid", "urn:oid:1.2", "identifier=urn%3Adicom%3Auid%7Curn%3Aoid%3A1.2"),
        ("", r"a,b|c$d\e&f", r"identifier=%7Ca%5C%2Cb%5C%7Cc%5C%24d%5C%5Ce%26f"),
    ],
)
def test_identifiers_are_escaped(system, value, query):
    """First for the token search, then for the URL: a comma would search for two, an ampersand end the value."""
    assert identifier_query(system, value) == query


def test_the_endpoint_is_found_by_its_whole_name():
    """A search for a string matches beginnings (search.html#string): one archive's URL may begin as another's.

    No condition begins with a modifier: HAPI answers 500 to that.
    """
    assert endpoint_query("E http://x", "s", "c") == "connection-type=s%7Cc&name:exact=E%20http%3A%2F%2Fx"


def test_what_is_to_go_is_marked_first():
    """By an update that If-Match guards; what is marked already needs no more."""
    held = {"resourceType": "ImagingStudy", "id": "5", "meta": {"versionId": "2"}, "status": "available"}
    marked = held | {"status": "cancelled"}
    assert marking([Delete(held, marked)]) == [Update(marked)]
    assert marking([Delete(marked, marked)]) == []
    assert marking([Update(held), Delete(marked, marked)]) == [Update(held)]


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        (Written(created=True, reference="Patient/7", version="1"), ("7", "1")),
        (Written(created=True, reference=None, version="1"), None),
        (Written(created=True, reference="Patient/7", version=None), None),
    ],
    ids=["told", "no reference", "no version"],
)
def test_what_is_not_told_is_not_remembered(answer, held):
    """A server need not answer a location, nor a version (bundle.html, Bundle.entry.response)."""
    (resource,) = written([Create("urn:uuid:1", {"resourceType": "Patient"}, "identifier=%7CP", "")], [answer])
    assert (resource and (resource["id"], resource["meta"]["versionId"])) == held
