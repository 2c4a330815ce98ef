"""Finds what the FHIR server holds of a study: by identifier, never by a guess."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.errors import MultipleMatchingResourcesError
from shared.mapping.merge import contains
from shared.mapping.resources import Fragment
from shared.mapping.transaction import endpoint_query, identifier_query
from shared.model import Resource
from shared.sync.known import KnownResources
from shared.sync.ports import FhirServer

Search = tuple[str, str]
"""Resource type and query."""


class Lookup:
    """Searches that give one resource or none. Raises MultipleMatchingResourcesError for more.

    `uid_system` is that of the identifiers which are StudyInstanceUIDs. `known`: ImagingStudies that need no search.
    """

    def __init__(self, fhir: FhirServer, known: KnownResources, uid_system: str) -> None:
        self._fhir = fhir
        self._known = known
        self._uid_system = uid_system
        self._read: dict[Search, list[Resource]] = {}

    def read_ahead(self, searches: Iterable[Search]) -> None:
        """Makes many searches at once; each answers one look-up, so that after a conflict the server is asked again.

        That there is no Endpoint yet is an answer to all, until it is forgotten: they are about to make it together.
        """
        wanted = list(dict.fromkeys(searches))
        if len(wanted) > 1:
            self._read |= dict(zip(wanted, self._fhir.search_many(wanted), strict=True))

    def is_known(self, uid: str) -> bool:
        return self._known.get(self.study_query(uid)) is not None

    def study(self, uid: str) -> Resource | None:
        query = self.study_query(uid)
        if (known := self._known.get(query)) is not None:
            return known
        identifier = {"system": self._uid_system, "value": f"urn:oid:{uid}"}
        return self._one(("ImagingStudy", query), lambda found: _is_identified(found, identifier))

    def patient(self, identifier: Mapping[str, str]) -> Resource | None:
        return self._one(self.patient_search(identifier), lambda found: _is_identified(found, identifier))

    def endpoint(self, wanted: Fragment) -> Resource | None:
        said = {"name": wanted.create["name"], "connectionType": wanted.create["connectionType"]}
        search = self.endpoint_search(wanted)
        if self._read.get(search) == []:
            return None
        return self._one(search, lambda found: contains(found, said))

    def forget(self, search: Search) -> None:
        """The answer that was read ahead may be true no more."""
        self._read.pop(search, None)

    def study_search(self, uid: str) -> Search:
        return "ImagingStudy", self.study_query(uid)

    def study_query(self, uid: str) -> str:
        return identifier_query(self._uid_system, f"urn:oid:{uid}")

    @staticmethod
    def patient_search(identifier: Mapping[str, str]) -> Search:
        return "Patient", identifier_query(identifier.get("system", ""), identifier["value"])

    def endpoint_search(self, wanted: Fragment) -> Search:
        return "Endpoint", self.endpoint_query(wanted)

    @staticmethod
    def endpoint_query(wanted: Fragment) -> str:
        connection = wanted.create["connectionType"]
        return endpoint_query(wanted.create["name"], connection["system"], connection["code"])

    def _one(self, search: Search, fits: Callable[[Resource], bool]) -> Resource | None:
        matches = self._read.pop(search, None)
        if matches is None:
            matches = self._fhir.search(*search)
        # A server that ignores a parameter it does not know answers with everything: believe only what fits.
        found = [resource for resource in matches if fits(resource)]
        if len(found) > 1:
            ids = ", ".join(f"{search[0]}/{resource['id']}" for resource in found)
            raise MultipleMatchingResourcesError(
                f"several resources have the same identity: {ids}; merge or delete all but one"
            )
        return found[0] if found else None


def _is_identified(resource: Resource, identifier: Mapping[str, Any]) -> bool:
    return any(
        one.get("value") == identifier["value"] and one.get("system", "") == identifier.get("system", "")
        for one in resource.get("identifier", [])
    )
