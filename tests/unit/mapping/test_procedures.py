"""What was done and why, from whichever tag says it."""

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from tests.fakes import entry

DONE, REQUESTED, DESCRIBED, PROTOCOL = "t00081032", "t00321064", "t00321060", "t00400260"
REASON, REASON_TEXT, REQUESTS = "t0040100A", "t00401002", "t00400275"


def coded(*codes):
    """A code sequence; an item of None is broken."""
    items = [
        {"00080100": {"vr": "SH", "Value": [code or 7]}, "00080102": {"vr": "SH", "Value": ["LN"]}} for code in codes
    ]
    return {"vr": "SQ", "Value": items}


def request(**tags):
    return {
        name.removeprefix("t"): value if isinstance(value, dict) else {"vr": "LO", "Value": [value]}
        for name, value in tags.items()
    }


def said(element, **tags):
    mapped = StudyMapper(MappingOptions("https://d")).map(entry(**tags))
    found = [one["coding"][0]["code"] if "coding" in one else one["text"] for one in mapped.study.add.get(element, ())]
    return found, [fault.tag for fault in mapped.faults]


PROCEDURES = [
    # rule, tags, procedures, tags that are told
    ("what was done", {DONE: coded("A"), REQUESTED: coded("B"), DESCRIBED: "C", PROTOCOL: coded("D")}, ["A"], []),
    ("what was requested", {REQUESTED: coded("B"), DESCRIBED: "C", PROTOCOL: coded("D")}, ["B"], []),
    ("what was requested, as a text", {DESCRIBED: "C", PROTOCOL: coded("D")}, ["C"], []),
    ("the protocol", {PROTOCOL: coded("D")}, ["D"], []),
    ("an empty sequence says nothing", {DONE: coded(), DESCRIBED: "C"}, ["C"], []),
    ("a broken item beside a sound one", {DONE: coded(None, "A"), REQUESTED: coded("B")}, ["A"], ["(0008,1032)"]),
    ("a broken sequence", {DONE: coded(None), REQUESTED: coded("B")}, ["B"], ["(0008,1032)"]),
    ("a broken request", {REQUESTED: coded(None), PROTOCOL: coded("D")}, ["D"], ["(0032,1064)"]),
    ("a broken protocol", {PROTOCOL: coded(None)}, [], ["(0040,0260)"]),
    ("a broken text", {DESCRIBED: "C" * 65, PROTOCOL: coded("D")}, ["D"], ["(0032,1060)"]),
    ("nothing", {}, [], []),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tags", "found", "told"), PROCEDURES, ids=[row[0] for row in PROCEDURES])
def test_what_was_done(rule, tags, found, told):
    """The first that is there."""
    assert said("procedureCode", **tags) == (found, told), rule


REASONS = [
    ("a text", {REASON_TEXT: "Pain"}, ["Pain"], []),
    ("codes before texts", {REASON: coded("R"), REASON_TEXT: "Pain"}, ["R", "Pain"], []),
    ("of each request", {REQUESTS: {"vr": "SQ", "Value": [request(t0040100A=coded("R")), request(t00401002="Pain"), request(t00401002="Pain")]}}, ["R", "Pain"], []),
    ("a broken text of a request", {REQUESTS: {"vr": "SQ", "Value": [request(t00401002="P" * 65), request(t00401002="Pain")]}}, ["Pain"], ["(0040,100A)"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tags", "found", "told"), REASONS, ids=[row[0] for row in REASONS])
def test_why_it_was_done(rule, tags, found, told):
    """Each reason once."""
    assert said("reasonCode", **tags) == (found, told), rule


def test_a_text_that_a_code_says_is_not_said_twice():
    """The meaning of a coded reason is its text."""
    pain = coded("R")
    pain["Value"][0]["00080104"] = {"vr": "LO", "Value": ["Pain"]}
    assert said("reasonCode", **{REASON: pain, REASON_TEXT: "Pain"}) == (["R"], [])
