"""Removes what a run made, by the ids that it noted and by the names that only it has; never anything else."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from local.acceptance.ledger import Ledger
from local.acceptance.server import BAD_REQUEST, FAULTS, GONE, NOT_FOUND, FhirServer, Resource
from shared.errors import OutageError

ORDER = ("Observation", "ImagingStudy", "Patient", "Endpoint")
"""What refers to others goes before them, for servers that guard references."""
_ROUNDS = 3
_AT_ONCE = 8  # requests


@dataclass(frozen=True, slots=True)
class Removed:
    """How many resources were deleted, and `Type/id` and reason of what could not be."""

    count: int
    left: dict[str, str]


class Removal:
    """Of one run."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger
        self._uids = {f"urn:oid:{uid}" for uid in (*ledger.studies, *ledger.reports)}

    def remove_all(self) -> Removed:
        """Deletes, looks again what is there, and tells what is left. The server may see what it holds late."""
        deleted: set[str] = set()
        left: dict[str, str] = {}
        for _ in range(_ROUNDS):
            try:
                wanted = self._found()
                if not wanted:
                    return Removed(len(deleted), {})
                told = self._delete(wanted, deleted)
            except OutageError as error:
                left = {one: str(error) for one in self._ledger.made if one not in deleted}
                break
            left = {one: told.get(one, "the server says that it deleted it, and it is there") for one in self._found()}
        return Removed(len(deleted - left.keys()), left)

    def _found(self) -> list[str]:
        """References of all that is there of the run, in the order in which it can be deleted."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = [one for some in pool.map(self._searched, self._queries()) for one in some]
            there += [one for one in pool.map(self._read, self._ledger.made) if one]
        names = dict.fromkeys(f"{one['resourceType']}/{one['id']}" for one in there if self._is_own(one))
        return sorted(names, key=lambda name: ORDER.index(name.partition("/")[0]))

    def _queries(self) -> list[tuple[str, dict[str, str]]]:
        """Searches by the names that only the run has."""
        ledger = self._ledger
        asked = [("Observation", f"urn:dicom:uid|urn:oid:{uid}") for uid in ledger.reports]
        asked += [("ImagingStudy", f"urn:dicom:uid|urn:oid:{uid}") for uid in ledger.studies]
        asked += [("Patient", f"{ledger.system}|{one}") for one in ledger.patients]
        queries = [(resource_type, {"identifier": identifier}) for resource_type, identifier in asked]
        queries += [("Endpoint", {"name": f"DICOM WADO-RS endpoint {ledger.service_url}"})]
        queries += [("Endpoint", {"identifier": f"{ledger.system}|"})]
        return queries

    def _searched(self, asked: tuple[str, dict[str, str]]) -> list[Resource]:
        try:
            return self._server.search(*asked)
        except FAULTS:
            return []

    def _is_own(self, resource: Resource) -> bool:
        """An id alone says nothing: a server that was set up anew gives the same ids to others."""
        identifiers = resource.get("identifier", [])
        if resource.get("resourceType") in ("Observation", "ImagingStudy"):
            return any(one.get("value") in self._uids for one in identifiers)
        own_system = any(one.get("system") == self._ledger.system for one in identifiers)
        return own_system or resource.get("address") == self._ledger.service_url

    def _delete(self, references: Iterable[str], deleted: set[str]) -> dict[str, str]:
        left = {}
        for one in references:
            try:
                status = self._server.send("DELETE", f"/{one}").status_code
            except FAULTS as error:
                left[one] = str(error)
                continue
            if status < BAD_REQUEST or status in (NOT_FOUND, GONE):
                deleted.add(one)
            else:
                left[one] = f"the server answered {status} to its deletion"
        return left

    def _read(self, reference: str) -> Resource | None:
        try:
            return self._server.read(reference)
        except FAULTS:
            return None
