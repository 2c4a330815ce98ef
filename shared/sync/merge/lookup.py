"""Finds what the FHIR server holds about a study: by identifier, never by a guess."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from shared.errors import (
    EntryError,
    MalformedResourceError,
    MultipleMatchingResourcesError,
    ThrottledError,
    TransientError,
)
from shared.mapping.dose.merge_observation import report_query
from shared.mapping.held import as_list, objects, readable, text, version_of
from shared.mapping.identifier_system import spellings
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import contains, has_address
from shared.mapping.orders import OrderNumber
from shared.mapping.patient_id import is_other
from shared.mapping.resources import Fragment
from shared.mapping.sign import are_doubles, by_id, named
from shared.mapping.study_identity import is_of_another_partition, study_identifier, uid_of
from shared.mapping.transaction import endpoint_query, identifier_query, reference_of
from shared.model.fhir import Resource
from shared.sync.merge.order_searches import ORDER
from shared.sync.merge.resource_cache import DELETED, ResourceCache
from shared.sync.merge.survivors import survivors
from shared.sync.ports import FhirServer

Search = tuple[str, str]
"""A search: resource type and query."""

MOST_ASKED = 10
"""UIDs in one search for the studies that list them: any of them finds a study that was given another UID."""

logger = logging.getLogger(__name__)


class Lookup:
    """Searches by identity. `cache`: ImagingStudies that need no search, and writes that searches may not show yet.

    Every resource has its version: if the search does not give it, the resource is read by its id. It has the shape
    that the mapping reads (`mapping/held.py`), or MalformedResourceError is raised.
    """

    def __init__(self, fhir: FhirServer, cache: ResourceCache, options: MappingOptions) -> None:
        self._fhir = fhir
        self._cache = cache
        self._options = options
        self._read: dict[Search, list[Resource]] = {}
        self._orders: dict[Search, list[Resource]] = {}
        self._afresh: set[Search] = set()
        self._others: set[Search] = set()
        self._elsewhere: set[str] = set()
        self._logged: set[str] = set()

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

    def is_cached(self, uid: str) -> bool:
        """Whether `studies` gives the ImagingStudy as this host wrote it, without a request."""
        return self._cache.get(self.study_query(uid)) is not None

    def forget_study(self, uid: str) -> None:
        """Has `studies` search for the ImagingStudy again."""
        self._cache.put(self.study_query(uid), None)

    def was_written(self, uid: str) -> bool:
        """Whether this host has written the ImagingStudy lately; if it is not found now, somebody has deleted it."""
        return bool(self._cache.recent_writes.of(self.study_query(uid)))

    def studies(self, uid: str) -> list[Resource]:
        """The ImagingStudy, and doubles of it that the app has made; empty if there is none."""
        query = self.study_query(uid)
        if (cached := self._cache.get(query)) is not None:
            return [readable(cached)]
        self._elsewhere.discard(uid)
        identifier = study_identifier(self._options, uid)

        def fits(one: Resource) -> bool:
            if not _is_identified(one, identifier):
                return False
            if is_of_another_partition(one, uid, self._options):
                self._elsewhere.add(uid)
                return False
            return True

        return self._unless_several(sorted(self._found(("ImagingStudy", query), fits), key=by_id))

    def is_elsewhere_too(self, uid: str) -> bool:
        """Whether the last look-up of the study has found one with the same UID from another data partition."""
        return uid in self._elsewhere

    def studies_listing(self, parameter: str, uids: Iterable[str]) -> list[Resource]:
        """ImagingStudies that list one of the first MOST_ASKED of these series or instances.

        `parameter`: "series" or "instance". Empty if the server does not take the search.
        """
        asked = set(list(dict.fromkeys(uids))[:MOST_ASKED])
        try:
            found = self._fhir.search("ImagingStudy", f"{parameter}={','.join(sorted(asked))}")
        except EntryError:
            return []
        return [
            one
            for one in filter(None, map(_unless_malformed, found))
            if asked & _listed(one, parameter) and uid_of(one, self._options)
        ]

    def patients(self, identifier: Mapping[str, str]) -> list[Resource]:
        """The Patient, and doubles of it that the app has made; in place of a Patient that was merged, the survivor.

        Raises ReplacedPatientError too.
        """
        by_reference: dict[str, Resource] = {}
        for one in spellings(identifier):
            by_reference |= {reference_of(held): held for held in self._identified(self._patient_search(one), one)}
        return self._unless_several(survivors(sorted(by_reference.values(), key=by_id), self._fhir.read))

    def is_an_others(self, identifier: Mapping[str, str]) -> bool:
        """Whether the last look-up has found Patients who have the identifier only as another PatientID."""
        return any(search in self._others for search in self.patient_searches(identifier))

    @staticmethod
    def identifier_of(patient: Resource, identifier: Mapping[str, str]) -> Mapping[str, str] | None:
        """The identifier in the spelling that the Patient has it in; None if the Patient does not have it."""
        return next((one for one in spellings(identifier) if _is_identified(patient, one)), None)

    def endpoint(self, wanted: Fragment) -> Resource | None:
        """The Endpoint. Of several with our address it is the oldest: the app, or DICOM Cast, made them all alike."""
        ours = {"name": wanted.create["name"], "connectionType": wanted.create["connectionType"]}
        own = wanted.create["identifier"][0]
        found = self._found(self.endpoint_search(wanted), lambda one: contains(one, ours) or _is_identified(one, own))
        found.sort(key=lambda one: (not has_address(one, wanted), _last_updated(one), by_id(one)))
        if len(found) > 1 and (ids := named(found)) not in self._logged:
            self._logged.add(ids)
            logger.warning("%s are doubles: the first is used; delete the others once nothing links to them", ids)
        return found[0] if found else None

    def observations(self, sop_instance_uid: str) -> list[Resource]:
        """The Observations with the identifier of the dose report."""
        identifier = {"system": self._options.uid_system, "value": f"urn:oid:{sop_instance_uid}"}
        return self._found(
            ("Observation", report_query(sop_instance_uid, self._options)),
            lambda found: _is_identified(found, identifier),
        )

    def orders(self, number: OrderNumber) -> list[Resource]:
        """The orders with the number, except those entered in error; each number is searched for once in a batch."""
        search = self.order_search(number)
        if search not in self._orders:
            self._orders[search] = self._fhir.search(*search)
        found = {reference_of(one): one for one in self._orders[search] if number.is_carried_by(one)}
        return [one for one in found.values() if one.get("status") != "entered-in-error"]

    @staticmethod
    def order_search(number: OrderNumber) -> Search:
        return ORDER, number.query

    def read_afresh(self, searches: Iterable[Search]) -> None:
        """After a conflict: drops what was read ahead, and reads what these searches find next by its id, too."""
        for search in searches:
            self._read.pop(search, None)
            self._orders.pop(search, None)
            self._afresh.add(search)

    def study_search(self, uid: str) -> Search:
        return "ImagingStudy", self.study_query(uid)

    def study_query(self, uid: str) -> str:
        return identifier_query(self._options.uid_system, f"urn:oid:{uid}")

    def patient_searches(self, identifier: Mapping[str, str]) -> list[Search]:
        """The searches of `patients`; the first is by the identifier as it is given."""
        return [self._patient_search(one) for one in spellings(identifier)]

    @staticmethod
    def _patient_search(identifier: Mapping[str, str]) -> Search:
        return "Patient", identifier_query(identifier.get("system", ""), identifier["value"])

    @staticmethod
    def endpoint_search(wanted: Fragment) -> Search:
        connection = wanted.create["connectionType"]
        return "Endpoint", endpoint_query(wanted.create["name"], connection["system"], connection["code"])

    def _identified(self, search: Search, identifier: Mapping[str, Any]) -> list[Resource]:
        self._others.discard(search)

        def fits(one: Resource) -> bool:
            is_found = _is_identified(one, identifier)
            if not is_found and any(True for _ in _same(one, identifier)):
                self._others.add(search)
            return is_found

        return sorted(self._found(search, fits), key=by_id)

    def _unless_several(self, found: list[Resource]) -> list[Resource]:
        """Raises MultipleMatchingResourcesError if there are several that the app has not all made."""
        if len(found) > 1 and not are_doubles(found, self._options):
            raise MultipleMatchingResourcesError(
                f"several resources have the same identity: {named(found)}; merge or delete all but one"
            )
        return found

    def _found(self, search: Search, fits: Callable[[Resource], bool]) -> list[Resource]:
        """The resources that fit, each as recent as this host's own writes.

        `fits` is needed because a server that ignores an unknown parameter finds everything. What this host has written
        and the search does not show, or shows in another version, is read by its id.
        """
        matches = self._read.pop(search, None)
        if matches is None:
            matches = self._fhir.search(*search)
        found = {_key(reference_of(one)): one for one in matches if fits(one)}
        written = {
            _key(reference): (reference, version) for reference, version in self._cache.recent_writes.of(search[1])
        }
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
            self._cache.recent_writes.deleted(query, reference)
            return None
        self._cache.recent_writes.note(query, reference, version_of(one))
        return one


def _listed(study: Resource, parameter: str) -> set[str]:
    series = study.get("series", [])
    if parameter == "series":
        return {one.get("uid") for one in series}
    return {instance.get("uid") for one in series for instance in one.get("instance", ())}


def _unless_malformed(study: Resource) -> Resource | None:
    """The study in the mapping's shape; None if it has another shape, as then the app has not made it."""
    try:
        return readable(study)
    except MalformedResourceError:
        return None


def _last_updated(resource: Resource) -> str:
    meta = resource.get("meta")
    return text(meta.get("lastUpdated")) if isinstance(meta, dict) else ""


def _key(reference: str) -> str:
    """For comparing: some servers give ids in another letter case than they were made in."""
    return reference.casefold()


def _is_identified(resource: Resource, identifier: Mapping[str, Any]) -> bool:
    return any(not is_other(one) for one in _same(resource, identifier))


def _same(resource: Resource, identifier: Mapping[str, Any]) -> Iterator[Resource]:
    held = objects(as_list(resource.get("identifier")))
    wanted = identifier["value"], identifier.get("system", "")
    return (one for one in held if (one.get("value"), one.get("system", "")) == wanted)
