"""A study that DICOM holds no more, one that is stored again, and one that was made twice."""

import copy

import pytest

from shared.mapping.changed_fragments import ChangedFragments
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import (
    RemovedInstance,
    cancelled,
    derived_study,
    is_cancelled,
    merge_study,
    with_series_of,
)
from shared.mapping.resources import StudyMapper
from shared.mapping.restated import is_restated
from shared.mapping.sign import is_only_ours, is_ours
from shared.model.change_feed import Action, State
from tests.fakes import INSTANCE, SERIES, STUDY, entry

OPTIONS = MappingOptions("https://dicom.example.org")
LINKS = {}


def mapped(*entries):
    mapper = StudyMapper(OPTIONS)
    return [RemovedInstance(one) if one.action is Action.DELETE else mapper.map(one) for one in entries]


def made(*entries):
    return merge_study(None, mapped(*entries), LINKS) | {"id": "1"}


REMOVED = mapped(entry(9, Action.DELETE, state=State.DELETED))

CANCELLED = [
    # what the study says, what it says once it is cancelled
    ({"status": "available", "series": [{"uid": "1"}], "modality": [{"code": "CT"}]}, {"status": "cancelled"}),
    ({"status": "available", "numberOfSeries": 2, "numberOfInstances": 7}, {"status": "cancelled", "numberOfSeries": 0, "numberOfInstances": 0}),
    ({"numberOfSeries": 2}, {"status": "cancelled", "numberOfSeries": 0}),
    ({"status": "cancelled"}, {"status": "cancelled"}),
    ({"note": [{"text": "x"}], "subject": {"reference": "Patient/1"}}, {"status": "cancelled", "note": [{"text": "x"}], "subject": {"reference": "Patient/1"}}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "says"), CANCELLED, ids=str)
def test_a_study_that_is_cancelled(said, says):
    """Its series and what follows from them are out; what others wrote stays. Again, nothing changes."""
    before = copy.deepcopy(said)
    assert cancelled(said) == says
    assert said == before
    assert cancelled(says) == says
    assert is_cancelled(says)


@pytest.mark.parametrize(
    ("study", "so"),
    [
        ({"status": "cancelled"}, True),
        ({"status": "cancelled", "series": []}, True),
        ({"status": "cancelled", "series": [{"uid": "1"}]}, False),  # somebody's word on a study that is there
        ({"status": "available"}, False),
        ({}, False),
    ],
)
def test_whether_a_study_is_cancelled(study, so):
    """With series in it, it was not we who said so."""
    assert is_cancelled(study) is so


def test_a_cancelled_study_that_is_stored_again():
    """It is what it was; what another said of a study with series stays said."""
    before = made(entry(1))
    empty = cancelled(before)
    assert is_ours(empty, OPTIONS.service_url)
    assert is_only_ours(empty, OPTIONS)
    assert merge_study(empty, mapped(entry(2)), LINKS) == before
    theirs = {**before, "status": "cancelled"}
    assert merge_study(theirs, mapped(entry(2)), LINKS) is None
    assert merge_study(theirs, mapped(entry(2, instance="1.9")), LINKS)["status"] == "cancelled"


def test_a_cancelled_study_of_which_more_is_deleted():
    """Nothing is to be written, and it stays cancelled."""
    empty = cancelled(made(entry(1)))
    assert merge_study(empty, REMOVED, LINKS) in (None, empty)


def series(uid, *instances, **more):
    listed = {"instance": [{"uid": one, "of": uid} for one in instances]} if instances else {}
    return {"uid": uid} | listed | more


def uids(study):
    return {one["uid"]: [instance["uid"] for instance in one.get("instance", ())] for one in study.get("series", ())}


DOUBLES = [
    # name, the series of the study, of its doubles, what is listed then
    ("the same", [series("1", "a", "b")], [[series("1", "b", "a")]], {"1": ["a", "b"]}),
    ("fewer", [series("1", "a", "b")], [[series("1", "b")]], {"1": ["a", "b"]}),
    ("another instance", [series("1", "a")], [[series("1", "b")]], {"1": ["a", "b"]}),
    ("another series", [series("1", "a")], [[series("2", "b")]], {"1": ["a"], "2": ["b"]}),
    ("several doubles", [series("1", "a")], [[series("1", "b")], [series("2", "c"), series("1", "c")]], {"1": ["a", "b", "c"], "2": ["c"]}),
    ("none in the study", [], [[series("1", "a")]], {"1": ["a"]}),
    ("none in the double", [series("1", "a")], [[]], {"1": ["a"]}),
    ("none in any", [], [[]], {}),
    ("counted only", [series("1", numberOfInstances=7)], [[series("1", numberOfInstances=9)]], {"1": []}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "own", "others", "listed"), DOUBLES, ids=[row[0] for row in DOUBLES])
def test_the_series_of_doubles(name, own, others, listed):
    """What they list besides stands behind the study's own, which stays as it is."""
    study = {"id": "1", "series": own} if own else {"id": "1"}
    doubles = [{"id": "2", "series": some} for some in others]
    before = copy.deepcopy((study, doubles))
    result = with_series_of(study, doubles)
    assert uids(result) == listed
    assert (study, doubles) == before
    for one in own:
        assert result["series"][own.index(one)] | {"instance": 0} == one | {"instance": 0}
    if name in ("the same", "fewer", "none in the double", "none in any"):
        assert result == study


def test_without_doubles_the_study_is_itself():
    """No copy is made of a study of many instances."""
    study = {"series": [series("1", "a")]}
    assert with_series_of(study, []) is study


def test_what_doubles_list_is_counted():
    """The numbers follow what is listed."""
    study, double = made(entry(1)), made(entry(1), entry(2, instance="1.9"), entry(3, series="1.8", instance="1.8.1"))
    together = merge_study(with_series_of(study, [double]), mapped(entry(4)), LINKS)
    assert uids(together) == {SERIES: [INSTANCE, "1.9"], "1.8": ["1.8.1"]}
    assert (together["numberOfSeries"], together["numberOfInstances"]) == (2, 3)
    assert together["identifier"][0]["value"] == f"urn:oid:{STUDY}"


@pytest.mark.parametrize(("sides", "side"), [("RR", "Right"), ("RL", None), ("R ", None), (" L", None)])
def test_what_doubles_do_not_agree_on(sides, side):
    """Each lists a part of the series: that it shows one side only is true of it where it is of both parts."""
    study, double = (made(entry(1, instance=f"1.{side or 0}", t00200062=said)) for side, said in enumerate(sides))
    (series,) = with_series_of(study, [double])["series"]
    assert series.get("laterality", {}).get("display") == side


DICOM, SNOMED = "http://dicom.nema.org/resources/ontology/DCM", "http://snomed.info/sct"


def coding(system, code="CT"):
    return {"system": system, "code": code} if system else {"code": code}


MODALITIES = [
    # rule                                          modality of the series  held by the study            the study's then
    ("DICOM's codes are taken",                     coding(DICOM),          [],                          [coding(DICOM)]),
    ("as DICOM Cast wrote their system",            coding("DCM"),          [],                          [coding(DICOM)]),
    ("as an OID says it",                           coding("urn:oid:1.2.840.10008.2.16.4"), [],          [coding(DICOM)]),
    ("of another system's none is made",            coding(SNOMED),         [],                          None),
    ("of one without a system none is made",        coding(None),           [],                          None),
    ("one that it may mean stays",                  coding(None),           [coding(DICOM)],             [coding(DICOM)]),
    ("one that no series has goes",                 coding(DICOM),          [coding(DICOM, "MR")],       [coding(DICOM)]),
    ("another system's of no series stays",         coding(DICOM),          [coding(SNOMED, "MR")],      [coding(SNOMED, "MR"), coding(DICOM)]),
    ("the same code of another system is another",  coding(DICOM),          [coding(SNOMED)],            [coding(SNOMED), coding(DICOM)]),
    ("what is there is not added",                  coding(DICOM),          [coding(DICOM)],             [coding(DICOM)]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "said", "held", "then"), MODALITIES, ids=[row[0] for row in MODALITIES])
def test_the_modalities_of_a_study(rule, said, held, then):
    """Those of its series, where their system is DICOM's by one of its names; what others say stays."""
    series = [{"uid": SERIES, "modality": said, "instance": []}]
    assert derived_study({"modality": held}, series, counted=False).get("modality") == then, rule


CODE = {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["T-D3000"]}, "00080102": {"vr": "SH", "Value": ["SRT"]}}]}  # fmt: skip
RESTATED = [
    # where it stands, the tags that say it, the part that an earlier release wrote of it
    ("study", "procedureCode", {"t00081032": CODE}, lambda one: {"coding": one["coding"][1:]}),
    ("study", "reasonCode", {"t0040100A": CODE}, lambda one: {"coding": one["coding"][1:]}),
    ("series", "performer", {"t00081050": {"vr": "PN", "Value": [{"Alphabetic": "Doe"}]}}, lambda one: {"actor": one["actor"]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "element", "tags", "part"), RESTATED, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_study_that_says_a_part_of_what_is_said_now_is_read(where, element, tags, part):
    """The rows that the table has as `restate`, whoever wrote the item; one that says all of it is no reason."""
    first, second = mapped(entry(1, **tags), entry(2, instance=f"{INSTANCE}.2", **tags))
    study = merge_study(None, [first], LINKS)
    held = study if where == "study" else study["series"][0]
    assert not is_restated(study, ChangedFragments.of([second]), frozenset())
    held[element] = [part(one) for one in held[element]]
    assert is_restated(study, ChangedFragments.of([second]), frozenset())
    held[element] = []
    assert not is_restated(study, ChangedFragments.of([second]), frozenset())
