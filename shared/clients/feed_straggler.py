"""Entries of API v2 whose time goes back: the service's clock was set back, and by time they were never to come.

They are found by their sequence, in the numbers that the order of time left out.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from shared.clients.change_feed_entry import hundred_nanoseconds
from shared.clients.change_feed_reader import V1, FeedReader
from shared.clients.feed_jump import EMPTY_WINDOWS, windows
from shared.clients.feed_order import before_young_hole, place_of
from shared.errors import FeedError
from shared.model import FeedEntry, FeedPage, Watermark

MAX_WINDOWS = 50
"""Looked at beside one page: a jump in the numbers has no entries."""


class Stragglers:
    """Of one reading, page by page. What one page left out no later one looks for."""

    def __init__(self, reader: FeedReader) -> None:
        self._reader = reader
        self._given: set[int] = set()

    def beside(self, page: FeedPage, after: Watermark) -> list[int]:
        """Sequences between `after` and the page's highest that are not later in time than the page, and not in it."""
        told = [entry.sequence for entry in page.entries]
        self._given.update(told)
        missing = _gaps(after.sequence, sorted(told))
        return [entry.sequence for entry in self._within(missing) if self._goes_back(entry, page.through)]

    def behind(self, after: Watermark, highest: int, old_before: datetime) -> tuple[list[int], Watermark]:
        """Sequences behind all that were given whose time is not behind `after`, and the watermark once they are done.

        All up to the time of `after` was given, so that its sequence may be any that is not higher.
        """
        last = max(self._given | {after.sequence})
        entries = list(self._within([(last, highest)]))
        settled, _ = before_young_hole(entries, Watermark(last), old_before)
        back = [entry.sequence for entry in settled if self._goes_back(entry, after)]
        return back, Watermark(max([last, *back]), after.timestamp)

    def _goes_back(self, entry: FeedEntry, through: Watermark) -> bool:
        if entry.sequence in self._given or not entry.timestamp or not through.timestamp:
            return False
        return place_of(entry) <= (hundred_nanoseconds(through.timestamp), through.sequence)

    def _within(self, gaps: Sequence[tuple[int, int]]) -> Iterator[FeedEntry]:
        """The entries of these numbers, without metadata; of a gap no more once some windows of it were empty."""
        left = MAX_WINDOWS
        place = 0
        for first, last in gaps:
            empty = 0
            for window in windows(V1, max(first, place), last, metadata=False):
                if not left or empty == EMPTY_WINDOWS:
                    break
                left -= 1
                place = window.offset + window.limit
                try:
                    entries = self._reader.read(window).entries
                except FeedError:  # no API v1, or none that can be read
                    return
                empty = 0 if entries else empty + 1
                yield from entries


def _gaps(place: int, sequences: Sequence[int]) -> list[tuple[int, int]]:
    """What is missing between the numbers, as (before the first, the last)."""
    gaps = []
    for sequence in sequences:
        if sequence > place + 1:
            gaps.append((place, sequence - 1))
        place = max(place, sequence)
    return gaps
