"""What this host has written lately, so that it need not be read again: If-Match shows whether others wrote since."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Lock

from shared.model.fhir import Resource

MAX_WEIGHT = 60_000
"""Of all cached resources, in instances: some 40 MB."""
WEIGHT_OF_ITSELF = 12
"""The weight of a resource without its instances: some 8 kB. An instance takes some 600 bytes."""
MAX_AGE_SECONDS = 600
"""If-Match does not show that another host has made a second resource with the same identity: only a search does."""
MAX_RECENT_WRITES = 20_000
"""Searches whose results may lag behind what was written: some 10 MB."""
DELETED = "deleted"
"""In place of the version of a resource that was deleted."""


class ResourceCache:
    """Resources by the search that finds them; the least recently used are dropped. Threads may share it.

    It stands beside the FHIR port, not in front of it: a bundle does not say which search finds a resource.
    `recent_writes`: those of another cache, to share them; None: its own.
    """

    def __init__(
        self,
        max_weight: int = MAX_WEIGHT,
        recent_writes: "RecentWrites | None" = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recent_writes = recent_writes or RecentWrites()
        self._max_weight = max_weight
        self._weight = 0
        self._held: OrderedDict[str, tuple[Resource, float]] = OrderedDict()
        self._monotonic = monotonic
        self._lock = Lock()

    def get(self, query: str, max_age_seconds: float = MAX_AGE_SECONDS) -> Resource | None:
        """None if it is not cached, or was cached longer ago than that.

        It takes no lock, since workers would wait for each other at it: each of its steps is atomic by itself.
        """
        resource, since = self._held.get(query, (None, 0.0))
        if resource is None or self._monotonic() - since > max_age_seconds:
            return None
        with suppress(KeyError):  # dropped meanwhile
            self._held.move_to_end(query)
        return resource

    def put(self, query: str, resource: Resource | None) -> None:
        """Caches the resource; None drops what is cached. A resource that is replaced passes its age on."""
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


class RecentWrites:
    """References to what this host wrote, by the search that should find it: some servers' searches lag behind writes.

    A resource that its search does not show yet is read by its id; no second one is made because it is missing there.
    `before`: those of another, which are known too, and get none of what is noted here, as of a dry run.
    """

    def __init__(self, before: "RecentWrites | None" = None) -> None:
        self._before = before
        self._versions: OrderedDict[str, dict[str, str | None]] = OrderedDict()
        self._being_created: set[str] = set()
        self._changed = Condition()

    def note(self, query: str, reference: str, version: str | None) -> None:
        """The resource was written in this version, or a conditional create has found it."""
        with self._changed:
            self._versions[query] = {**self._versions.get(query, {}), reference: version}
            self._versions.move_to_end(query)
            if len(self._versions) > MAX_RECENT_WRITES:
                self._versions.popitem(last=False)

    def deleted(self, query: str, reference: str) -> None:
        """The resource was deleted, and the search may show it for a while."""
        self.note(query, reference, DELETED)

    def of(self, query: str) -> list[tuple[str, str | None]]:
        """References, each with the version that this host wrote; None if the server did not give one."""
        versions = self._versions.get(query, {})
        return list((dict(self._before.of(query)) | versions if self._before else versions).items())

    @contextmanager
    def creating(self, names: Collection[str]) -> Iterator[bool]:
        """Holds off other workers that would create a resource of one of these names; gives whether it had to wait.

        A conditional create does not lock on every server: two at once may create two. All names are locked at once, so
        that no two workers wait for each other.
        """
        wanted = set(names)
        with self._changed:
            waited = not wanted.isdisjoint(self._being_created)
            self._changed.wait_for(lambda: wanted.isdisjoint(self._being_created))
            self._being_created |= wanted
        try:
            yield waited
        finally:
            with self._changed:
                self._being_created -= wanted
                self._changed.notify_all()


def _weight(resource: Resource) -> int:
    from shared.mapping.held import instances_of  # noqa: PLC0415 a tick without entries reads no resource

    return WEIGHT_OF_ITSELF + instances_of(resource)
