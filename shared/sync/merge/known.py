"""What this host has written of late. It need not be read again: If-Match tells when somebody else wrote after us."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Lock

from shared.mapping.held import instances_of
from shared.model.fhir import Resource

MAX_WEIGHT = 60_000
"""Of all that is remembered: some 40 MB."""
WEIGHT_OF_ITSELF = 12
"""A resource, in instances: some 8 kB, and each of its instances 600 bytes."""
MAX_AGE_SECONDS = 600
"""If-Match tells who has written after us, not that another host has made the same once more. A search does."""
MAX_TRACES = 20_000
"""Searches whose results are known to lag, or may: some 10 MB."""
GONE = "gone"
"""In place of the version of what is deleted."""


class KnownResources:
    """Resources by the search that finds them; the ones used longest ago are let go. Threads may share it.

    `traces`: see there; None: of one's own.
    """

    def __init__(
        self,
        max_weight: int = MAX_WEIGHT,
        traces: "Traces | None" = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.traces = traces or Traces()
        self._max_weight = max_weight
        self._weight = 0
        self._held: OrderedDict[str, tuple[Resource, float]] = OrderedDict()
        self._monotonic = monotonic
        self._lock = Lock()

    def get(self, query: str, max_age_seconds: float = MAX_AGE_SECONDS) -> Resource | None:
        """None where it is not known, or not so lately.

        No lock, for which lanes would queue: each step is one by itself.
        """
        resource, since = self._held.get(query, (None, 0.0))
        if resource is None or self._monotonic() - since > max_age_seconds:
            return None
        with suppress(KeyError):  # let go meanwhile
            self._held.move_to_end(query)
        return resource

    def put(self, query: str, resource: Resource | None) -> None:
        """None: it is gone, or not known any more. What is written again is as old as what it was."""
        now = self._monotonic()
        with self._lock:
            old, since = self._held.pop(query, (None, now))
            if old is not None:
                self._weight -= _weight(old)
            if resource is None:
                return
            self._held[query] = resource, (since if now - since <= MAX_AGE_SECONDS else now)
            self._weight += _weight(resource)
            while self._weight > self._max_weight:
                _, (old, _) = self._held.popitem(last=False)
                self._weight -= _weight(old)


class Traces:
    """Which resources this host wrote, by the search that should find them: some servers' searches lag behind writes.

    What a search does not show yet is read by its id; that it is missing there is no reason to make a second one.
    """

    def __init__(self) -> None:
        self._versions: OrderedDict[str, dict[str, str | None]] = OrderedDict()
        self._making: set[str] = set()
        self._changed = Condition()

    def note(self, query: str, reference: str, version: str | None) -> None:
        """A resource was written, or a conditional create has named it."""
        with self._changed:
            self._versions[query] = {**self._versions.get(query, {}), reference: version}
            self._versions.move_to_end(query)
            if len(self._versions) > MAX_TRACES:
                self._versions.popitem(last=False)

    def gone(self, query: str, reference: str) -> None:
        """It is deleted: a search may show it for a while."""
        self.note(query, reference, GONE)

    def of(self, query: str) -> list[tuple[str, str | None]]:
        """References, each with the version that we wrote, None where it was not told."""
        return list(self._versions.get(query, {}).items())

    @contextmanager
    def making(self, names: Collection[str]) -> Iterator[bool]:
        """While resources of these names are made no other lane makes any of them: it waits, and is told so by True.

        Conditional create is no lock on every server: two at once may make two. All names are taken at once, so that
        no two lanes wait for each other.
        """
        wanted = set(names)
        with self._changed:
            waited = not wanted.isdisjoint(self._making)
            self._changed.wait_for(lambda: wanted.isdisjoint(self._making))
            self._making |= wanted
        try:
            yield waited
        finally:
            with self._changed:
                self._making -= wanted
                self._changed.notify_all()


def _weight(resource: Resource) -> int:
    return WEIGHT_OF_ITSELF + instances_of(resource)
