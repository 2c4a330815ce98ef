"""The feed's order, and what of it nothing can come before any more."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.clients.dicom.change_feed_entry import hundred_nanoseconds, moment
from shared.model.change_feed import FeedEntry
from shared.model.watermark import Hole, Watermark

MOST_WATCHED = 100
"""Numbers of one hole: what one answer of the service tells. Wider ones hold the feed, as long as they are young."""


def young_holes(
    entries: Sequence[FeedEntry], after: Watermark, as_of: datetime, grace: timedelta
) -> tuple[Sequence[FeedEntry], list[Hole], str | None]:
    """The entries, and the holes among them that may still fill.

    Before a hole of more than MOST_WATCHED numbers the entries end, with what is missing there. `as_of`: now, by the
    service's clock; what stands behind a hole for longer than `grace` tells that nothing is to come.
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
    """What is left of a hole: nothing once its time is over; else the numbers that no entry has come for."""
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
    """The watermark once these are done; its time is the last that can be read: a torn entry may have none."""
    if not entries:
        return after
    return Watermark(entries[-1].sequence, _first_time(reversed(entries)) or after.timestamp)


def place_of(entry: FeedEntry) -> tuple[int, int]:
    """Where API v2 has the entry in its order."""
    return hundred_nanoseconds(entry.timestamp or ""), entry.sequence


def is_behind(entry: FeedEntry, done: tuple[int, int], begin: int) -> bool:
    """Whether the entry is not done. One whose time cannot be read is not, where its number is new."""
    return place_of(entry) > done if entry.timestamp else entry.sequence > begin


def _is_old(entries: Sequence[FeedEntry], old_before: datetime) -> bool:
    timestamp = _first_time(entries)
    return timestamp is not None and moment(timestamp) <= old_before


def _first_time(entries: Iterable[FeedEntry]) -> str | None:
    """The first timestamp that can be read: a torn entry may have none."""
    return next((entry.timestamp for entry in entries if entry.timestamp), None)
