"""The DICOM service's change feed, v1 and v2.

Sequence numbers come from a database sequence: a rolled-back write leaves a hole for ever, a slow one shows up after
higher numbers. So nothing is given out that something may yet come before.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from shared.clients.change_feed_entry import hundred_nanoseconds, moment
from shared.clients.change_feed_reader import FeedReader, Window
from shared.clients.http import HttpService
from shared.clients.in_order import in_order
from shared.errors import FeedError
from shared.model import ChangeFeedEntry, FeedEntry, FeedPage, Watermark

V1_WINDOW = 100  # sequence numbers; the service allows 1-100
V2_PAGE = 200  # entries; the service allows 1-200


class ChangeFeed:
    """What v1 and v2 have in common."""

    def __init__(self, reader: FeedReader, gap_grace_seconds: float, version: str) -> None:
        self._reader = reader
        self.path = f"/{version}/changefeed"
        self._grace = timedelta(seconds=gap_grace_seconds)

    @property
    def service(self) -> HttpService:
        """Where it is read from."""
        return self._reader.service

    def latest(self) -> ChangeFeedEntry | None:
        """The newest entry without metadata, None where the feed is empty."""
        return self._reader.latest(self.path)

    def entries(self, sequences: Collection[int]) -> list[FeedEntry]:
        """These entries as they are now, in windows of v1: v2 cannot be asked for a sequence number."""
        wanted = sorted(sequences)
        found: list[FeedEntry] = []
        while wanted:
            offset = wanted[0] - 1
            window = Window("/v1/changefeed", offset, min(V1_WINDOW, wanted[-1] - offset))
            entries, _ = self._reader.read(window)
            found += [entry for entry in entries if entry.sequence in sequences]
            wanted = [sequence for sequence in wanted if sequence > offset + V1_WINDOW]
        return found

    def between(self, after: Watermark, end: str | None, *, metadata: bool = True) -> Iterator[FeedPage]:
        """Entries behind `after` whose Timestamp is before `end`, None: to the last; pages of v2: v1 knows no time."""
        start = after.timestamp or self._timestamp_of(after)
        if start and end and moment(start) >= moment(end):
            return
        window = {name: time for name, time in (("startTime", start), ("endTime", end)) if time}
        done = (hundred_nanoseconds(start), after.sequence) if start else (0, after.sequence)
        offset = 0
        while True:
            entries, _ = self._reader.read(Window("/v2/changefeed", offset, V2_PAGE, window, metadata))
            fresh = [entry for entry in entries if not entry.timestamp or _place(entry) > done]
            if fresh:
                if timed := [entry for entry in fresh if entry.timestamp]:
                    done, after = _place(timed[-1]), Watermark(timed[-1].sequence, timed[-1].timestamp)
                yield FeedPage(fresh, after)
            if len(entries) < V2_PAGE:
                return
            offset += len(entries)

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
        for entries, as_of in in_order(self._reader.read, self._windows(after), at_once):
            settled, hole = before_young_hole(entries, after, as_of - self._grace)
            if settled:
                after = Watermark(settled[-1].sequence, settled[-1].timestamp)
            if settled or hole:
                yield FeedPage(settled, after, hole)
            if hole:
                return

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        """The first entry behind the watermark, without metadata; None where there is none."""
        for window in self._windows(watermark, metadata=False):
            entries, _ = self._reader.read(window)
            if entries:
                return entries[0]
        return None

    def _windows(self, after: Watermark, *, metadata: bool = True) -> Iterator[Window]:
        end = self._reader.latest_sequence(self.path)
        for offset in range(after.sequence, end, V1_WINDOW):
            yield Window(self.path, offset, min(V1_WINDOW, end - offset), metadata=metadata)


class ChangeFeedV2(ChangeFeed):
    """By time: entries younger than the grace period wait, since a slow write may yet come before them."""

    def __init__(self, reader: FeedReader, gap_grace_seconds: float) -> None:
        super().__init__(reader, gap_grace_seconds, "v2")

    def pages(self, after: Watermark, at_once: int = 1) -> Iterator[FeedPage]:  # noqa: ARG002
        """Entries of [after, now - grace), by timestamp and sequence; those up to `after` are left out.

        One page after another: where one begins depends on the one before.
        """
        yield from self.between(after, (self._reader.clock(self.path) - self._grace).isoformat())

    def entries(self, sequences: Collection[int]) -> list[FeedEntry]:
        """These entries as they are now, in the order of their times."""
        return sorted(super().entries(sequences), key=lambda entry: _place(entry) if entry.timestamp else (0, 0))

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        """The first entry behind the watermark, without metadata; None where there is none."""
        page = next(self.between(watermark, None, metadata=False), None)
        return page.entries[0] if page else None


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


def _is_old(entries: Sequence[FeedEntry], old_before: datetime) -> bool:
    """By the first timestamp that can be read: a torn entry may have none."""
    timestamp = next((entry.timestamp for entry in entries if entry.timestamp), None)
    return timestamp is not None and moment(timestamp) <= old_before


def _place(entry: FeedEntry) -> tuple[int, int]:
    """Where API v2 has the entry in its order."""
    return hundred_nanoseconds(entry.timestamp or ""), entry.sequence
