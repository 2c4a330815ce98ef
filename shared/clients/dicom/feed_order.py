"""The order of the feed's entries, and its holes: sequence numbers that a slow write may still fill."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.clients.dicom.change_feed_entry import hundred_nanoseconds, moment
from shared.model.change_feed import FeedEntry
from shared.model.watermark import Hole, Watermark

MOST_WATCHED = 100
"""Sequence numbers in one hole: as many as one window has. A wider hole stops the reading while it is young."""


def young_holes(
    entries: Sequence[FeedEntry], after: Watermark, as_of: datetime, grace: timedelta
) -> tuple[Sequence[FeedEntry], list[Hole], str | None]:
    """The entries, the holes among them that may still fill, and why the entries end early, if they do.

    They end before a young hole of more than MOST_WATCHED numbers. `as_of`: the service's clock. A hole is old, and is
    no longer filled, once an entry behind it is older than `grace`.
    """
    expected = after.sequence + 1
    holes: list[Hole] = []
    for position, entry in enumerate(entries):
        if entry.sequence > expected and not _is_old(entries[position:], as_of - grace):
            if entry.sequence - expected > MOST_WATCHED:
                return entries[:position], holes, f"sequence {expected} is missing and may still come"
            timestamp = _first_time(entries[position:])
            until = (moment(timestamp) if timestamp else as_of) + grace
            holes.append(Hole(expected, entry.sequence - 1, until.isoformat()))
        expected = entry.sequence + 1
    return entries, holes, None


def still_open(hole: Hole, found: Collection[int], as_of: datetime) -> list[Hole]:
    """The parts of a hole that may still fill: those that no entry has filled; none once its time is over."""
    if moment(hole.until) <= as_of:
        return []
    left: list[Hole] = []
    for sequence in hole.sequences:
        if sequence in found:
            continue
        if left and left[-1].last == sequence - 1:
            left[-1] = replace(left[-1], last=sequence)
        else:
            left.append(Hole(sequence, sequence, hole.until))
    return left


def reached(entries: Sequence[FeedEntry], after: Watermark) -> Watermark:
    """The watermark after these entries. Its time is the last one that can be read, as a torn entry may have none."""
    if not entries:
        return after
    return Watermark(entries[-1].sequence, _first_time(reversed(entries)) or after.timestamp)


def place_of(entry: FeedEntry) -> tuple[int, int]:
    """The entry's place in the order of API v2: time, then sequence."""
    return hundred_nanoseconds(entry.timestamp or ""), entry.sequence


def is_behind(entry: FeedEntry, done: tuple[int, int], begin: int) -> bool:
    """Whether the entry comes after `done` in the order of API v2; without a time, whether it is behind `begin`."""
    return place_of(entry) > done if entry.timestamp else entry.sequence > begin


def _is_old(entries: Sequence[FeedEntry], old_before: datetime) -> bool:
    timestamp = _first_time(entries)
    return timestamp is not None and moment(timestamp) <= old_before


def _first_time(entries: Iterable[FeedEntry]) -> str | None:
    """The first timestamp that can be read, as a torn entry may have none."""
    return next((entry.timestamp for entry in entries if entry.timestamp), None)
