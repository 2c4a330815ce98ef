"""Crosses a jump in the sequence numbers: finds the next entry without a request for each window between."""

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
"""Windows in a row without an entry that are taken for a jump."""
PAGES, WINDOWS_BACK, WINDOWS_ON = 10, 100, 100
"""The most requests of one crossing: by time, back to the first of the entries found, and on, window by window."""


class Jump:
    """`grace`: how much later a slow write's entry may appear than entries with higher sequences."""

    def __init__(self, reader: FeedReader, grace: timedelta) -> None:
        self._reader = reader
        self._grace = grace

    def first_behind(self, place: int, after: Watermark) -> int | None:
        """The sequence of the first entry behind `place`, found by time with API v2; None if that does not find it.

        `after`: an entry before the jump. Raises OutageError.
        """
        with suppress(FeedError):  # the service has no API v2, or its answers cannot be read
            if (found := self._by_time(place, after)) is not None:
                return self._first_around(found, place)
        return None

    def on(self, place: int, end: int) -> tuple[int, bool]:
        """Reads on window by window, without metadata.

        Returns the place up to which there is nothing, and whether an entry was found behind it.
        """
        for window in windows(V1, place, min(end, place + WINDOWS_ON * V1_WINDOW), metadata=False):
            if entries := self._reader.read(window).entries:
                return entries[0].sequence - 1, True
            place = window.offset + window.limit
        return place, False

    def _by_time(self, place: int, after: Watermark) -> int | None:
        """The least sequence behind `place` among the entries that came next by time and within `grace` after that."""
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
        """Whether the last of `entries` is more than `grace` later than the first of `found`."""
        first = next((moment(entry.timestamp) for entry in found if entry.timestamp), None)
        last = next((moment(entry.timestamp) for entry in reversed(entries) if entry.timestamp), None)
        return first is not None and last is not None and last > first + self._grace

    def _first_around(self, found: int, place: int) -> int:
        """The first sequence of the run of entries that `found` is in.

        If the service's clock was set back, entries with lower sequences may have later times.
        """
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
    """The windows of API v1 from a place to an end."""
    for offset in range(place, end, V1_WINDOW):
        yield Window(path, offset, min(V1_WINDOW, end - offset), metadata=metadata)
