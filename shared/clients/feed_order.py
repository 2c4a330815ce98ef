"""The feed's order, and what of it nothing can come before any more."""

from collections.abc import Sequence
from datetime import datetime

from shared.clients.change_feed_entry import hundred_nanoseconds, moment
from shared.model import FeedEntry, Watermark


def before_young_hole(
    entries: Sequence[FeedEntry], after: Watermark, old_before: datetime
) -> tuple[Sequence[FeedEntry], str | None]:
    """The entries up to the first hole that may still fill, and what is missing there."""
    expected = after.sequence + 1
    for position, entry in enumerate(entries):
        if entry.sequence > expected and not _is_old(entries[position:], old_before):
            return entries[:position], f"sequence {expected} is missing and may still come"
        expected = entry.sequence + 1
    return entries, None


def reached(entries: Sequence[FeedEntry], after: Watermark) -> Watermark:
    """The watermark once these are done; its time is the last that can be read: a torn entry may have none."""
    if not entries:
        return after
    timestamp = next((entry.timestamp for entry in reversed(entries) if entry.timestamp), after.timestamp)
    return Watermark(entries[-1].sequence, timestamp)


def place_of(entry: FeedEntry) -> tuple[int, int]:
    """Where API v2 has the entry in its order."""
    return hundred_nanoseconds(entry.timestamp or ""), entry.sequence


def is_behind(entry: FeedEntry, done: tuple[int, int], begin: int) -> bool:
    """Whether the entry is not done. One whose time cannot be read is not, where its number is new."""
    return place_of(entry) > done if entry.timestamp else entry.sequence > begin


def _is_old(entries: Sequence[FeedEntry], old_before: datetime) -> bool:
    """By the first timestamp that can be read: a torn entry may have none."""
    timestamp = next((entry.timestamp for entry in entries if entry.timestamp), None)
    return timestamp is not None and moment(timestamp) <= old_before
