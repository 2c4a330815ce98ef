"""Writes -> one transaction Bundle."""

import pytest

from shared.mapping.transaction import Create, Delete, Update, endpoint_query, identifier_query, transaction_bundle


def test_each_write_is_guarded():
    """Creates by a search, updates and deletes by the version that was read: nothing is written over or twice."""
    held = {"resourceType": "ImagingStudy", "id": "5", "meta": {"versionId": "2"}}
    new = {"resourceType": "Patient"}
    bundle = transaction_bundle([Create("urn:uuid:1", new, "identifier=%7CP"), Update(held), Delete(held)])
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
    """A search for a string matches beginnings (search.html#string): one archive's URL may begin as another's."""
    assert endpoint_query("E http://x", "s", "c") == "name:exact=E%20http%3A%2F%2Fx&connection-type=s%7Cc"
