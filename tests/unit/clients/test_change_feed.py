"""The change feed's entries and holes; requests are tested against the real service in tests/integration."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_entry import entry_of, hundred_nanoseconds, torn_entry_of
from shared.clients.dicom.feed_order import MOST_WATCHED, still_open, young_holes
from shared.clients.dicom.feed_window import WindowRead
from shared.errors import FeedError
from shared.model.change_feed import Action, State, TornEntry
from shared.model.watermark import Hole, Watermark
from tests.fakes import NOW, entry

URL = "https://d/v1/changefeed"
ITEM = {
    "Sequence": 7,
    "StudyInstanceUid": "1.2",
    "SeriesInstanceUid": "1.3",
    "SopInstanceUid": "1.4",
    "Action": "Create",
    "State": "CURRENT",
    "Timestamp": "2024-05-06T07:08:09.1234567+00:00",
}


def test_an_entry_out_of_json():
    """Words in any letter case; PartitionName, FilePath and Metadata may be absent."""
    read = entry_of(ITEM, URL)
    assert (read.sequence, read.action, read.state, read.partition, read.metadata) == (
        7,
        Action.CREATE,
        State.CURRENT,
        "Microsoft.Default",
        None,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Sequence": "7"}, "Sequence is not a positive whole number"),
        ({"Sequence": 0}, "Sequence is not a positive whole number"),
        ({"StudyInstanceUid": None}, "entry 7: StudyInstanceUid is missing"),
        ({"SopInstanceUid": "1.\ud800"}, "entry 7: SopInstanceUid is not ASCII text"),
        ({"Action": "rename"}, "entry 7: 'rename' is not a valid Action"),
        ({"State": ""}, "entry 7: State is missing"),
        ({"Timestamp": "yesterday"}, "entry 7: Invalid isoformat"),
        ({"Timestamp": "2024-05-06T07:08:09"}, "entry 7: Timestamp has no offset"),
        ({"PartitionName": "a/b"}, "entry 7: PartitionName is not 1 to 64 letters"),
        ({"Metadata": []}, "entry 7: Metadata is not a JSON object"),
    ],
)
def test_what_is_not_the_contract_is_named(change, said):
    """URL, sequence, field."""
    with pytest.raises(FeedError) as caught:
        entry_of(ITEM | change, URL)
    assert URL in str(caught.value)
    assert said in str(caught.value)


def test_entries_come_in_the_feed_s_order():
    """Those that are asked for by number too, whatever their times."""
    held = [replace(entry(number), timestamp=f"2024-05-06T07:08:0{10 - number}.1234567+00:00") for number in (3, 7, 9)]

    class Reader:
        def read(self, window):
            found = [one for one in held if window.offset < one.sequence <= window.offset + window.limit]
            return WindowRead(window, found, NOW, window.limit)

    assert [one.sequence for one in ChangeFeed(Reader(), 0).entries({3, 9})] == [3, 9]


WATCHED = [
    # rule                                          sequences            from  entries are  passed  holes
    ("no hole",                                     (5, 6, 7),           4,    "young",     3,      []),
    ("a hole before young entries is watched",      (5, 7, 8),           4,    "young",     3,      [(6, 6)]),
    ("so are several, and one after the watermark", (6, 9),              4,    "young",     2,      [(5, 5), (7, 8)]),
    ("a hole before old entries is for ever",       (5, 7, 8),           4,    "old",       3,      []),
    ("an old feed may begin anywhere",              (100, 101),          0,    "old",       2,      []),
    ("a wide one waits",                            (5, 7, 900),         4,    "young",     2,      [(6, 6)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "sequences", "start", "age", "passed", "holes"), WATCHED, ids=[row[0] for row in WATCHED]
)
def test_holes_that_are_watched(rule, sequences, start, age, passed, holes):
    """A rolled-back write leaves a hole for ever, a slow one fills it: age tells them apart.

    What stands behind a hole is given out at once; it is open until what stands behind it is old.
    """
    grace = timedelta(seconds=30)
    as_of = NOW + timedelta(seconds=10 if age == "young" else 30)
    given, found, held_by = young_holes([entry(one) for one in sequences], Watermark(start), as_of, grace)
    assert len(given) == passed, rule
    assert [(one.first, one.last) for one in found] == holes
    assert {one.until for one in found} <= {(NOW + grace).isoformat()}
    assert (held_by is None) == (passed == len(sequences))
    assert MOST_WATCHED < 900 - 8


@pytest.mark.parametrize(
    ("found", "seconds", "left"),
    [
        ((), 29, [(5, 9)]),
        ((5,), 29, [(6, 9)]),
        ((7, 9), 29, [(5, 6), (8, 8)]),
        ((5, 6, 7, 8, 9), 0, []),
        ((), 30, []),
    ],
)
def test_what_is_left_of_a_hole(found, seconds, left):
    """The numbers that no entry has come for, until its time is over."""
    hole = Hole(5, 9, (NOW + timedelta(seconds=30)).isoformat())
    rest = still_open(hole, found, NOW + timedelta(seconds=seconds))
    assert [(one.first, one.last) for one in rest] == left


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2024-05-06T07:08:09.1234567+00:00", "2024-05-06T07:08:09.1234568+00:00"),
        ("2024-05-06T07:08:09.12345+00:00", "2024-05-06T07:08:09.1234501+00:00"),
        ("2024-05-06T07:08:09+00:00", "2024-05-06T07:08:09.0000001Z"),
        ("2024-05-06T09:08:09.5+02:00", "2024-05-06T07:08:09.6+00:00"),
    ],
)
def test_timestamps_are_told_apart_by_100_ns(earlier, later):
    """The service orders by them; a microsecond is too coarse. .NET drops trailing zeros."""
    assert hundred_nanoseconds(earlier) < hundred_nanoseconds(later)
    assert datetime.fromisoformat(earlier) <= datetime.fromisoformat(later)


@pytest.mark.parametrize(
    ("said", "partition"),
    [
        ({}, "Microsoft.Default"),
        ({"PartitionName": "north"}, "north"),
        ({"PartitionName": "no/name"}, "Microsoft.Default"),
    ],
)
def test_what_is_known_of_a_torn_entry(said, partition):
    """Its data partition too, where it can be read."""
    torn = torn_entry_of({"Sequence": 7, "StudyInstanceUid": "1.2", "Action": "rename", **said}, "https://d", "why")
    assert torn == TornEntry(7, None, "why", study_instance_uid="1.2", partition=partition)


TORN = [
    # rule                                              torn without a time, entries  young  holes
    ("a torn entry is no hole",                          (6,),  (5, 7),               True,  []),
    ("a hole before it is as old as what follows",       (7,),  (5, 8),               False, []),
    ("young, it may still fill",                         (7,),  (5, 8),               True,  [(6, 6)]),
    ("nothing tells its age: it may still fill",         (7,),  (5,),                 False, [(6, 6)]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "torn", "whole", "is_young", "holes"), TORN, ids=[row[0] for row in TORN])
def test_holes_beside_torn_entries(rule, torn, whole, is_young, holes):
    """An entry that cannot be read is there, and nothing may be lost around it."""
    entries = [*map(entry, whole), *(TornEntry(sequence, None, "no JSON") for sequence in torn)]
    entries.sort(key=lambda one: one.sequence)
    as_of = NOW + timedelta(seconds=10 if is_young else 30)
    given, found, held_by = young_holes(entries, Watermark(4), as_of, timedelta(seconds=30))
    assert (given, held_by) == (entries, None), rule
    assert [(one.first, one.last) for one in found] == holes
