"""Finds the Endpoint of the DICOM service that the FHIR server holds."""

import logging

from shared.mapping.held import text
from shared.mapping.merge import contains, has_address
from shared.mapping.resources import Fragment
from shared.mapping.sign import by_id, named
from shared.mapping.transaction import endpoint_query
from shared.model.fhir import Resource
from shared.sync.merge.lookup import Lookup, Search, is_identified

logger = logging.getLogger(__name__)


class EndpointLookup:
    """`wanted`: what the Endpoint should say."""

    def __init__(self, lookup: Lookup, wanted: Fragment) -> None:
        self._lookup = lookup
        self._wanted = wanted
        self._logged: set[str] = set()

    @property
    def search(self) -> Search:
        """The search that `found` makes."""
        connection = self._wanted.create["connectionType"]
        return "Endpoint", endpoint_query(self._wanted.create["name"], connection["system"], connection["code"])

    def found(self) -> Resource | None:
        """The Endpoint. Of several with our address it is the oldest: the app, or DICOM Cast, made them all alike."""
        found = self._lookup.found(self.search, self._fits)
        found.sort(key=lambda one: (not has_address(one, self._wanted), _last_updated(one), by_id(one)))
        if len(found) > 1 and (ids := named(found)) not in self._logged:
            self._logged.add(ids)
            logger.warning("%s are doubles: the first is used; delete the others once nothing links to them", ids)
        return found[0] if found else None

    def _fits(self, one: Resource) -> bool:
        """Whether it has our name and connection type, or our identifier whatever its name."""
        create = self._wanted.create
        ours = {"name": create["name"], "connectionType": create["connectionType"]}
        return contains(one, ours) or is_identified(one, create["identifier"][0])


def _last_updated(resource: Resource) -> str:
    meta = resource.get("meta")
    return text(meta.get("lastUpdated")) if isinstance(meta, dict) else ""
