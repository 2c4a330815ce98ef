"""When the work at hand has to be over: what begins, and what is waited for, heeds it."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Deadline:
    """One for all threads: that of a tick. There is none until it is set."""

    def __init__(self) -> None:
        self._end = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """So long from now on, or as long as is left of one that is set already."""
        before = self._end
        self._end = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._end = before

    @property
    def left(self) -> float:
        """Seconds; below 0 once it is over."""
        return self._end - time.monotonic()


class ThreadDeadline(Deadline, threading.local):
    """One for each thread: that of the question which the thread answers."""
