"""Bisects a window of the feed that cannot be read, until the entries at fault are found or requests run out."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.clients.dicom.feed_window import Window, WindowRead
from shared.errors import FeedError, OutageError, RefusedWindowError, TornAnswerError
from shared.model.change_feed import FeedEntry, TornEntry

MAX_REQUESTS = 100
"""For one window at a time. If a hundred entries are all at fault, they take several ticks."""

Response = tuple[list[FeedEntry], datetime]
"""Entries, and the service's clock."""


def is_of_the_window(error: FeedError | OutageError) -> bool:
    """Whether an entry of the window may be at fault: there was an answer, but an error or one that cannot be read."""
    if isinstance(error, OutageError):
        return error.status is not None
    return isinstance(error, TornAnswerError | RefusedWindowError)


@dataclass(slots=True)
class Bisection:
    """`request` reads a window by one request.

    `is_by_status`: a part of the window was refused with an error status, not just answered with what cannot be read.
    `unread`: sequences of which nothing can be read, with metadata or without.
    """

    request: Callable[[Window], Response]
    requests_left: int = MAX_REQUESTS
    is_by_status: bool = False
    unread: list[int] = field(default_factory=list)

    def read(self, window: Window, error: FeedError | OutageError) -> WindowRead:
        """The window's entries, with those at fault as torn ones. Raises `error` if the fault is not in metadata."""
        if not isinstance(error, TornAnswerError):
            self.is_by_status = True
            self._ensure_without_metadata(window, error)
        parts = self._parts(window, error)
        entries = [entry for part in parts for entry in part.entries]
        return WindowRead(window, entries, parts[0].as_of, sum(part.places for part in parts))

    def _ensure_without_metadata(self, window: Window, error: FeedError | OutageError) -> None:
        """Raises `error` unless the window can be read without metadata: this is an outage, or no change feed."""
        if window.metadata:
            with suppress(FeedError, OutageError):
                self._request(window.without_metadata())
                return
        raise error

    def _parts(self, window: Window, error: FeedError | OutageError) -> list[WindowRead]:
        """The window in parts, from its first place on. They do not reach its end if the requests are used up."""
        if window.limit == 1:
            return [self._alone(window, error)]
        parts: list[WindowRead] = []
        for half in window.halves():
            if parts and self.requests_left <= 0:
                break
            parts += self._half(half)
            if sum(part.places for part in parts) < half.offset + half.limit - window.offset:
                break
        return parts

    def _half(self, half: Window) -> list[WindowRead]:
        try:
            entries, as_of = self._request(half)
        except (FeedError, OutageError) as error:
            if not is_of_the_window(error):
                raise
            self.is_by_status = self.is_by_status or not isinstance(error, TornAnswerError)
            return self._parts(half, error)
        return [WindowRead(half, entries, as_of, half.limit)]

    def _alone(self, window: Window, error: FeedError | OutageError) -> WindowRead:
        """The one entry that is at fault: requested once more, then without its metadata, to have its UIDs."""
        with suppress(TornAnswerError, RefusedWindowError, OutageError):
            return WindowRead(window, *self._request(window), 1)
        try:
            entries, as_of = self._request(window.without_metadata())
        except TornAnswerError:
            if window.params is not None:  # in a window by time, its place does not give its sequence
                raise FeedError(f"{error}; nor can its sequence number be read") from None
            self.unread.append(window.offset + 1)
            torn = TornEntry(window.offset + 1, None, f"entry {window.offset + 1}: {error}")
            return WindowRead(window, [torn], datetime.now(UTC), 1)
        return WindowRead(window, [_torn(entry, error) for entry in entries], as_of, 1)

    def _request(self, window: Window) -> Response:
        self.requests_left -= 1
        return self.request(window)


def readable(entries: Sequence[FeedEntry], *, with_metadata: bool) -> list[FeedEntry]:
    """The entries that are not torn; with `with_metadata` only those that have metadata."""
    good = [entry for entry in entries if not isinstance(entry, TornEntry)]
    return [entry for entry in good if entry.metadata is not None] if with_metadata else list(good)


def _torn(entry: FeedEntry, error: FeedError | OutageError) -> TornEntry:
    uids = (entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)
    return TornEntry(entry.sequence, entry.timestamp, f"entry {entry.sequence}: {error}", *uids, entry.partition)
