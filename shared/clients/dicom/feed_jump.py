"""Crosses a jump in the sequence numbers: the next entry that exists is asked for, not each number that does not."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

from shared.clients.dicom.change_feed_entry import moment
from shared.clients.dicom.change_feed_reader import V1, FeedReader
from shared.clients.dicom.feed_window import Window
from shared.errors import FeedError
from shared.model.change_feed import FeedEntry
from shared.model.watermark import Watermark

V1_WINDOW = 100  # sequence numbers; the service allows 1-100
V2_PAGE = 200  # entries; the service allows 1-200
EMPTY_WINDOWS = 3
"""So many in a row are taken for a jump."""
PAGES, WINDOWS_BACK, WINDOWS_ON = 10, 100, 100
"""What one crossing may ask for: by time, back to where the entries begin, and on where nothing else helps."""


class Jump:
    """`grace`: what is younger may still come."""

    def __init__(self, reader: FeedReader, grace: timedelta) -> None:
        self._reader = reader
        self._grace = grace

    def first_behind(self, place: int, after: Watermark) -> int | None:
        """The sequence of the first entry behind `place`, by API v2's order of time; None where that does not tell.

        `after`: an entry before the jump. Raises OutageError.
        """
        with suppress(FeedError):  # no API v2, or none that can be read
            if (found := self._by_time(place, after)) is not None:
                return self._begins(found, place)
        return None

    def on(self, place: int, end: int) -> tuple[int, bool]:
        """On window by window, without metadata: how far nothing is, and whether something is behind it."""
        for window in windows(V1, place, min(end, place + WINDOWS_ON * V1_WINDOW), metadata=False):
            if entries := self._reader.read(window).entries:
                return entries[0].sequence - 1, True
            place = window.offset + window.limit
        return place, False

    def _by_time(self, place: int, after: Watermark) -> int | None:
        """The least sequence behind `place` of the entries that came next, and within the grace period after them."""
        if after.sequence and not after.timestamp:
            return None
        params = {"startTime": after.timestamp} if after.timestamp else {}
        found: list[FeedEntry] = []
        for page in range(PAGES):
            window = Window("/v2/changefeed", page * V2_PAGE, V2_PAGE, params, metadata=False)
            entries = self._reader.read(window).entries
            found += [entry for entry in entries if entry.sequence > place]
            if len(entries) < V2_PAGE or self._is_past(found, entries):
                break
        return min((entry.sequence for entry in found), default=None)

    def _is_past(self, found: Sequence[FeedEntry], entries: Sequence[FeedEntry]) -> bool:
        """Whether the entries are later than the first of `found` by more than writes may overtake one another."""
        first = next((moment(entry.timestamp) for entry in found if entry.timestamp), None)
        last = next((moment(entry.timestamp) for entry in reversed(entries) if entry.timestamp), None)
        return first is not None and last is not None and last > first + self._grace

    def _begins(self, found: int, place: int) -> int:
        """Back from an entry to the first of those around it: a clock that was set back has earlier ones follow it."""
        for _ in range(WINDOWS_BACK):
            offset = max(place, found - 1 - V1_WINDOW)
            if offset == found - 1:
                break
            window = Window(V1, offset, found - 1 - offset, metadata=False)
            if not (entries := self._reader.read(window).entries):
                break
            found = entries[0].sequence
        return found


def windows(path: str, place: int, end: int, *, metadata: bool = True) -> Iterator[Window]:
    """The windows of API v1 that lead from a place to an end."""
    for offset in range(place, end, V1_WINDOW):
        yield Window(path, offset, min(V1_WINDOW, end - offset), metadata=metadata)
