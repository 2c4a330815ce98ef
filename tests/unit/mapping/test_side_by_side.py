"""DICOM and FHIR line by line, and what the merge makes of each line."""

import pytest

from shared.mapping.side_by_side import Mark, SeriesSide, Side, lines, series_lines

PATIENT = {
    "identifier": [{"system": "urn:hospital", "value": "P-1"}],
    "name": [{"use": "usual", "family": "Doe", "given": ["Ann", "B"]}],
    "birthDate": "1970-01-01",
    "gender": "female",
}
STUDY = {
    "identifier": [
        {"system": "urn:dicom:uid", "value": "urn:oid:1.2"},
        {"type": {"coding": [{"code": "ACSN"}]}, "value": "A-7"},
    ],
    "started": "2024-01-01",
    "description": "Chest",
    "note": [{"text": "Chest"}],
    "modality": [{"code": "SR"}, {"code": "CT"}],
    "series": [
        {"uid": "1.2.1", "number": 3, "modality": {"code": "CT"}, "description": "Thin", "numberOfInstances": 2},
        {"uid": "1.2.2", "modality": {"code": "SR"}, "instance": [{"uid": "1.2.2.1"}]},
    ],
}
BOTH = Side(STUDY, PATIENT)


def nothing(_path):
    return False


def only(*paths):
    return lambda path: path in paths


def told(dicom, fhir, study=nothing, patient=nothing):
    return {line.name: line for line in lines(dicom, fhir, study, patient)}


def test_what_each_line_says():
    """In words that either side would know."""
    assert {name: line.dicom for name, line in told(BOTH, BOTH).items()} == {
        "PatientID": ("P-1 of urn:hospital",),
        "PatientName": ("Doe, Ann B",),
        "PatientBirthDate": ("1970-01-01",),
        "PatientSex": ("female",),
        "AccessionNumber": ("A-7",),
        "StudyDate, StudyTime": ("2024-01-01",),
        "StudyDescription": ("Chest",),
        "Modality": ("CT", "SR"),
        "Series": ("2",),
        "Instances": ("3",),
    }
    assert {line.mark for line in told(BOTH, BOTH).values()} == {Mark.SAME}


MARKS = [
    # what FHIR says otherwise, what the merge changes of study and Patient, line, its mark
    ({"description": "Knee", "note": []}, only("description"), nothing, "StudyDescription", Mark.DIFFERS),
    ({"description": "Knee", "note": []}, only("note"), nothing, "StudyDescription", Mark.DIFFERS),
    ({"description": "Knee", "note": []}, nothing, nothing, "StudyDescription", Mark.LEFT),
    ({"description": "Knee", "note": []}, None, None, "StudyDescription", Mark.UNKNOWN),
    ({}, None, None, "StudyDescription", Mark.SAME),
    ({"note": [{"text": "Chest"}, {"text": "by a person"}]}, nothing, nothing, "StudyDescription", Mark.SAME),
    ({"birthDate": "1971"}, nothing, nothing, "PatientBirthDate", Mark.LEFT),
    ({"birthDate": None}, nothing, only("birthDate"), "PatientBirthDate", Mark.DIFFERS),
    ({"name": [{"family": "Roe"}]}, only("subject"), nothing, "PatientName", Mark.DIFFERS),
    ({}, only("subject"), nothing, "PatientName", Mark.SAME),
    ({"identifier": []}, only("subject"), nothing, "PatientID", Mark.DIFFERS),
    ({"numberOfInstances": 9}, only("numberOfInstances"), nothing, "Instances", Mark.DIFFERS),
    ({"series": []}, only("series"), nothing, "Series", Mark.DIFFERS),
    ({}, only("series"), nothing, "Series", Mark.SAME),
]


@pytest.mark.parametrize(("said", "study", "patient", "line", "mark"), MARKS)
def test_the_merge_says_what_differs(said, study, patient, line, mark):
    """A line that it would not change is left, however it differs; where it could not be run nothing is known."""
    fhir = Side(STUDY | said, PATIENT | said)
    assert told(BOTH, fhir, study, patient)[line].mark is mark


def test_what_dicom_does_not_say_is_left():
    """FHIR may know more."""
    assert told(Side(), BOTH)["PatientSex"].mark is Mark.LEFT
    assert told(Side(), Side())["PatientSex"].mark is Mark.SAME


def test_a_side_that_could_not_be_read():
    """Nothing is said of it, also where the other has nothing either."""
    unread = Side(is_read=False)
    assert {line.mark for line in lines(Side(), unread, None, None)} == {Mark.UNKNOWN}
    assert told(BOTH, unread, None, None)["Instances"].fhir == ()
    assert {line.mark for line in series_lines(unread, BOTH, None)} == {Mark.UNKNOWN}


def test_series():
    """Those of DICOM first; what cannot be mapped is counted all the same."""
    dicom = Side(STUDY, PATIENT, {"1.2.1": 5, "1.2.3": 1})
    fhir = Side(STUDY | {"series": [STUDY["series"][0], {"uid": "1.9"}]})
    path = "series.where(uid = '1.9')"
    found = {line.series_instance_uid: line for line in series_lines(dicom, fhir, only(path))}
    assert list(found) == ["1.2.1", "1.2.2", "1.2.3", "1.9"]
    assert found["1.2.1"].dicom == SeriesSide("3", "CT", "Thin", "", 5)
    assert found["1.2.1"].fhir == SeriesSide("3", "CT", "Thin", "", 2)
    assert found["1.2.2"].fhir is None
    assert found["1.2.3"].dicom == SeriesSide("", "", "", "", 1)
    assert [found[uid].mark for uid in found] == [Mark.LEFT, Mark.LEFT, Mark.LEFT, Mark.DIFFERS]


ODD = [
    {"series": "none", "identifier": [None, "x", {"type": "ACSN"}], "modality": [7], "note": {"text": 1}, "started": 5},
    {"series": [None, {"uid": 5, "modality": "CT", "number": {}, "instance": 3}]},
]


@pytest.mark.parametrize("study", ODD)
def test_what_is_of_no_shape_is_shown_as_far_as_it_goes(study):
    """A FHIR server may hold anything."""
    odd = Side(study, {"name": [{"given": "Ann"}, 5], "identifier": {}, "birthDate": ["1970"]})
    assert len(lines(BOTH, odd, nothing, nothing)) == 10
    assert series_lines(BOTH, odd, None)
