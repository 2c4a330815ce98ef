"""Finds what the FHIR server holds of a study: by identifier, never by a guess."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import MultipleMatchingResourcesError
from shared.mapping.merge import contains
from shared.mapping.resources import Fragment
from shared.mapping.transaction import endpoint_query, identifier_query
from shared.model import Resource
from shared.sync.ports import FhirServer


class Lookup:
    """Searches that give one resource or none. Raises MultipleMatchingResourcesError for more.

    `uid_system` is that of the identifiers which are StudyInstanceUIDs.
    """

    def __init__(self, fhir: FhirServer, uid_system: str) -> None:
        self._fhir = fhir
        self._uid_system = uid_system

    def study(self, uid: str) -> Resource | None:
        identifier = {"system": self._uid_system, "value": f"urn:oid:{uid}"}
        return self._one("ImagingStudy", self.study_query(uid), lambda found: _is_identified(found, identifier))

    def patient(self, identifier: Mapping[str, str]) -> Resource | None:
        return self._one("Patient", self.patient_query(identifier), lambda found: _is_identified(found, identifier))

    def endpoint(self, wanted: Fragment) -> Resource | None:
        said = {"name": wanted.create["name"], "connectionType": wanted.create["connectionType"]}
        return self._one("Endpoint", self.endpoint_query(wanted), lambda found: contains(found, said))

    def study_query(self, uid: str) -> str:
        return identifier_query(self._uid_system, f"urn:oid:{uid}")

    @staticmethod
    def patient_query(identifier: Mapping[str, str]) -> str:
        return identifier_query(identifier.get("system", ""), identifier["value"])

    @staticmethod
    def endpoint_query(wanted: Fragment) -> str:
        connection = wanted.create["connectionType"]
        return endpoint_query(wanted.create["name"], connection["system"], connection["code"])

    def _one(self, resource_type: str, query: str, fits: Callable[[Resource], bool]) -> Resource | None:
        # A server that ignores a parameter it does not know answers with everything: believe only what fits.
        found = [resource for resource in self._fhir.search(resource_type, query) if fits(resource)]
        if len(found) > 1:
            ids = ", ".join(f"{resource_type}/{resource['id']}" for resource in found)
            raise MultipleMatchingResourcesError(
                f"several resources have the same identity: {ids}; merge or delete all but one"
            )
        return found[0] if found else None


def _is_identified(resource: Resource, identifier: Mapping[str, Any]) -> bool:
    return any(
        one.get("value") == identifier["value"] and one.get("system", "") == identifier.get("system", "")
        for one in resource.get("identifier", [])
    )
