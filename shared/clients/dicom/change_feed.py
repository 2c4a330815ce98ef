"""The DICOM service's change feed, read by sequence number with API v1, and by time with API v2 for replays.

Sequence numbers come from a database sequence: a write that is rolled back leaves a hole for good, and a slow write's
entry appears after entries with higher numbers. So a hole beside young entries is returned with them, and requested
again until it is old.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.clients.dicom.change_feed_entry import hundred_nanoseconds, moment
from shared.clients.dicom.change_feed_reader import V1, FeedReader
from shared.clients.dicom.feed_jump import EMPTY_WINDOWS, V1_WINDOW, V2_PAGE, Jump, windows
from shared.clients.dicom.feed_order import is_behind, place_of, reached, still_open, young_holes
from shared.clients.dicom.feed_window import Window, WindowRead
from shared.clients.http import HttpService
from shared.clients.prefetch import prefetched
from shared.errors import FeedEndsEarlyError, FeedError, TornAnswerError
from shared.model.change_feed import FeedEntry, FeedPage
from shared.model.watermark import Hole, Watermark

PAGES_AHEAD = 25
"""Pages that are kept until they are asked for, if several are requested at once: 2,500 entries."""
SLOW = "entries that cannot be read are told apart from those around them: the next tick goes on"


class ChangeFeed:
    """Reads the feed. `gap_grace_seconds`: how long after its neighbours an entry may still fill a hole."""

    def __init__(self, reader: FeedReader, gap_grace_seconds: float) -> None:
        self._reader = reader
        self._grace = timedelta(seconds=gap_grace_seconds)
        self._jump = Jump(reader, self._grace)

    @property
    def service(self) -> HttpService:
        """The DICOM service."""
        return self._reader.service

    def latest(self) -> FeedEntry | None:
        """The entry of the highest sequence, without metadata; None if the feed is empty."""
        return self._reader.latest()

    def pages(self, after: Watermark, at_once: int = 1) -> Iterator[FeedPage]:
        """The entries behind `after`, to the one that was the latest when the reading began.

        `at_once` windows are requested at a time. A window without entries is not the end of the feed: after some of
        them in a row, the jump in the sequence numbers is crossed. Raises FeedError, OutageError.
        """
        end, clock = self._end(after)
        place = after.sequence
        while place < end:
            empty = 0
            for read in prefetched(self._reader.read, windows(V1, place, end), at_once, PAGES_AHEAD):
                place, clock = read.end, read.as_of
                settled, holes, held_by = young_holes(read.entries, after, read.as_of, self._grace)
                after = reached(settled, after)
                held_by = held_by or (SLOW if read.is_cut else None)
                if settled or held_by:
                    yield FeedPage(settled, after, held_by, holes)
                if held_by:
                    return
                empty = 0 if read.entries else empty + 1
                if empty == EMPTY_WINDOWS:
                    break
            if place >= end:
                return
            if (first := self._jump.first_behind(place, after)) is not None:
                place = first - 1
                continue
            place, is_there = self._jump.on(place, end)
            if not is_there:
                yield self._page_in_a_jump(after, place, end, clock)
                return

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        """The first entry behind the watermark, without metadata; None if there is none, or only far behind a jump."""
        end, _ = self._end(watermark)
        place = watermark.sequence
        for window in windows(V1, place, min(end, place + EMPTY_WINDOWS * V1_WINDOW), metadata=False):
            if entries := self._reader.read(window).entries:
                return entries[0]
            place = window.offset + window.limit
        first = self._jump.first_behind(place, watermark) if place < end else None
        return next(iter(self._reader.read(Window(V1, first - 1, 1, metadata=False)).entries), None) if first else None

    def entries(self, sequences: Collection[int]) -> list[FeedEntry]:
        """These entries as they are now, in the feed's order; those that the feed no longer has are left out."""
        wanted = sorted(sequences)
        found: list[FeedEntry] = []
        while wanted:
            offset = wanted[0] - 1
            read = self._reader.read(Window(V1, offset, min(V1_WINDOW, wanted[-1] - offset)))
            found += [entry for entry in read.entries if entry.sequence in sequences]
            wanted = [sequence for sequence in wanted if sequence > read.end]
        return found

    def filled(self, holes: Sequence[Hole]) -> tuple[list[FeedEntry], list[Hole]]:
        """The entries that now fill holes, and the holes that may still fill. Raises FeedError, OutageError."""
        found: list[FeedEntry] = []
        left: list[Hole] = []
        for hole in holes:
            read = self._reader.read(Window(V1, hole.first - 1, len(hole.sequences)))
            found += read.entries
            left += [hole] if read.is_cut else still_open(hole, {one.sequence for one in read.entries}, read.as_of)
        return found, left

    def by_sequence(self, by_time: Watermark) -> Watermark:
        """The mark by sequence number for one in API v2's order, by time. Earlier releases of the app followed API v2.

        It is set before every entry that is behind the given mark by time: entries of about the same time may have
        sequences in another order.
        """
        if not by_time.timestamp:
            return by_time
        end = moment(by_time.timestamp) + self._grace
        try:
            pages = list(self.between(by_time, end.isoformat(), metadata=False))
        except FeedError:  # without API v2 there cannot be a mark in its order
            return by_time
        first = min((entry.sequence for page in pages for entry in page.entries), default=by_time.sequence + 1)
        return replace(by_time, sequence=min(by_time.sequence, first - 1))

    def between(self, after: Watermark, end: str, *, metadata: bool = True) -> Iterator[FeedPage]:
        """The entries behind `after`, which has a time, and before the time `end`. Raises FeedError, OutageError."""
        start = after.timestamp or ""
        if moment(start) >= moment(end):
            return
        begin, done = after.sequence, (hundred_nanoseconds(start), after.sequence)
        for read, unseen in self._pages_by_time(start, end, metadata=metadata):
            entries = [entry for entry in unseen if is_behind(entry, done, begin)]
            if timed := [entry for entry in entries if entry.timestamp]:
                done, after = place_of(timed[-1]), Watermark(timed[-1].sequence, timed[-1].timestamp)
            if entries:
                yield FeedPage(entries, after, SLOW if read.is_cut else None)

    def _pages_by_time(self, start: str, end: str, *, metadata: bool) -> Iterator[tuple[WindowRead, list[FeedEntry]]]:
        """The pages of API v2, each with those of its entries that no page before it had.

        The last one may not be read to its end. Raises FeedError if a page has nothing new.
        """
        times = {"startTime": start, "endTime": end}
        seen: set[int] = set()
        offset = 0
        while True:
            read = self._reader.read(Window("/v2/changefeed", offset, V2_PAGE, times, metadata))
            unseen = [entry for entry in read.entries if entry.sequence not in seen]
            if read.entries and not unseen:
                raise FeedError(
                    f"{self._reader.service.url}/v2/changefeed: the page at offset {offset} repeats another"
                )
            seen.update(entry.sequence for entry in unseen)
            yield read, unseen
            if read.is_cut or len(read.entries) < V2_PAGE:
                return
            offset += len(read.entries)

    def _page_in_a_jump(self, after: Watermark, place: int, end: int, clock: datetime | None) -> FeedPage:
        """A page without entries, as none was found up to `place`.

        The watermark moves to `place` only if the newest entry is so old that none can appear before it any more.
        """
        latest = self.latest()
        is_old = bool(clock and latest and latest.timestamp and moment(latest.timestamp) <= clock - self._grace)
        reason = (
            f"no entry of the sequences {after.sequence + 1} to {place}, and {end} is the latest: the next tick goes on"
        )
        return FeedPage((), Watermark(place, after.timestamp) if is_old else after, reason)

    def _end(self, after: Watermark) -> tuple[int, datetime | None]:
        """The highest sequence, and the service's clock. Raises FeedEndsEarlyError if it is before `after`.

        If not even the sequence of the newest entry can be read, the end of the next window is returned.
        """
        try:
            latest, clock = self._reader.latest_with_clock()
        except TornAnswerError:
            return after.sequence + V1_WINDOW, None
        highest = latest.sequence if latest else 0
        if highest < after.sequence:
            raise FeedEndsEarlyError(highest, after.sequence)
        return highest, clock
