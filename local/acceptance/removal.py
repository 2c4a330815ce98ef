"""Removes what a run made: by the ids in its ledger, and by names that only this run has; nothing else."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from local.acceptance.ledger import Ledger
from local.acceptance.server import BAD_REQUEST, FAULTS, GONE, NOT_FOUND, FhirServer, Resource
from shared.errors import OutageError

ORDER = ("Observation", "ImagingStudy", "Patient", "Endpoint")
"""Resources are deleted before those that they refer to, for servers that check references."""
_ROUNDS = 3  # of deleting and looking again
_AT_ONCE = 8  # requests at the same time


@dataclass(frozen=True, slots=True)
class Removed:
    """`count`: how many resources were deleted. `left`: by `Type/id`, why a resource could not be deleted."""

    count: int
    left: dict[str, str]


class Removal:
    """The removal of one run."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger
        self._uids = {f"urn:oid:{uid}" for uid in (*ledger.studies, *ledger.reports)}

    def remove_all(self) -> Removed:
        """Deletes all, and looks again, at most three times: a server may find late what was written to it."""
        deleted: set[str] = set()
        left: dict[str, str] = {}
        for _ in range(_ROUNDS):
            try:
                wanted = self._found()
                if not wanted:
                    return Removed(len(deleted), {})
                failures = self._delete(wanted, deleted)
            except OutageError as error:
                left = {one: str(error) for one in self._ledger.made if one not in deleted}
                break
            left = {
                one: failures.get(one, "the server says that it deleted it, and it is there") for one in self._found()
            }
        return Removed(len(deleted - left.keys()), left)

    def _found(self) -> list[str]:
        """References of the run's resources that exist, in the order in which they can be deleted."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = [one for some in pool.map(self._search, self._queries()) for one in some]
            there += [one for one in pool.map(self._read, self._ledger.made) if one]
        names = dict.fromkeys(f"{one['resourceType']}/{one['id']}" for one in there if self._is_own(one))
        return sorted(names, key=lambda name: ORDER.index(name.partition("/")[0]))

    def _queries(self) -> list[tuple[str, dict[str, str]]]:
        """Searches for the names that only this run has, as resource type and parameters."""
        ledger = self._ledger
        asked = [("Observation", f"urn:dicom:uid|urn:oid:{uid}") for uid in ledger.reports]
        asked += [("ImagingStudy", f"urn:dicom:uid|urn:oid:{uid}") for uid in ledger.studies]
        asked += [("Patient", f"{ledger.system}|{one}") for one in ledger.patients]
        queries = [(resource_type, {"identifier": identifier}) for resource_type, identifier in asked]
        queries += [("Endpoint", {"name": f"DICOM WADO-RS endpoint {ledger.service_url}"})]
        queries += [("Endpoint", {"identifier": f"{ledger.system}|"})]
        return queries

    def _search(self, asked: tuple[str, dict[str, str]]) -> list[Resource]:
        try:
            return self._server.search(*asked)
        except FAULTS:
            return []

    def _is_own(self, resource: Resource) -> bool:
        """Whether the resource has a name of the run. Its id is no proof: a server that is set up anew reuses ids."""
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
