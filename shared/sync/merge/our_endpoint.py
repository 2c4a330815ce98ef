"""The Endpoint of the DICOM service: found or created by one worker of the process, while the others wait."""

from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock

from shared.errors import ConflictError, EntryError, TransientError
from shared.mapping.converters import SIGN_SYSTEM, urn
from shared.mapping.held import text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import contains, merge_endpoint
from shared.mapping.resources import map_endpoint
from shared.mapping.transaction import Create, identifier_query, reference_of
from shared.model.fhir import Resource
from shared.sync.merge.endpoint_lookup import EndpointLookup
from shared.sync.merge.lookup import Lookup
from shared.sync.ports import Ports
from shared.sync.transact.transact import transact

MAX_AGE = timedelta(minutes=1)
"""Somebody may delete it, and not every server refuses a link to a resource that does not exist."""
MOST_READ = 10
"""Links of one study to other Endpoints that are checked."""


class OurEndpoint:
    """The Endpoint of one data partition. It is created alone: a conditional create does not lock on every server."""

    def __init__(self, ports: Ports, lookup: Lookup, options: MappingOptions) -> None:
        self.name = urn("Endpoint", options.service_url)
        self._ports = ports
        self._wanted = map_endpoint(options)
        self._lookup = EndpointLookup(lookup, self._wanted)
        self._condition = identifier_query(SIGN_SYSTEM, options.service_url)
        self.search = self._lookup.search
        self._found: tuple[str, datetime] | None = None
        self._gone: dict[str, bool] = {}
        self._lock = Lock()

    @property
    def is_known(self) -> bool:
        """Whether it need not be looked up."""
        return self._remembered() is not None

    def reference(self) -> str:
        """`Endpoint/7`, created if missing. Raises EndpointMismatchError, TransientError, OutageError."""
        if found := self._remembered():
            return found
        with self._lock:
            if found := self._remembered():
                return found
            held = self._lookup.found() or self._made()
            merge_endpoint(held, self._wanted)
            self._ports.cache.put(self.search[1], None)  # else it would keep the age of the cached one
            self._ports.cache.put(self.search[1], held)
            self._found = reference_of(held), self._ports.now()
            return self._found[0]

    def without_gone(self, study: Resource) -> Resource:
        """A study of ours without its links to deleted Endpoints, if it does not link to the current one.

        An Endpoint that cannot be read counts as existing.
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
        """The reference that this batch has found, or that the host's cache has; None if either is too old."""
        reference, since = self._found or (None, None)
        if since is not None and self._ports.now() - since <= MAX_AGE:
            return reference
        held = self._ports.cache.get(self.search[1], MAX_AGE.total_seconds())
        return reference_of(held) if held else None

    def forget(self) -> bool:
        """Has `reference` look it up again; returns whether it was known."""
        with self._lock:
            was_known, self._found = self.is_known, None
            self._ports.cache.put(self.search[1], None)
        return was_known

    def _made(self) -> Resource:
        endpoint = merge_endpoint(None, self._wanted)
        assert endpoint is not None
        create = Create(self.name, endpoint, self._condition, self.search[1])
        with suppress(ConflictError):  # another host was quicker, and its Endpoint is looked up
            transact(self._ports.fhir, self._ports.lease, self._ports.cache, [create])
        held = self._ports.cache.get(self.search[1]) or self._lookup.found()
        if held is None:
            raise TransientError("FHIR server: the Endpoint was made, and no search finds it yet")
        return held


def _without(resource: Resource, references: set[str]) -> Resource:
    """The study or series without these links; the same object if it has none of them."""
    links = resource.get("endpoint", [])
    left = [one for one in links if text(one.get("reference")) not in references]
    if len(left) == len(links):
        return resource
    bare = {name: value for name, value in resource.items() if name != "endpoint"}
    return {**bare, "endpoint": left} if left else bare
