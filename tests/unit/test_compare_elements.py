"""What `make compare` asks of FHIR: only what an instance says without doubt; where instances disagree, each is right."""

from datetime import timedelta, timezone

import pytest
from pydicom import Dataset

from local.compare_elements import PatientValues, patient_differences, study_differences
from local.compare_rules import Rules

SERIES = {"uid": "1.2.1", "modality": {"code": "CT"}}
STUDY = {"resourceType": "ImagingStudy", "id": "7", "series": [SERIES]}


def instance(**said):
    dataset = Dataset()
    for keyword, value in {"SeriesInstanceUID": "1.2.1", "Modality": "CT", **said}.items():
        setattr(dataset, keyword, value)
    return dataset.to_json_dict()


def odd(tag, vr, *values):
    """As no sound file says it."""
    return instance() | {tag: {"vr": vr, "Value": list(values)}}


DAY = {"StudyDate": "20260131"}
MOMENT = {**DAY, "StudyTime": "0727"}
NOT_STARTED = "started is not StudyDate and StudyTime"


@pytest.mark.parametrize(
    ("instances", "started", "told"),
    [
        ([instance()], "2026-01-31", []),
        ([instance(**DAY)], "2026-01-31", []),
        ([instance(**DAY)], "2026-01-30", [NOT_STARTED]),
        ([instance(**DAY)], None, [NOT_STARTED]),
        ([instance(**DAY, StudyTime="07")], "2026-01-31", []),
        ([instance(**MOMENT)], "2026-01-31T07:27:00+00:00", []),
        ([instance(**MOMENT)], "2026-01-31T07:27:00.000Z", []),
        ([instance(**MOMENT)], "2026-01-31T07:27:00+01:00", [NOT_STARTED]),
        ([instance(**MOMENT, TimezoneOffsetFromUTC="+0100")], "2026-01-31T07:27:00+01:00", []),
        ([instance(**MOMENT, TimezoneOffsetFromUTC="+9900")], "2026-01-31T07:27:00+00:00", []),
        ([instance(**DAY, StudyTime="072730.123456")], "2026-01-31T07:27:30.123+00:00", []),
        ([instance(**DAY), instance(**MOMENT)], "2026-01-31", []),
        ([instance(**DAY), instance(**MOMENT)], "2026-01-31T07:27:00+00:00", []),
        ([odd("00080020", "DA", "2026.01.31")], "2026-01-31", []),
        ([odd("00080020", "DA", "20260231")], "1999", []),
        ([odd("00080020", "DA", "20260131", "20260201")], "1999", []),
    ],
)
def test_when_the_study_started(instances, started, told):
    """To the millisecond, in the instance's zone or the settings'; a time needs its minutes."""
    study = STUDY if started is None else {**STUDY, "started": started}
    assert list(study_differences(study, instances, Rules())) == told


def test_the_zone_is_the_settings():
    """`DicomCast__DefaultUtcOffset`."""
    rules = Rules.of({"dicomcast__defaultutcoffset": "-05:30"})
    assert rules == Rules(offset=timezone(-timedelta(hours=5, minutes=30)))
    assert list(study_differences({**STUDY, "started": "2026-01-31T07:27:00-05:30"}, [instance(**MOMENT)], rules)) == []


@pytest.mark.parametrize(
    ("said", "held", "told"),
    [
        ({"StudyDescription": "Chest"}, {"description": "Chest", "note": [{"text": "Chest"}]}, []),
        ({"StudyDescription": "a  b"}, {"description": "a b", "note": [{"text": "a b"}]}, []),
        ({}, {"description": "Knee"}, []),
        ({"StudyDescription": "Chest"}, {"note": [{"text": "Chest"}]}, ["the description is not StudyDescription"]),
        ({"StudyDescription": "Chest"}, {"description": "Chest"}, ["a StudyDescription is in no note"]),
        ({"AccessionNumber": "A"}, {"identifier": [{"value": "A"}]}, ["an AccessionNumber is missing"]),
        ({"AccessionNumber": "A"}, {"identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A"}]}, []),
        ({"SeriesNumber": 0}, {"series": [SERIES]}, ["series 1.2.1: the number is not SeriesNumber"]),
        ({"SeriesNumber": -1}, {"series": [SERIES]}, []),
        ({"SeriesDate": "20260131"}, {"series": [SERIES]}, ["series 1.2.1: started is not SeriesDate and SeriesTime"]),
    ],
)
def test_texts_and_numbers(said, held, told):
    """What is invalid, or not said at all, need not be in FHIR; but for how many blanks stand in it a text is the same."""
    assert list(study_differences(STUDY | held, [instance(**said)], Rules())) == told


def test_a_text_that_is_too_long_need_not_be_in_fhir():
    """PS3.5 6.2: LO has 64 characters, SH 16; the app leaves them out, and tells of it."""
    long = odd("00081030", "LO", "x" * 65) | odd("00080050", "SH", "x" * 17)
    assert list(study_differences(STUDY, [long], Rules())) == []


def test_without_the_rows_of_our_own():
    """`DicomCast__Features__ExtendedMapping` = `false`: the note alone is the app's."""
    rules = Rules.of({"DicomCast__Features__ExtendedMapping": "False"})
    study = {**STUDY, "description": "Knee", "note": [{"text": "Chest"}]}
    assert list(study_differences(study, [instance(StudyDescription="Chest")], rules)) == []


def name(*given, **more):
    return {"use": "usual", "family": "Roe", **({"given": list(given)} if given else {}), **more}


NAME, GENDER, BIRTH = "PatientName", "PatientSex", "PatientBirthDate"


@pytest.mark.parametrize(
    ("said", "held", "policy", "differs", "stays"),
    [
        ([{NAME: "Roe^Ann Mary^Jo"}], {"name": [name("Ann", "Mary", "Jo")]}, "overwrite", 0, 0),
        ([{NAME: "Roe^Ann"}], {"name": [name("Ann", prefix=["Dr"])]}, "overwrite", 1, 0),
        ([{NAME: "Roe^Ann"}], {"name": [name("Ann") | {"use": "official"}]}, "overwrite", 1, 0),
        ([{NAME: "Roe^Ann"}, {NAME: "Doe^Ann"}], {"name": [name("Ann")]}, "overwrite", 0, 0),
        ([{NAME: "Roe^Ann"}], {"name": [name("Bea")]}, "fill", 0, 1),
        ([{NAME: "Roe^Ann"}], {}, "fill", 1, 0),
        ([{NAME: "Roe^Ann"}], {}, "never", 0, 1),
        ([{GENDER: "F"}], {"gender": "male"}, "overwrite", 1, 0),
        ([{GENDER: "F"}], {"gender": "male"}, "fill", 0, 1),
        ([{GENDER: "X"}], {"gender": "male"}, "overwrite", 0, 0),
        ([{BIRTH: "19010203"}], {"birthDate": "1901-02-04"}, "overwrite", 0, 1),
        ([{BIRTH: "19010203"}], {}, "overwrite", 1, 0),
        ([{BIRTH: "19010203"}], {"_birthDate": {"extension": []}}, "overwrite", 0, 1),
        ([{}], {"name": [name("Ann")], "gender": "male", "birthDate": "1901"}, "overwrite", 0, 0),
    ],
)
def test_of_a_patient(said, held, policy, differs, stays):
    """What any study of the patient says is right; what `Patient__UpdatePolicy` leaves alone stays, and is told."""
    all_said = PatientValues()
    all_said.add([instance(**one) for one in said])
    told = patient_differences({"resourceType": "Patient", "id": "7", **held}, all_said, policy)
    assert (len(told.differs), len(told.stays)) == (differs, stays)
