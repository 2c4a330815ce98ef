"""Finds the Patients that the FHIR server holds, by the identifiers that PatientIDs make."""

from collections.abc import Mapping
from typing import Any

from shared.mapping.identifier_system import spellings
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import by_id
from shared.mapping.transaction import identifier_query, reference_of
from shared.model.fhir import Resource
from shared.sync.merge.lookup import Lookup, Search, is_identified, matching, one_or_doubles
from shared.sync.merge.survivors import survivors
from shared.sync.ports import FhirServer

Identifier = Mapping[str, Any]


class PatientLookup:
    """For one data partition. Threads may share it."""

    def __init__(self, fhir: FhirServer, lookup: Lookup, options: MappingOptions) -> None:
        self._fhir = fhir
        self._lookup = lookup
        self._options = options
        self._others: set[Search] = set()

    def searches(self, identifier: Identifier) -> list[Search]:
        """The searches that `of` will make; the first is by the identifier as it is given."""
        return [_search(one) for one in spellings(identifier)]

    def query(self, identifier: Identifier) -> str:
        """The query by the identifier as it is given."""
        return self.searches(identifier)[0][1]

    def of(self, identifier: Identifier) -> list[Resource]:
        """The Patient, and doubles of it that the app has made; in place of a Patient that was merged, the survivor.

        Raises MultipleMatchingResourcesError and ReplacedPatientError too.
        """
        by_reference: dict[str, Resource] = {}
        for one in spellings(identifier):
            by_reference |= {reference_of(held): held for held in self._identified(one)}
        found = survivors(sorted(by_reference.values(), key=by_id), self._fhir.read)
        return one_or_doubles(found, self._options)

    def is_an_others(self, identifier: Identifier) -> bool:
        """Whether the last look-up has found Patients who have the identifier only as another PatientID."""
        return any(search in self._others for search in self.searches(identifier))

    @staticmethod
    def identifier_of(patient: Resource, identifier: Identifier) -> Identifier | None:
        """The identifier in the spelling that the Patient has it in; None if the Patient does not have it."""
        return next((one for one in spellings(identifier) if is_identified(patient, one)), None)

    def _identified(self, identifier: Identifier) -> list[Resource]:
        search = _search(identifier)
        self._others.discard(search)

        def fits(one: Resource) -> bool:
            is_found = is_identified(one, identifier)
            if not is_found and any(True for _ in matching(one, identifier)):
                self._others.add(search)
            return is_found

        return sorted(self._lookup.found(search, fits), key=by_id)


def _search(identifier: Identifier) -> Search:
    return "Patient", identifier_query(identifier.get("system", ""), identifier["value"])
