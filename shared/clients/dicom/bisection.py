"""Narrows a window that cannot be read down to the entries to blame, by a bounded number of requests."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.clients.dicom.feed_window import Window, WindowRead
from shared.errors import FeedError, OutageError, RefusedWindowError, TornAnswerError
from shared.model.change_feed import FeedEntry, TornEntry

MAX_REQUESTS = 100
"""For one window in one reading: a hundred entries that are all at fault take some ticks."""

Asked = tuple[list[FeedEntry], datetime]
Ask = Callable[[Window], Asked]


def is_of_the_window(error: FeedError | OutageError) -> bool:
    """Whether an entry of the window may be to blame: it was answered, with a status or with what cannot be read."""
    if isinstance(error, OutageError):
        return error.status is not None
    return isinstance(error, TornAnswerError | RefusedWindowError)


@dataclass(slots=True)
class Bisection:
    """`ask` is one request. `is_by_status`: something was refused with a status, not answered and unreadable."""

    ask: Ask
    left: int = MAX_REQUESTS
    is_by_status: bool = False
    unnamed: list[int] = field(default_factory=list)
    """Sequences of which nothing can be read, with metadata or without."""

    def read(self, window: Window, error: FeedError | OutageError) -> WindowRead:
        """The window's entries, those to blame as torn. Raises `error` where the fault is not one of metadata."""
        if not isinstance(error, TornAnswerError):
            self.is_by_status = True
            self._ensure_without_metadata(window, error)
        parts = self._narrowed(window, error)
        entries = [entry for part in parts for entry in part.entries]
        return WindowRead(window, entries, parts[0].as_of, sum(part.places for part in parts))

    def _ensure_without_metadata(self, window: Window, error: FeedError | OutageError) -> None:
        """Else it is an outage, or no change feed."""
        if window.metadata:
            with suppress(FeedError, OutageError):
                self._asked(window.without_metadata())
                return
        raise error

    def _narrowed(self, window: Window, error: FeedError | OutageError) -> list[WindowRead]:
        """The window in parts, from its first place on; not to its end where the requests are used up."""
        if window.limit == 1:
            return [self._alone(window, error)]
        parts: list[WindowRead] = []
        for half in window.halves():
            if parts and self.left <= 0:
                break
            parts += self._half(half)
            if sum(part.places for part in parts) < half.offset + half.limit - window.offset:
                break
        return parts

    def _half(self, half: Window) -> list[WindowRead]:
        try:
            entries, as_of = self._asked(half)
        except (FeedError, OutageError) as error:
            if not is_of_the_window(error):
                raise
            self.is_by_status = self.is_by_status or not isinstance(error, TornAnswerError)
            return self._narrowed(half, error)
        return [WindowRead(half, entries, as_of, half.limit)]

    def _alone(self, window: Window, error: FeedError | OutageError) -> WindowRead:
        """One entry that is at fault: asked for once more, then without its metadata for the sake of its UIDs."""
        with suppress(TornAnswerError, RefusedWindowError, OutageError):
            return WindowRead(window, *self._asked(window), 1)
        try:
            entries, as_of = self._asked(window.without_metadata())
        except TornAnswerError:
            if window.params is not None:  # by time: nothing tells its number
                raise FeedError(f"{error}; nor can its sequence number be read") from None
            self.unnamed.append(window.offset + 1)
            torn = TornEntry(window.offset + 1, None, f"entry {window.offset + 1}: {error}")
            return WindowRead(window, [torn], datetime.now(UTC), 1)
        return WindowRead(window, [_torn(entry, error) for entry in entries], as_of, 1)

    def _asked(self, window: Window) -> Asked:
        self.left -= 1
        return self.ask(window)


def witnesses(entries: Sequence[FeedEntry], *, with_metadata: bool) -> list[FeedEntry]:
    """Entries that show that the feed can be read, or with `with_metadata` that metadata can be had at all."""
    good = [entry for entry in entries if not isinstance(entry, TornEntry)]
    return [entry for entry in good if entry.metadata is not None] if with_metadata else list(good)


def _torn(entry: FeedEntry, error: FeedError | OutageError) -> TornEntry:
    uids = (entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)
    return TornEntry(entry.sequence, entry.timestamp, f"entry {entry.sequence}: {error}", *uids, entry.partition)
