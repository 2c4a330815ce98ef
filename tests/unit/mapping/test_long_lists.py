"""Long lists: as much of one as is stated, told where there is more, and merged in time that grows with their length."""

import time

import pytest

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import added
from shared.mapping.merge_study import merge_study
from shared.mapping.resources import MOST_ITEMS, StudyMapper
from tests.fakes import entry

OPTIONS = MappingOptions("https://dicom.example.org")


def coded(number):
    return {"00080100": {"vr": "SH", "Value": [f"C{number}"]}, "00080102": {"vr": "SH", "Value": ["L"]}}


def sequence(count, item=coded):
    return {"vr": "SQ", "Value": [item(number) for number in range(count)]}


def request(number):
    return {"0040100A": sequence(50, lambda one: coded(50 * number + one))}


LISTS = [
    # tag, element, what the instance holds
    ("t00081032", "procedureCode", sequence(8000)),
    ("t0040100A", "reasonCode", sequence(8000)),
    ("t00400275", "reasonCode", sequence(80, request)),
    ("t00081050", "performer", {"vr": "PN", "Value": [{"Alphabetic": f"A{number}"} for number in range(500)]}),
]


@pytest.mark.parametrize(("tag", "element", "held"), LISTS, ids=[row[0] for row in LISTS])
def test_of_a_long_list_the_first_are_used_and_the_rest_is_told(tag, element, held):
    """An invalid tag, and no more of it."""
    change = StudyMapper(OPTIONS).map(entry(**{tag: held}))
    said = (change.series if element == "performer" else change.study).add[element]
    assert len(said) == MOST_ITEMS
    assert [fault.rule.split(", ")[1] for fault in change.faults] == [f"of which the first {MOST_ITEMS} are used"]


def test_a_list_that_is_not_too_long_is_whole():
    change = StudyMapper(OPTIONS).map(entry(t00081032=sequence(MOST_ITEMS)))
    assert (len(change.study.add["procedureCode"]), change.faults) == (MOST_ITEMS, ())


def test_long_lists_are_merged_quickly():
    """100 instances say 100 codes each, none the same: 10,000 are merged, and a second time nothing is added."""
    changes = [
        StudyMapper(OPTIONS).map(
            entry(n, instance=f"1.{n}", t00081032=sequence(100, lambda one, n=n: coded(100 * n + one)))
        )
        for n in range(1, 101)
    ]
    started = time.process_time()
    study = merge_study(None, changes, {})
    assert merge_study(study, changes, {}) is None
    assert len(study["procedureCode"]) == 10_000
    assert time.process_time() - started < 10


ADDED = [
    # held, wanted, together
    ([{"text": "a", "display": "x"}], [{"text": "a"}], [{"text": "a", "display": "x"}]),
    ([{"text": "a"}], [{"text": "a", "x": "b"}], [{"text": "a"}, {"text": "a", "x": "b"}]),
    ([{"reference": "patient/7"}], [{"reference": "Patient/7"}], [{"reference": "patient/7"}]),
    ([{"n": 7.0}], [{"n": 7}], [{"n": 7.0}]),
    ([None, 7, "x"], ["x", "y"], [None, 7, "x", "y"]),
    ([], [{"text": "a"}, {"text": "a"}], [{"text": "a"}]),
]


@pytest.mark.parametrize(("held", "wanted", "together"), ADDED, ids=str)
def test_what_an_item_says_already_is_not_added(held, wanted, together):
    """It may say more."""
    assert added(held, wanted) == together
