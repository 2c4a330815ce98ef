"""The Endpoint of the DICOM service: found again, or made, once in a process, by one lane while the others wait."""

from contextlib import suppress
from threading import Lock

from shared.errors import ConflictError, TransientError
from shared.mapping.converters import SIGN_SYSTEM, MappingOptions, urn
from shared.mapping.merge import merge_endpoint
from shared.mapping.resources import map_endpoint
from shared.mapping.transaction import Create, identifier_query, reference_of
from shared.model import Resource
from shared.sync.lookup import Lookup, Search
from shared.sync.ports import Ports
from shared.sync.transact import transact


class OurEndpoint:
    """Of one data partition. A transaction of its own makes it: conditional create is no lock on every server."""

    def __init__(self, ports: Ports, lookup: Lookup, options: MappingOptions) -> None:
        self.name = urn("Endpoint", options.service_url)
        self._ports = ports
        self._lookup = lookup
        self._wanted = map_endpoint(options)
        self._condition = identifier_query(SIGN_SYSTEM, options.service_url)
        self.search: Search = lookup.endpoint_search(self._wanted)
        self._found: str | None = None
        self._lock = Lock()

    @property
    def is_known(self) -> bool:
        """Whether it need not be looked up."""
        return self._found is not None or self._ports.known.get(self.search[1]) is not None

    def reference(self) -> str:
        """`Endpoint/7`. Raises EndpointMismatchError, TransientError, OutageError."""
        if self._found is not None:
            return self._found
        with self._lock:
            if self._found is None:
                held = self._ports.known.get(self.search[1]) or self._lookup.endpoint(self._wanted) or self._made()
                merge_endpoint(held, self._wanted)
                self._ports.known.put(self.search[1], held)
                self._found = reference_of(held)
            return self._found

    def forget(self) -> bool:
        """It may be there no more; whether it was known."""
        with self._lock:
            was_known, self._found = self.is_known, None
            self._ports.known.put(self.search[1], None)
        return was_known

    def _made(self) -> Resource:
        created = merge_endpoint(None, self._wanted)
        assert created is not None
        create = Create(self.name, created, self._condition, self.search[1])
        with suppress(ConflictError):  # another host was quicker: it has told which one there is
            transact(self._ports.fhir, self._ports.lease, self._ports.known, [create])
        held = self._ports.known.get(self.search[1]) or self._lookup.endpoint(self._wanted)
        if held is None:
            raise TransientError("FHIR server: the Endpoint was made, and no search finds it yet")
        return held
