"""Reads the feed on while a batch is worked on, so that the next need not wait for it."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Self

from shared.model.change_feed import FeedEntry, FeedPage
from shared.model.watermark import Hole, Watermark
from shared.sync.ports import Feed

PAGES_AHEAD = 20
PAGES_AT_ONCE = 4
"""An answer of the DICOM service takes its time, whoever waits; the next ones may take it meanwhile."""
_WAIT_SECONDS = 0.1


class _Reader:
    """A thread that reads pages from a place on; None stands behind the last."""

    def __init__(self, feed: Feed, after: Watermark, at_once: int) -> None:
        self.place = after
        self._feed = feed
        self._pages: Queue[FeedPage | Exception | None] = Queue(PAGES_AHEAD)
        self._stopped = Event()
        self._thread = Thread(target=self._read, args=(after, at_once), name="read ahead", daemon=True)
        self._thread.start()

    def pages(self) -> Iterator[FeedPage]:
        """Up to the end that the feed had when the reading began."""
        while (page := self._pages.get()) is not None:
            if isinstance(page, Exception):
                raise page
            self.place = page.through
            yield page

    def stop(self) -> None:
        self._stopped.set()
        with suppress(Empty):
            while True:
                self._pages.get_nowait()
        self._thread.join()

    def _read(self, after: Watermark, at_once: int) -> None:
        try:
            for page in self._feed.pages(after, at_once):
                if not self._put(page):
                    return
            self._put(None)
        except Exception as error:  # noqa: BLE001 raised where the page is waited for, which would else wait for ever
            self._put(error)

    def _put(self, page: FeedPage | Exception | None) -> bool:
        while not self._stopped.is_set():
            with suppress(Full):
                self._pages.put(page, timeout=_WAIT_SECONDS)
                return True
        return False


class ReadAhead:
    """A feed whose pages are read in a thread, beyond where their reader stops; it goes on there when asked again."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._reader: _Reader | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if self._reader:
            self._reader.stop()

    def pages(self, after: Watermark, at_once: int = PAGES_AT_ONCE) -> Iterator[FeedPage]:
        if self._reader is None or self._reader.place != after:
            if self._reader:
                self._reader.stop()
            self._reader = _Reader(self._feed, after, at_once)
        reader, is_at_end = self._reader, True
        try:
            yield from reader.pages()
        except GeneratorExit:  # the batch is full
            is_at_end = False
            raise
        finally:
            if is_at_end:  # of the feed, or of its patience
                self._reader = None

    def between(self, after: Watermark, end: str) -> Iterator[FeedPage]:
        return self._feed.between(after, end)

    def by_sequence(self, by_time: Watermark) -> Watermark:
        return self._feed.by_sequence(by_time)

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        return self._feed.first_after(watermark)

    def entries(self, sequences: Collection[int]) -> Sequence[FeedEntry]:
        return self._feed.entries(sequences)

    def filled(self, holes: Sequence[Hole]) -> tuple[Sequence[FeedEntry], Sequence[Hole]]:
        return self._feed.filled(holes)

    def latest(self) -> FeedEntry | None:
        return self._feed.latest()
