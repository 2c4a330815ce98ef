"""Reads the feed on while a slice is worked on, so that the next slice need not wait for it."""

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Self

from shared.model.change_feed import FeedPage
from shared.model.watermark import Watermark
from shared.sync.ports import Feed

PAGES_AT_ONCE = 4

Pages = Callable[[Watermark], Iterator[FeedPage]]
"""The pages behind a place of the feed; raises FeedError, OutageError."""


class ReadAhead:
    """The feed's pages, several of them requested at a time.

    A slice that begins where the last one ended goes on with its requests; from any other place the feed is read anew.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._reading: Iterator[FeedPage] = iter(())
        self._through: Watermark | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._stop()

    def pages(self, after: Watermark) -> Iterator[FeedPage]:
        """The pages behind `after`, up to the end that the feed had when its reading began."""
        if self._through != after:
            self._stop()
            self._reading = self._feed.pages(after, PAGES_AT_ONCE)
        self._through = None  # set again with each page, so that reading which has ended or failed is not continued
        for page in self._reading:
            self._through = page.through
            yield page
            self._through = None

    def _stop(self) -> None:
        """Cancels the requests that are not sent yet, and waits for the others."""
        if isinstance(self._reading, Generator):
            self._reading.close()
