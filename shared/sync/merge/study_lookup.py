"""Finds what the FHIR server holds of a study: the ImagingStudy, its doubles, and the study under former UIDs."""

from collections.abc import Iterable

from shared.errors import EntryError, MalformedResourceError
from shared.mapping.held import readable
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import by_id, is_ours
from shared.mapping.study_identity import is_of_another_partition, study_identifier, uid_of
from shared.mapping.transaction import identifier_query
from shared.model.fhir import Resource
from shared.model.instance import InstanceIdentity
from shared.sync.merge.lookup import Lookup, Search, is_identified, one_or_doubles
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.ports import FhirServer

MOST_ASKED = 10
"""UIDs in one search for the studies that list them: any of them finds a study that was given another UID."""


class StudyLookup:
    """For one data partition. `cache`: ImagingStudies that need no search. Threads may share it."""

    def __init__(self, fhir: FhirServer, cache: ResourceCache, lookup: Lookup, options: MappingOptions) -> None:
        self._fhir = fhir
        self._cache = cache
        self._lookup = lookup
        self._options = options
        self._elsewhere: set[str] = set()

    def query(self, uid: str) -> str:
        """The query that finds the ImagingStudy, by which it is also cached."""
        return identifier_query(self._options.uid_system, f"urn:oid:{uid}")

    def searches(self, uid: str) -> list[Search]:
        """The searches that `of` will make."""
        return [] if self.is_cached(uid) else [("ImagingStudy", self.query(uid))]

    def is_cached(self, uid: str) -> bool:
        """Whether `of` gives the ImagingStudy as this host wrote it, without a request."""
        return self._cache.get(self.query(uid)) is not None

    def forget(self, uid: str) -> None:
        """Has `of` search for the ImagingStudy again."""
        self._cache.put(self.query(uid), None)

    def was_written(self, uid: str) -> bool:
        """Whether this host has written the ImagingStudy lately; if it is not found now, somebody has deleted it."""
        return bool(self._cache.recent_writes.of(self.query(uid)))

    def of(self, uid: str) -> list[Resource]:
        """The ImagingStudy, and doubles of it that the app has made; empty if there is none.

        Raises MultipleMatchingResourcesError too.
        """
        query = self.query(uid)
        if (cached := self._cache.get(query)) is not None:
            return [readable(cached)]
        self._elsewhere.discard(uid)
        identifier = study_identifier(self._options, uid)

        def fits(one: Resource) -> bool:
            if not is_identified(one, identifier):
                return False
            if is_of_another_partition(one, uid, self._options):
                self._elsewhere.add(uid)
                return False
            return True

        found = self._lookup.found(("ImagingStudy", query), fits)
        return one_or_doubles(sorted(found, key=by_id), self._options)

    def is_elsewhere_too(self, uid: str) -> bool:
        """Whether the last look-up of the study has found one with the same UID from another data partition."""
        return uid in self._elsewhere

    def listing(self, instances: Iterable[InstanceIdentity]) -> set[str]:
        """The StudyInstanceUIDs of our studies that list one of these instances, or of their series.

        Only the first MOST_ASKED series and instances are asked for. Empty if the server does not take such searches.
        """
        uids = [one[2:] for one in instances]
        of_series = self._listing("series", [series for series, _ in uids])
        found = [*of_series, *self._listing("instance", [instance for _, instance in uids])]
        return {uid_of(one, self._options) for one in found if is_ours(one, self._options.service_url)}

    def _listing(self, parameter: str, uids: Iterable[str]) -> list[Resource]:
        asked = set(list(dict.fromkeys(uids))[:MOST_ASKED])
        try:
            found = self._fhir.search("ImagingStudy", f"{parameter}={','.join(sorted(asked))}")
        except EntryError:
            return []
        studies = filter(None, map(_unless_malformed, found))
        return [one for one in studies if asked & _listed(one, parameter) and uid_of(one, self._options)]


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
