"""What FHIR servers hold and nobody expects: it is passed over, and stands where it stood."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import MalformedResourceError
from shared.mapping.held import ODD, odd_series, readable, whole

ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}
CT = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}
NO_UID = {"_uid": ABSENT, "modality": CT}


def study(**elements):
    return {"resourceType": "ImagingStudy", "id": "7", **elements}


def series(uid, *instances, **more):
    return {"uid": uid, "instance": list(instances), **more}


ODDITIES = [
    # held, what of it is read
    (study(series=[NO_UID, series("1", {"uid": "a"})]), {"series": [series("1", {"uid": "a"})]}),
    (study(series=[None, "x", 7, [], {}]), {}),
    (study(series=[series("1", None, {"_uid": ABSENT}, {"uid": "a"})]), {"series": [series("1", {"uid": "a"})]}),
    (study(series=[series("1", None)]), {"series": [{"uid": "1"}]}),
    (study(series=[{"uid": "1"}, {"uid": "1", "number": 2}]), {"series": [{"uid": "1"}]}),
    (study(series=[{"uid": 7}, {"uid": ["1"]}]), {}),
    (study(series=None, identifier=None, note=None), {}),
    (study(series=[{"uid": "1", "modality": "CT"}]), {"series": [{"uid": "1"}]}),
    (study(series=[{"uid": "1", "instance": None}]), {"series": [{"uid": "1"}]}),
    (study(series=[{"uid": "1", "endpoint": {}, "performer": [None]}]), {"series": [{"uid": "1"}]}),
    (study(series=[], note=[None]), {}),
    (study(identifier=[None, {"value": "x"}]), {"identifier": [{"value": "x"}]}),
    (study(note={"text": "x"}, modality="CT", endpoint=7, subject="x", referrer="y"), {}),
    (study(numberOfSeries="2", numberOfInstances=None), {}),
    (study(meta={"tag": [None, {"code": "x"}]}), {"meta": {"tag": [{"code": "x"}]}}),
    (study(meta={"tag": {}, "versionId": "1"}), {"meta": {"versionId": "1"}}),
    (
        study(numberOfSeries=2, numberOfInstances=4, series=[NO_UID | {"numberOfInstances": 2}, series("1", {"uid": "a"}, {}, numberOfInstances=2)]),
        {"numberOfSeries": 1, "numberOfInstances": 1, "series": [series("1", {"uid": "a"}, numberOfInstances=1)]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("held", "read"), ODDITIES, ids=str)
def test_what_does_not_fit_is_laid_aside(held, read):
    """And is put back where it stood: the input is as it was."""
    before = copy.deepcopy(held)
    view = readable(held)
    assert {name: value for name, value in view.items() if name != ODD} == study(**read)
    assert whole(view) == held == before


def test_what_fits_is_the_same_object():
    """Nearly all does, and it is not copied."""
    sound = study(series=[series("1", {"uid": "a"})], identifier=[{"value": 7}], meta={"tag": []}, note=[])
    assert readable(sound) is sound
    assert whole(sound) is sound


MERGED = [
    # held, what the merge makes of the view, what is written
    (study(series=[NO_UID]), {"series": [series("1", {"uid": "a"})]}, {"series": [NO_UID, series("1", {"uid": "a"})]}),
    (study(series=[series("1", None, {"uid": "a"})]), {"series": None}, {"series": [series("1", None)]}),
    (study(note={"text": "x"}), {"note": [{"text": "y"}]}, {"note": {"text": "x"}}),
    (study(note=None), {"note": [{"text": "y"}]}, {"note": [{"text": "y"}]}),
    (study(referrer="x"), {"referrer": {"display": "y"}}, {"referrer": "x"}),
    (study(subject="x"), {"subject": {"reference": "y"}}, {"subject": {"reference": "y"}}),
    (study(note=[None]), {"note": [{"text": "y"}]}, {"note": [None, {"text": "y"}]}),
    (study(meta={"tag": [None]}), {"meta": {"tag": [{"code": "x"}]}}, {"meta": {"tag": [None, {"code": "x"}]}}),
    (study(series=[{}], numberOfSeries=9), {"series": [series("1")], "numberOfSeries": 1}, {"series": [{}, series("1")], "numberOfSeries": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("held", "made", "written"), MERGED, ids=str)
def test_what_was_laid_aside_stays(held, made, written):
    """What is nobody's stays, also in a series that DICOM has no more; what DICOM says comes in place of what says nothing."""
    merged = {name: value for name, value in (readable(held) | made).items() if value is not None}
    assert whole(merged) == study(**written)
    assert whole(readable(whole(merged))) == whole(merged)


IMPOSSIBLE = [
    (study(series="x"), "ImagingStudy/7: ImagingStudy.series is no list"),
    (study(series={}), "ImagingStudy.series is no list"),
    (study(series=[{"uid": "1", "instance": {}}]), "ImagingStudy.series.instance is no list"),
    (study(identifier={"value": "secret"}), "ImagingStudy.identifier is no list"),
    (study(meta=[]), "ImagingStudy.meta is no object"),
    (study(meta={"versionId": 7}), "ImagingStudy.meta.versionId is no text"),
]


@pytest.mark.parametrize(("held", "message"), IMPOSSIBLE, ids=str)
def test_what_nothing_can_be_merged_with_is_named(held, message):
    """The element and the resource, never a value."""
    with pytest.raises(MalformedResourceError, match=message) as caught:
        readable(held)
    assert "secret" not in str(caught.value)


def test_the_series_that_are_nobodys():
    """Objects alone."""
    assert odd_series(readable(study(series=[None, NO_UID, {"uid": "1"}]))) == [NO_UID]
    assert odd_series(study(series=[{"uid": "1"}])) == []


NAMES = [
    "uid",
    "series",
    "instance",
    "identifier",
    "meta",
    "tag",
    "note",
    "modality",
    "numberOfInstances",
    "subject",
    "x",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6),
    st.sampled_from(["ImagingStudy", "Patient", "Observation"]),
)
def test_what_is_read_can_be_put_together_again(elements, kind):
    """Whatever it is; else the error is a named one."""
    held = {**elements, "resourceType": kind, "id": "7"}
    try:
        view = readable(held)
    except MalformedResourceError:
        return
    assert whole(view) == held
