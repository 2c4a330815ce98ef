"""The Endpoint of the DICOM service: found again, or made, once in a process, by one lane while the others wait."""

from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock

from shared.errors import ConflictError, EntryError, TransientError
from shared.mapping.converters import SIGN_SYSTEM, MappingOptions, urn
from shared.mapping.held import text
from shared.mapping.merge import contains, merge_endpoint
from shared.mapping.resources import map_endpoint
from shared.mapping.transaction import Create, identifier_query, reference_of
from shared.model.fhir import Resource
from shared.sync.merge.lookup import Lookup, Search
from shared.sync.ports import Ports
from shared.sync.transact.transact import transact

MAX_AGE = timedelta(minutes=1)
"""Somebody may delete it, and not every server refuses a link to what is gone."""
MOST_READ = 10
"""Links of a study to other Endpoints that are looked at."""


class OurEndpoint:
    """Of one data partition. A transaction of its own makes it: conditional create is no lock on every server."""

    def __init__(self, ports: Ports, lookup: Lookup, options: MappingOptions) -> None:
        self.name = urn("Endpoint", options.service_url)
        self._ports = ports
        self._lookup = lookup
        self._wanted = map_endpoint(options)
        self._condition = identifier_query(SIGN_SYSTEM, options.service_url)
        self.search: Search = lookup.endpoint_search(self._wanted)
        self._found: tuple[str, datetime] | None = None
        self._gone: dict[str, bool] = {}
        self._lock = Lock()

    @property
    def is_known(self) -> bool:
        """Whether it need not be looked up."""
        return self._remembered() is not None

    def reference(self) -> str:
        """`Endpoint/7`. Raises EndpointMismatchError, TransientError, OutageError."""
        if found := self._remembered():
            return found
        with self._lock:
            if found := self._remembered():
                return found
            held = self._lookup.endpoint(self._wanted) or self._made()
            merge_endpoint(held, self._wanted)
            self._ports.cache.put(self.search[1], None)  # what is put in its place is as old as it was
            self._ports.cache.put(self.search[1], held)
            self._found = reference_of(held), self._ports.now()
            return self._found[0]

    def without_gone(self, study: Resource) -> Resource:
        """A study of ours without links to Endpoints that are gone, where it does not have ours: it was deleted.

        What cannot be read stays.
        """
        links = study.get("endpoint", [])
        if not links or any(contains(one, {"reference": self.reference()}) for one in links):
            return study
        references = [reference for one in links if (reference := text(one.get("reference"))).startswith("Endpoint/")]
        gone = {reference for reference in references[:MOST_READ] if self._is_gone(reference)}
        if not gone:
            return study
        series = [_without(one, gone) for one in study.get("series", ())]
        return {**_without(study, gone), **({"series": series} if series else {})}

    def _is_gone(self, reference: str) -> bool:
        if reference not in self._gone:
            try:
                self._gone[reference] = self._ports.fhir.read(reference.split("/_history/", maxsplit=1)[0]) is None
            except EntryError:
                return False
        return self._gone[reference]

    def _remembered(self) -> str | None:
        """By this batch, or by one before of this host."""
        reference, since = self._found or (None, None)
        if since is not None and self._ports.now() - since <= MAX_AGE:
            return reference
        held = self._ports.cache.get(self.search[1], MAX_AGE.total_seconds())
        return reference_of(held) if held else None

    def forget(self) -> bool:
        """It may be there no more; whether it was known."""
        with self._lock:
            was_known, self._found = self.is_known, None
            self._ports.cache.put(self.search[1], None)
        return was_known

    def _made(self) -> Resource:
        created = merge_endpoint(None, self._wanted)
        assert created is not None
        create = Create(self.name, created, self._condition, self.search[1])
        with suppress(ConflictError):  # another host was quicker: it has told which one there is
            transact(self._ports.fhir, self._ports.lease, self._ports.cache, [create])
        held = self._ports.cache.get(self.search[1]) or self._lookup.endpoint(self._wanted)
        if held is None:
            raise TransientError("FHIR server: the Endpoint was made, and no search finds it yet")
        return held


def _without(resource: Resource, references: set[str]) -> Resource:
    """The study, or series, without these links; what has none is the same object."""
    links = resource.get("endpoint", [])
    left = [one for one in links if text(one.get("reference")) not in references]
    if len(left) == len(links):
        return resource
    bare = {name: value for name, value in resource.items() if name != "endpoint"}
    return {**bare, "endpoint": left} if left else bare
