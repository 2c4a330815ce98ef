"""The FHIR server of the audit's dry runs: its searches are as recent as what this host has written.

The searches of some servers lag behind writes (Azure, HAPI). A sync remembers what it has written, and reads that by
its id; a study that was synced a moment ago would otherwise be taken for one that FHIR lacks, or still has.
"""

from collections.abc import Sequence

from shared.mapping.held import version_of
from shared.mapping.transaction import reference_of
from shared.model.fhir import Resource
from shared.sync.merge.resource_cache import DELETED, RecentWrites
from shared.sync.ports import FhirServer
from shared.sync.replay.dry_run_server import DryRunServer


class AsWritten(DryRunServer):
    """A dry run whose searches show what `recent_writes` tells. Nothing is noted there."""

    def __init__(self, fhir: FhirServer, recent_writes: RecentWrites) -> None:
        super().__init__(fhir)
        self._recent_writes = recent_writes

    def search(self, resource_type: str, query: str) -> list[Resource]:
        return self._noted(self._as_written(query, self._fhir.search(resource_type, query)))

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        results = zip(searches, self._fhir.search_many(searches), strict=True)
        return [self._noted(self._as_written(query, found)) for (_, query), found in results]

    def _as_written(self, query: str, found: list[Resource]) -> list[Resource]:
        """What the search has found, and what it should have found; whoever searches checks that each fits."""
        held: dict[str, Resource | None] = {reference_of(one): one for one in found}
        for reference, version in self._recent_writes.of(query):
            one = held.get(reference)
            is_shown = version in (None, version_of(one)) if one else version == DELETED
            if not is_shown:
                held[reference] = self._fhir.read(reference)
        return [one for one in held.values() if one]
