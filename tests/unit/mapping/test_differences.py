"""Which elements a write changes."""

import pytest

from shared.mapping.differences import ElementChange, differences

STUDY = {"resourceType": "ImagingStudy", "id": "7", "status": "available"}


def series(uid, *instances, **said):
    return {"uid": uid, **said, "instance": [{"uid": one} for one in instances]}


ROWS = [
    # what is rare, before, after, what is told: path, before, after
    ("nothing", {}, {}, []),
    ("a value", {"description": "Chest"}, {"description": "Knee"}, [("description", "Chest", "Knee")]),
    ("a value comes", {}, {"started": "2024-01-01"}, [("started", None, "2024-01-01")]),
    ("a value goes", {"started": "2024-01-01"}, {}, [("started", "2024-01-01", None)]),
    ("null", {"started": None}, {"started": "2024"}, [("started", None, "2024")]),
    ("within an object", {"subject": {"reference": "Patient/1", "display": "X"}}, {"subject": {"reference": "Patient/2", "display": "X"}},
     [("subject.reference", "Patient/1", "Patient/2")]),
    ("an object instead of a value", {"subject": "Patient/1"}, {"subject": {"reference": "Patient/1"}}, [("subject", "Patient/1", {"reference": "Patient/1"})]),
    ("items of a list", {"note": [{"text": "a"}, {"text": "b"}]}, {"note": [{"text": "a"}, {"text": "c"}, {"text": "d"}]},
     [("note", {"text": "b"}, {"text": "c"}), ("note", None, {"text": "d"})]),
    ("their order alone", {"modality": ["A", "B"]}, {"modality": ["B", "A"]}, [("modality", ["A", "B"], ["B", "A"])]),
    ("an element of a series", {"series": [series("1.2", number=1)]}, {"series": [series("1.2", number=2)]}, [("series.where(uid = '1.2').number", 1, 2)]),
    ("another order of series", {"series": [series("1.2"), series("1.3")]}, {"series": [series("1.3"), series("1.2")]}, []),
    ("a series comes", {"series": [series("1.2")]}, {"series": [series("1.2"), series("1.3", "1.3.1", "1.3.2")]},
     [("series.where(uid = '1.3')", None, {"uid": "1.3", "instance": 2})]),
    ("the first series", {}, {"series": [series("1.2", "1.2.1")]}, [("series.where(uid = '1.2')", None, {"uid": "1.2", "instance": 1})]),
    ("an instance goes", {"series": [series("1.2", "1.2.1", "1.2.2")]}, {"series": [series("1.2", "1.2.1")]},
     [("series.where(uid = '1.2').instance.where(uid = '1.2.2')", {"uid": "1.2.2"}, None)]),
    ("series without a uid", {"series": [{"number": 1}]}, {"series": [{"number": 1}, series("1.2")]}, [("series", None, series("1.2"))]),
    ("a uid that is twice", {"series": [series("1.2"), series("1.2")]}, {"series": [series("1.2")]}, [("series", [series("1.2"), series("1.2")], [series("1.2")])]),
    ("the version", {"meta": {"versionId": "1", "lastUpdated": "2024"}}, {"meta": {"versionId": "2"}}, []),
    ("a tag of meta", {"meta": {"versionId": "1"}}, {"meta": {"versionId": "2", "tag": [{"code": "a"}]}}, [("meta", None, {"tag": [{"code": "a"}]})]),
    ("our record", {"extension": [{"url": "urn:dicom-cast:last-applied", "valueString": "a"}]}, {"extension": [{"url": "urn:dicom-cast:last-applied", "valueString": "b"}]}, []),
    ("another extension", {"extension": [{"url": "urn:x"}]}, {}, [("extension", [{"url": "urn:x"}], None)]),
    ("odd meta and extension", {"meta": "x", "extension": "y"}, {}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "told"), ROWS, ids=[row[0] for row in ROWS])
def test_elements_that_differ(name, before, after, told):
    """Each with what it was and what it is to be; what the server writes, and our own record, is left out."""
    assert differences(STUDY | before, STUDY | after) == [ElementChange(*one) for one in told]


def test_what_is_made_is_new_in_each_element():
    """But for its id, which the server gives."""
    told = differences(None, STUDY | {"series": [series("1.2", "1.2.1")]})
    assert told == [
        ElementChange("resourceType", None, "ImagingStudy"),
        ElementChange("status", None, "available"),
        ElementChange("series.where(uid = '1.2')", None, {"uid": "1.2", "instance": 1}),
    ]


def test_what_is_deleted_changes_no_element():
    """All of it goes, and the method says so."""
    assert differences(STUDY, None) == []
