"""The searches of one batch: many at once, and each result as recent as what this host itself has written."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from shared.errors import EntryError, MultipleMatchingResourcesError, ThrottledError, TransientError
from shared.mapping.held import as_list, objects, readable, version_of
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.patient_id import is_other
from shared.mapping.sign import are_doubles, named
from shared.mapping.transaction import reference_of
from shared.model.fhir import Resource
from shared.sync.merge.order_searches import ORDER
from shared.sync.merge.resource_cache import DELETED, RecentWrites
from shared.sync.ports import FhirServer

Search = tuple[str, str]
"""A search: resource type and query."""


class Lookup:
    """Finds resources by identity, never by a guess. Threads may share it.

    Every resource has its version: if the search does not give it, the resource is read by its id. It has the shape
    that the mapping reads (`mapping/held.py`), or MalformedResourceError is raised. Each method that searches raises
    what FhirServer does.
    """

    def __init__(self, fhir: FhirServer, recent_writes: RecentWrites) -> None:
        self._fhir = fhir
        self._recent_writes = recent_writes
        self._read: dict[Search, list[Resource]] = {}
        self._orders: dict[Search, list[Resource]] = {}
        self._afresh: set[Search] = set()

    def read_ahead(self, searches: Iterable[Search]) -> None:
        """Makes many searches at once. Each result serves one look-up: after a conflict the server is asked again."""
        wanted = [one for one in dict.fromkeys(searches) if one not in self._orders]
        try:
            self._read_many(wanted)
        except (EntryError, TransientError) as error:
            others = [one for one in wanted if one[0] != ORDER]
            if isinstance(error, ThrottledError) or len(others) == len(wanted):
                raise
            self._read_many(others)  # if orders cannot be searched for, the look-up of orders finds out

    def _read_many(self, wanted: Sequence[Search]) -> None:
        if len(wanted) > 1:
            for search, found in zip(wanted, self._fhir.search_many(wanted), strict=True):
                (self._orders if search[0] == ORDER else self._read)[search] = found

    def read_afresh(self, searches: Iterable[Search]) -> None:
        """After a conflict: drops what was read ahead, and reads what these searches find next by its id, too."""
        for search in searches:
            self._read.pop(search, None)
            self._orders.pop(search, None)
            self._afresh.add(search)

    def orders(self, search: Search) -> list[Resource]:
        """The matches of a search for orders as they came: each is made once in a batch."""
        if search not in self._orders:
            self._orders[search] = self._fhir.search(*search)
        return self._orders[search]

    def found(self, search: Search, fits: Callable[[Resource], bool]) -> list[Resource]:
        """The resources that fit, each as recent as this host's own writes.

        `fits` is needed because a server that ignores an unknown parameter finds everything. What this host has written
        and the search does not show, or shows in another version, is read by its id.
        """
        matches = self._read.pop(search, None)
        if matches is None:
            matches = self._fhir.search(*search)
        found = {_key(reference_of(one)): one for one in matches if fits(one)}
        written = {_key(reference): (reference, version) for reference, version in self._recent_writes.of(search[1])}
        afresh = search in self._afresh
        self._afresh.discard(search)
        for key in [*found, *(key for key in written if key not in found and written[key][1] != DELETED)]:
            one = found.get(key)
            reference, version = written.get(key, ("", None))
            if one is None or afresh or version_of(one) is None or version not in (None, version_of(one)):
                one = self._as_it_is(search[1], reference_of(one) if one else reference, fits)
                found = {name: held for name, held in found.items() if name != key} | ({key: one} if one else {})
        return [readable(one) for one in found.values()]

    def _as_it_is(self, query: str, reference: str, fits: Callable[[Resource], bool]) -> Resource | None:
        """The resource read by its id, which does not lag as searches may; None if it is gone or does not fit."""
        one = self._fhir.read(reference)
        if one is None or not fits(one):
            self._recent_writes.deleted(query, reference)
            return None
        self._recent_writes.note(query, reference, version_of(one))
        return one


def is_identified(resource: Resource, identifier: Mapping[str, Any]) -> bool:
    """Whether the resource has the identifier, and not as another PatientID."""
    return any(not is_other(one) for one in matching(resource, identifier))


def matching(resource: Resource, identifier: Mapping[str, Any]) -> Iterator[Resource]:
    """The resource's identifiers with that value and system."""
    held = objects(as_list(resource.get("identifier")))
    wanted = identifier["value"], identifier.get("system", "")
    return (one for one in held if (one.get("value"), one.get("system", "")) == wanted)


def one_or_doubles(found: list[Resource], options: MappingOptions) -> list[Resource]:
    """The resources. Raises MultipleMatchingResourcesError if there are several that the app has not all made."""
    if len(found) > 1 and not are_doubles(found, options):
        raise MultipleMatchingResourcesError(
            f"several resources have the same identity: {named(found)}; merge or delete all but one"
        )
    return found


def _key(reference: str) -> str:
    """For comparing: some servers give ids in another letter case than they were made in."""
    return reference.casefold()
