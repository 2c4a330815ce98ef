"""What this host has written of late. It need not be read again: If-Match tells when somebody else wrote after us."""

from collections import OrderedDict
from contextlib import suppress
from threading import Lock

from shared.model import Resource

MAX_WEIGHT = 60_000
"""Instances and resources together: some 50 MB."""


class KnownResources:
    """Resources by the search that finds them; the ones used longest ago are let go. Threads may share it."""

    def __init__(self, max_weight: int = MAX_WEIGHT) -> None:
        self._max_weight = max_weight
        self._weight = 0
        self._held: OrderedDict[str, Resource] = OrderedDict()
        self._lock = Lock()

    def get(self, query: str) -> Resource | None:
        """None where it is not known. No lock, for which lanes would queue: each step is one by itself."""
        resource = self._held.get(query)
        if resource is not None:
            with suppress(KeyError):  # let go meanwhile
                self._held.move_to_end(query)
        return resource

    def put(self, query: str, resource: Resource | None) -> None:
        """None: it is gone, or not known any more."""
        with self._lock:
            if (old := self._held.pop(query, None)) is not None:
                self._weight -= _weight(old)
            if resource is None:
                return
            self._held[query] = resource
            self._weight += _weight(resource)
            while self._weight > self._max_weight:
                _, old = self._held.popitem(last=False)
                self._weight -= _weight(old)


def _weight(resource: Resource) -> int:
    return 1 + sum(len(series.get("instance", ())) for series in resource.get("series", ()))
