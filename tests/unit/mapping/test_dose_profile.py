"""What profiles demand of dose Observations besides: who observed, and the doses in one text."""

from dataclasses import replace

import pytest

from shared.mapping.converters import urn
from shared.mapping.dose.mapped_report import map_dose_report
from shared.mapping.dose.merge_observation import merge_report
from shared.mapping.dose.observation import ABSENT
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import is_only_ours
from tests.dose_reports import ct, ct_event, person, text
from tests.r4 import faults

BARE = MappingOptions("https://dicom.example.org")
ASKED = replace(BARE, dose_text=True, absent_performer=True)
LINKS = {urn("ImagingStudy", "1.2.3"): "ImagingStudy/7", urn("Patient", "", "P-1"): "Patient/8"}
TEXT = "CT Dose Length Product Total 302.44 mGy.cm; Total Number of Irradiation Events 1"
OBSERVER = person("DCM 121008 Person Observer Name", "Curie^Marie")


def writes(held, report, options):
    return [write.resource for write in merge_report(held, map_dose_report(report, options), LINKS, options)]


def held_after(report, options):
    return [
        resource | {"id": str(number), "meta": {**resource["meta"], "versionId": "1"}}
        for number, resource in enumerate(writes([], report, options), 1)
    ]


SAID = [
    # who observed, settings, performers of summary and event
    ("nobody", ct(ct_event(1)), BARE, None),
    ("nobody, and the setting", ct(ct_event(1)), ASKED, [ABSENT]),
    ("a person", ct(ct_event(1), items=[OBSERVER]), BARE, [{"display": "Marie Curie"}]),
    (
        "a person, as a text",
        ct(ct_event(1), items=[text("DCM 121008 Person Observer Name", "M. Curie")]),
        BARE,
        [{"display": "M. Curie"}],
    ),
    ("a person, and the setting", ct(ct_event(1), items=[OBSERVER]), ASKED, [{"display": "Marie Curie"}]),
    ("a person, without the extended mapping", ct(ct_event(1), items=[OBSERVER]), replace(BARE, extended=False), None),
]


@pytest.mark.parametrize(("who", "report", "options", "said"), SAID, ids=[row[0] for row in SAID])
def test_the_performer(who, report, options, said):
    """R4 all the same; nothing that keeps the Observation from being deleted with its report; written once."""
    held = held_after(report, options)
    assert [one.get("performer") for one in held] == [said, said]
    assert [faults({name: part for name, part in one.items() if name not in ("id", "meta")}) for one in held] == [
        [],
        [],
    ]
    assert all(is_only_ours(one, options) for one in held)
    assert writes(held, report, options) == []


def test_the_text():
    """Of the summary alone; whatever order and digits a server gives back, it is ours, and goes with the setting."""
    report = ct(ct_event(1))
    held = held_after(report, ASKED)
    assert [one.get("valueString") for one in held] == [TEXT, None]
    held[0]["component"].reverse()
    assert writes(held, report, ASKED) == []
    (changed,) = writes(held[:1], report, replace(ASKED, dose_text=False))[:1]
    assert "valueString" not in changed
    assert "valueString" not in held_after(report, replace(ASKED, extended=False))[0]


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("valueString", "seen by the physicist"),
        ("valueQuantity", {"value": 1}),
        ("performer", [{"reference": "Practitioner/1"}]),
        ("performer", [{"display": "x", "reference": "Practitioner/1"}]),
    ],
    ids=str,
)
def test_what_others_say_stays(element, value):
    """And keeps the Observation, where it is an element of ours."""
    report = ct(ct_event(1))
    held = held_after(report, BARE)
    held[0][element] = value
    (after, *_) = writes(held, report, ASKED) or held
    assert after[element] == value
    assert len([name for name in after if name.startswith("value")]) <= 1
    assert not is_only_ours(held[0], BARE)


def test_an_observer_who_is_named_no_more():
    """Goes, as a device does."""
    held = held_after(ct(ct_event(1), items=[OBSERVER]), BARE)
    assert [one.get("performer") for one in writes(held, ct(ct_event(1)), BARE)] == [None, None]
