"""What holds for any DICOM JSON, however broken: properties, searched by hypothesis."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidDicomTagError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import apply
from shared.mapping.merge_patient import merge_patient
from shared.mapping.merge_study import RemovedInstance, merge_study
from shared.mapping.resources import StudyMapper
from shared.mapping.table import TABLE
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.options import PatientUpdatePolicy
from tests.fakes import INSTANCE, NOW, SERIES, STUDY, entry, metadata
from tests.r4 import faults

OPTIONS = MappingOptions("https://dicom.example.org")
KEYS = sorted({tag.key for row in TABLE for tag in row.tags})
REQUIRED = sorted({row.tags[0].key for row in TABLE if row.required})

# Values as archives hold them, good and bad, so that the search meets rules instead of noise only.
TYPICAL = [
    "", " ", "\0", "CT", "ct", "M", "X", "R", "1.2.3", "1.02", "1." + "2" * 63, "20240229", "20230229", "2024.02.29",
    "0727", "240000", "072730.5", "+0100", "+9999", "A^B^C^D^E", "A^B=C^D=E^F", "=", "^^^^", "7", "-7", "1.5", "99999999999",
    "a\\b", "\x07", "x" * 65, 7, -1, 1.5, 1e30, True, None, {"Alphabetic": "A^B"}, {"Ideographic": "山田^太郎"},
    {"Alphabetic": 7}, {"00080100": {"vr": "SH", "Value": ["T"]}}, {"00080104": {"vr": "LO", "Value": ["text"]}},
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS[:4], "vr", "Value", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
ITEMS = st.sampled_from(TYPICAL) | JSON
ELEMENTS = (
    st.builds(lambda items: {"vr": "UN", "Value": items}, st.lists(ITEMS, max_size=3))
    | st.sampled_from(
        [
            {},
            {"vr": "LO"},
            {"vr": "LO", "Value": None},
            {"vr": "UN", "BulkDataURI": "x"},
            {"InlineBinary": "AA=="},
            None,
        ]
    )
    | JSON
)
DATASETS = st.dictionaries(st.sampled_from(KEYS), ELEMENTS, max_size=6)


def entry_with(elements, *, keep=()):
    """The sound entry with some of its elements replaced, but for those to `keep`."""
    said = metadata() | {key: value for key, value in elements.items() if key not in keep}
    return ChangeFeedEntry(1, STUDY, SERIES, INSTANCE, Action.CREATE, State.CURRENT, NOW.isoformat(), metadata=said)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(DATASETS)
def test_broken_data_raises_nothing_but_the_named_error(elements):
    """Any other exception would stop the whole feed."""
    with contextlib.suppress(InvalidDicomTagError):
        StudyMapper(OPTIONS).map(entry_with(elements))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(DATASETS)
def test_what_is_mapped_is_r4(elements):
    """Whatever the optional tags hold: what comes out is valid, by both validators and our own walk."""
    change = StudyMapper(OPTIONS).map(entry_with(elements, keep=REQUIRED))
    assert faults(apply(None, {"resourceType": "Patient"}, change.patient, {})) == []
    assert faults(merge_study(None, [change], {})) == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(DATASETS, DATASETS, st.sampled_from(PatientUpdatePolicy))
def test_merging_twice_is_merging_once(first, second, policy):
    """On a resource that another instance made."""
    held = StudyMapper(OPTIONS).map(entry_with(first, keep=REQUIRED))
    change = StudyMapper(OPTIONS).map(entry_with(second, keep=REQUIRED))
    patient = merge_patient(None, held.patient)
    once = merge_patient(patient, change.patient, policy) or patient
    assert merge_patient(once, change.patient, policy) is None
    study = merge_study(None, [held], {})
    once = merge_study(study, [change], {}) or study
    assert merge_study(once, [change], {}) is None


INSTANCES = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.booleans()),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one[:2],
)


@settings(max_examples=200)
@given(INSTANCES, st.randoms())
def test_the_order_of_instances_does_not_matter(instances, random):
    """But for the order of the lists, and for tags that instances of one study disagree about (docs/mapping.md)."""
    shuffled = list(instances)
    random.shuffle(shuffled)
    assert normal(study_of(instances)) == normal(study_of(shuffled))


@settings(max_examples=200)
@given(INSTANCES, st.integers(0, 12))
def test_batches_do_not_matter(instances, cut):
    """One batch or two: the same study."""
    assert normal(study_of(instances)) == normal(study_of(instances[cut:], study_of(instances[:cut])))


def study_of(instances, existing=None):
    mapper = StudyMapper(OPTIONS)
    changes = []
    for series, number, stored in instances:
        uids = {"series": f"1.2.3.{series}", "instance": f"1.2.3.{series}.{number}"}
        if stored:
            changes.append(mapper.map(entry(number, t00200011=series, t00200013=number, **uids)))
        else:
            changes.append(RemovedInstance(entry(number, Action.DELETE, state=State.DELETED, **uids)))
    return merge_study(existing, changes, {}) or existing


def normal(study):
    if study is None:
        return None
    series = [one | {"instance": sorted(one["instance"], key=lambda i: i["uid"])} for one in study.get("series", [])]
    return study | {"series": sorted(series, key=lambda one: one["uid"])}
