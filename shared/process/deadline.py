"""The moment by which the work at hand must be over. Requests and waits are cut to what is left until then."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Deadline:
    """One for all threads, which is what a tick needs. Until it is set, the time is unlimited."""

    def __init__(self) -> None:
        self._end = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Sets it to so many seconds from now, unless an earlier one is set already; lifts it at the end."""
        before = self._end
        self._end = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._end = before

    @property
    def left(self) -> float:
        """Seconds until it; negative once it has passed."""
        return self._end - time.monotonic()


class ThreadDeadline(Deadline, threading.local):
    """One for each thread, for HTTP requests to the app, each of which has a thread of its own."""
