"""A window of the change feed: what is requested, what was read of it, and whether the answer fits the request."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.clients.dicom.change_feed_entry import hundred_nanoseconds
from shared.errors import FeedError
from shared.model.change_feed import FeedEntry


@dataclass(frozen=True, slots=True)
class Window:
    """The `limit` places behind `offset`.

    In API v1 (`params` is None) a place is a sequence number. In v2 it is a place in the list of the entries between
    the times in `params`. `metadata`: whether the entries are to come with it.
    """

    path: str
    offset: int
    limit: int
    params: dict[str, str] | None = None
    metadata: bool = True

    def halves(self) -> tuple["Window", "Window"]:
        """The two halves of a window of two places or more."""
        half = self.limit // 2
        return replace(self, limit=half), replace(self, offset=self.offset + half, limit=self.limit - half)

    def without_metadata(self) -> "Window":
        """The same window, of entries without metadata."""
        return replace(self, metadata=False)


@dataclass(frozen=True, slots=True)
class WindowRead:
    """What was read of a window. `as_of`: the service's clock. `places`: how many were read, from the first one on."""

    window: Window
    entries: Sequence[FeedEntry]
    as_of: datetime
    places: int

    @property
    def is_cut(self) -> bool:
        """Whether it was not read to its end, because bisection used up its requests."""
        return self.places < self.window.limit

    @property
    def end(self) -> int:
        """The last place that was read."""
        return self.window.offset + self.places


def checked(entries: Sequence[FeedEntry], window: Window, url: str) -> list[FeedEntry]:
    """The entries in the feed's order, each once. Raises FeedError if one of them lies outside of the window.

    Such an answer belongs to another request: a cache or proxy sent it, or the service ignores the parameters. With it
    the watermark would pass entries that were never read.
    """
    if window.params is None:
        return _by_sequence(entries, window, url)
    return _by_time(entries, window, url)


def _by_sequence(entries: Sequence[FeedEntry], window: Window, url: str) -> list[FeedEntry]:
    first, last = window.offset + 1, window.offset + window.limit
    for entry in entries:
        if not first <= entry.sequence <= last:
            raise FeedError(f"{url}: entry {entry.sequence} was answered where {first} to {last} were asked for")
    return sorted({entry.sequence: entry for entry in entries}.values(), key=lambda entry: entry.sequence)


def _by_time(entries: Sequence[FeedEntry], window: Window, url: str) -> list[FeedEntry]:
    if len(entries) > window.limit:
        raise FeedError(f"{url}: {len(entries)} entries were answered where {window.limit} were asked for")
    limits = {name: hundred_nanoseconds(text) for name, text in (window.params or {}).items()}
    earliest = limits.get("startTime", 0)
    for entry in entries:
        if entry.timestamp is None:
            continue
        time = hundred_nanoseconds(entry.timestamp)
        if time < earliest or time >= limits.get("endTime", time + 1):
            name = f"entry {entry.sequence} of {entry.timestamp}"
            raise FeedError(f"{url}: {name} is outside of the time that was asked for, or out of its order")
        earliest = time
    return list(entries)
