"""The DICOM service's change feed, v1 and v2.

Sequence numbers come from a database sequence: a rolled-back write leaves a hole for ever, a slow one shows up after
higher numbers. So nothing is given out that something may yet come before.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from shared.clients.change_feed_entry import hundred_nanoseconds, moment
from shared.clients.change_feed_reader import V1, FeedReader
from shared.clients.feed_jump import EMPTY_WINDOWS, V1_WINDOW, V2_PAGE, Jump, windows
from shared.clients.feed_order import is_behind, place_of, reached, still_open, young_holes
from shared.clients.feed_straggler import Stragglers
from shared.clients.feed_window import Window
from shared.clients.http import HttpService
from shared.clients.in_order import in_order
from shared.errors import FeedEndsEarlyError, FeedError, TornAnswerError
from shared.model import FeedEntry, FeedPage, Hole, Watermark

SLOW = "entries that cannot be read are told apart from those around them: the next tick goes on"


class ChangeFeed:
    """What v1 and v2 have in common."""

    def __init__(self, reader: FeedReader, gap_grace_seconds: float, version: str) -> None:
        self._reader = reader
        self.path = f"/{version}/changefeed"
        self._grace = timedelta(seconds=gap_grace_seconds)
        self._jump = Jump(reader, self._grace)

    @property
    def service(self) -> HttpService:
        """Where it is read from."""
        return self._reader.service

    def latest(self) -> FeedEntry | None:
        """The entry of the highest sequence, without metadata, None where the feed is empty; as API v1 tells it."""
        return self._latest()[0]

    def entries(self, sequences: Collection[int]) -> list[FeedEntry]:
        """These entries as they are now, in windows of v1: v2 cannot be asked for a sequence number."""
        wanted = sorted(sequences)
        found: list[FeedEntry] = []
        while wanted:
            offset = wanted[0] - 1
            read = self._reader.read(Window(V1, offset, min(V1_WINDOW, wanted[-1] - offset)))
            found += [entry for entry in read.entries if entry.sequence in sequences]
            wanted = [sequence for sequence in wanted if sequence > read.end]
        return found

    def filled(self, holes: Sequence[Hole]) -> tuple[list[FeedEntry], list[Hole]]:
        """The entries that have come into holes, and what of them may still fill."""
        found: list[FeedEntry] = []
        left: list[Hole] = []
        for hole in holes:
            read = self._reader.read(Window(V1, hole.first - 1, len(hole.sequences)))
            found += read.entries
            left += [hole] if read.is_cut else still_open(hole, {one.sequence for one in read.entries}, read.as_of)
        return found, left

    def between(self, after: Watermark, end: str | None, *, metadata: bool = True) -> Iterator[FeedPage]:
        """Entries behind `after` whose Timestamp is before `end`, None: to the last; pages of v2: v1 knows no time."""
        start = after.timestamp or self._timestamp_of(after)
        if start and end and moment(start) >= moment(end):
            return
        window = {name: time for name, time in (("startTime", start), ("endTime", end)) if time}
        begin, done = after.sequence, (hundred_nanoseconds(start), after.sequence) if start else (0, after.sequence)
        offset = 0
        seen: set[int] = set()
        while True:
            read = self._reader.read(Window("/v2/changefeed", offset, V2_PAGE, window, metadata))
            told = {entry.sequence for entry in read.entries}
            if told and told <= seen:
                raise FeedError(
                    f"{self._reader.service.url}/v2/changefeed: the page at offset {offset} repeats another"
                )
            fresh = [entry for entry in read.entries if entry.sequence not in seen and is_behind(entry, done, begin)]
            seen |= told
            if fresh:
                if timed := [entry for entry in fresh if entry.timestamp]:
                    done, after = place_of(timed[-1]), Watermark(timed[-1].sequence, timed[-1].timestamp)
                yield FeedPage(fresh, after, SLOW if read.is_cut else None)
            if read.is_cut or len(read.entries) < V2_PAGE:
                return
            offset += len(read.entries)

    def _latest(self) -> tuple[FeedEntry | None, datetime]:
        """By API v1, which has the highest sequence; of a service without it, the last by time."""
        try:
            return self._reader.latest_with_clock(V1)
        except FeedError:
            if self.path == V1:
                raise
            return self._reader.latest_with_clock(self.path)

    def _end(self, after: Watermark) -> tuple[int, datetime | None]:
        """The highest sequence, and the service's clock. Raises FeedEndsEarlyError.

        A newest entry of which not even the number can be read is as good as one right behind `after`.
        """
        try:
            latest, clock = self._latest()
        except TornAnswerError:
            return after.sequence + V1_WINDOW, None
        highest = latest.sequence if latest else 0
        if highest < after.sequence:
            raise FeedEndsEarlyError(highest, after.sequence)
        return highest, clock

    def _timestamp_of(self, watermark: Watermark) -> str | None:
        """When the entry at the watermark was made: a row written by v1's predecessor holds a sequence only."""
        if watermark.sequence == 0:
            return None
        entries = self.entries({watermark.sequence})
        if not entries or not entries[0].timestamp:
            raise FeedError(
                f"{self._reader.service.url}/v1/changefeed: no entry {watermark.sequence} to take the time from; "
                "let one tick run with DicomWeb__ApiVersion v1 first"
            )
        return entries[0].timestamp


class ChangeFeedV1(ChangeFeed):
    """By sequence number: a window is (offset, offset + limit]. A hole beside young entries may still fill."""

    def __init__(self, reader: FeedReader, gap_grace_seconds: float) -> None:
        super().__init__(reader, gap_grace_seconds, "v1")

    def pages(self, after: Watermark, at_once: int = 1) -> Iterator[FeedPage]:
        """Windows up to the entry that was the latest when the reading began. An empty window is not the end."""
        end, clock = self._end(after)
        place = after.sequence
        while place < end:
            empty = 0
            for read in in_order(self._reader.read, windows(self.path, place, end), at_once):
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
                yield self._in_a_jump(after, place, end, clock)
                return

    def _in_a_jump(self, after: Watermark, place: int, end: int, clock: datetime | None) -> FeedPage:
        """Nothing was found up to `place`: the watermark may stand there once nothing can come before it any more."""
        latest = self.latest()
        is_old = bool(clock and latest and latest.timestamp and moment(latest.timestamp) <= clock - self._grace)
        said = (
            f"no entry of the sequences {after.sequence + 1} to {place}, and {end} is the latest: the next tick goes on"
        )
        return FeedPage((), Watermark(place, after.timestamp) if is_old else after, said)

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        """The first entry behind the watermark, without metadata; None where none is there, or far behind a jump."""
        end, _ = self._end(watermark)
        place = watermark.sequence
        for window in windows(self.path, place, min(end, place + EMPTY_WINDOWS * V1_WINDOW), metadata=False):
            if entries := self._reader.read(window).entries:
                return entries[0]
            place = window.offset + window.limit
        first = self._jump.first_behind(place, watermark) if place < end else None
        return next(iter(self._reader.read(Window(V1, first - 1, 1, metadata=False)).entries), None) if first else None


class ChangeFeedV2(ChangeFeed):
    """By time: entries younger than the grace period wait, since a slow write may yet come before them."""

    def __init__(self, reader: FeedReader, gap_grace_seconds: float) -> None:
        super().__init__(reader, gap_grace_seconds, "v2")

    def pages(self, after: Watermark, at_once: int = 1) -> Iterator[FeedPage]:  # noqa: ARG002
        """Entries of [after, now - grace), by timestamp and sequence; those up to `after` are left out.

        One page after another: where one begins depends on the one before. Entries whose time goes back behind `after`
        are found by their sequence, and come with the page around them.
        """
        highest, clock = self._end(after)
        old_before = (clock or self._reader.latest_with_clock(self.path)[1]) - self._grace
        stragglers = Stragglers(self._reader)
        for page in self.between(after, old_before.isoformat()):
            back = self.entries(stragglers.beside(page, after))
            after = page.through
            yield FeedPage([*back, *page.entries], after, page.held_by)
            if page.held_by:
                return
        if after.timestamp and moment(after.timestamp) < old_before:
            tail, through = stragglers.behind(after, highest, old_before)
            if tail or through != after:
                yield FeedPage(self.entries(tail), through)

    def entries(self, sequences: Collection[int]) -> list[FeedEntry]:
        """These entries as they are now, in the order of their times."""
        return sorted(super().entries(sequences), key=lambda entry: place_of(entry) if entry.timestamp else (0, 0))

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        """The first entry behind the watermark, without metadata; None where there is none."""
        page = next(self.between(watermark, None, metadata=False), None)
        return page.entries[0] if page else None
