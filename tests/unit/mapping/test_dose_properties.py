"""What holds for any dose report, however broken: properties, searched by hypothesis."""

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidDicomTagError
from shared.mapping.dose.mapped_report import REPORT_KEYS, map_dose_report
from shared.mapping.dose.merge_observation import merge_report
from shared.mapping.dose.report import is_dose_report
from shared.mapping.dose.structured_report import content_held
from shared.mapping.mapping_options import MappingOptions
from tests.dose_reports import administration, ct, ct_event, radiopharmaceutical, xray, xray_accumulated, xray_event
from tests.r4 import faults

SERVICE = "https://dicom.example.org"
OPTIONS = MappingOptions(SERVICE)
REPORTS = [
    ct(ct_event(1), ct_event(2, started="20240506072130.5")),
    xray(xray_accumulated("DCM 113620 Plane A", 1), xray_accumulated("DCM 113621 Plane B", 2), xray_event(1)),
    radiopharmaceutical(administration(concepts="SRT")),
]
KEPT = {"00080018", "00100020", "0020000D", "0020000E"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["vr", "Value", "0040A730", "0040A043", "00080100"]), inner, max_size=3)
    ),
    max_leaves=6,
)
TYPICAL = st.sampled_from(
    ["", " ", "NUM", "num", "7,5", "1e999", "-3", "1.2.3", "1.02", "2024", "20240506", "20240506072103+0100", "Gym2", "UCUM", "SRT",
     "113838", "\x07", "x" * 70, 7, -1, 1.5, 1e300, float("nan"), True, None, {}, {"00080104": {"Value": ["text"]}}]
)  # fmt: skip
ELEMENTS = (
    st.builds(lambda items: {"vr": "UN", "Value": items}, st.lists(TYPICAL | JSON, max_size=3))
    | st.sampled_from([{}, {"vr": "SQ"}, {"Value": None}, {"BulkDataURI": "x"}, {"InlineBinary": "AA=="}, None, []])
    | JSON
)


def places(dataset, path=()):
    """The path of every element of the report, at any depth."""
    for key, element in dataset.items():
        if not path and key in KEPT:
            continue
        yield (*path, key)
        for position, item in enumerate(element.get("Value", [])):
            if isinstance(item, dict):
                yield from places(item, (*path, key, position))


@st.composite
def broken_reports(draw):
    """A sound report with up to three of its elements, at any depth, replaced or taken out."""
    report = copy.deepcopy(draw(st.sampled_from(REPORTS)))
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(list(places(report))))
        dataset = report
        for step in path:
            dataset = dataset["Value"][step] if isinstance(step, int) else dataset[step]
        if draw(st.booleans()):
            dataset[last] = draw(ELEMENTS)
            return report
        del dataset[last]
    return report


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(broken_reports())
def test_a_broken_report_raises_nothing_and_gives_r4(report):
    """A broken item is told, and left out; what comes out is valid by both validators."""
    is_dose_report(report)
    content_held(report)
    mapped = map_dose_report(report, OPTIONS)
    assert [
        fault for write in merge_report([], mapped, {}, MappingOptions(SERVICE)) for fault in faults(write.resource)
    ] == []


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(REPORT_KEYS)), ELEMENTS, max_size=8))
def test_any_metadata_raises_nothing_but_the_named_error(metadata):
    """Any other exception would stop the whole feed."""
    is_dose_report(metadata)
    content_held(metadata)
    try:
        map_dose_report(metadata, OPTIONS)
    except InvalidDicomTagError as error:
        assert error.tags  # noqa: PT017 an error is allowed, not demanded


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(broken_reports(), broken_reports())
def test_merging_twice_is_merging_once(first, second):
    """On what another version of the report made."""
    held = applied([], first)
    held = applied(held, second)
    assert merge_report(held, map_dose_report(second, OPTIONS), {}, MappingOptions(SERVICE)) == []
    if map_dose_report(second, OPTIONS).observations:
        assert normal(held) == normal(applied([], second))


def applied(held, report):
    """What a server holds after the report was merged into what it held."""
    after = {one["id"]: one for one in held}
    for number, write in enumerate(merge_report(held, map_dose_report(report, OPTIONS), {}, MappingOptions(SERVICE))):
        identity = write.resource.get("id", f"{len(held)}-{number}")
        match type(write).__name__:
            case "Delete":
                del after[identity]
            case _:
                after[identity] = write.resource | {"id": identity}
    return list(after.values())


def normal(observations):
    """What is the report's alone: not ids and device, nor the order of components, nor the codings of concepts."""
    return sorted(
        (
            sorted(identifier["value"] for identifier in one["identifier"] if "system" in identifier),
            *(str(one.get(element)) for element in ("status", "effectiveDateTime", "issued")),
            sorted(map(component_of, one.get("component", []))),
        )
        for one in observations
    )


def component_of(component):
    quantity = sorted(component.get("valueQuantity", {}).items())
    return str((component["code"], quantity, component.get("valueInteger"), "valueCodeableConcept" in component))
