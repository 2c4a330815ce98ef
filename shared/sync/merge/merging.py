"""Reads what FHIR holds of a study, and gives the writes after which it says what the archive holds."""

from collections.abc import Iterable

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.transaction import Write, as_they_stand
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, newcomers
from shared.sync.merge.codings import CodingsWithoutSystem
from shared.sync.merge.gathering import Gathering
from shared.sync.merge.gone_instances import GoneInstances
from shared.sync.merge.lookup import Lookup, Search
from shared.sync.merge.needed_reading import NeededReading
from shared.sync.merge.order_links import OrderLinks
from shared.sync.merge.orders import Orders
from shared.sync.merge.our_endpoint import OurEndpoint
from shared.sync.merge.patient_links import PatientLinks, linked_to
from shared.sync.merge.patient_lookup import PatientLookup
from shared.sync.merge.reading import StudyReader
from shared.sync.merge.reports import observation_writes, report_search
from shared.sync.merge.study_content import StudyContent
from shared.sync.merge.study_lookup import StudyLookup
from shared.sync.merge.study_writes import study_writes
from shared.sync.ports import Ports


class StudyMerger:
    """Merges the studies of one data partition. Threads may share it."""

    def __init__(self, ports: Ports, options: MappingOptions, partition: str) -> None:
        self.options = options.of_partition(partition)
        self.partition = partition
        self._lookup = Lookup(ports.fhir, ports.cache.recent_writes)
        self._studies = StudyLookup(ports.fhir, ports.cache, self._lookup, self.options)
        self._endpoint = OurEndpoint(ports, self._lookup, self.options)
        self.orders = Orders(ports, self._lookup, self.options)
        patients = PatientLookup(ports.fhir, self._lookup, self.options)
        self.patients = PatientLinks(patients, ports.feed_order, self.options)
        self.gone = GoneInstances(partition)
        self.codings = CodingsWithoutSystem()
        self._order_links = OrderLinks(self.orders, self.patients)
        reader = StudyReader(ports, self.options, partition)
        reading = NeededReading(reader, self._order_links, self.options)
        self._gathering = Gathering(
            self._studies, self._endpoint, self.patients, self.gone, reader, reading, self.options
        )
        self._content = StudyContent(ports, self._order_links, self._endpoint.name, self.options, partition)

    def searches(self, wanted: Changes) -> list[Search]:
        """The searches that `writes` will make, except those for Observations."""
        searches = self._studies.searches(wanted.study_instance_uid)
        patients = self.patients.searches(wanted)
        if patients and not self._endpoint.is_known:
            searches.append(self._endpoint.search)
        return [*searches, *patients, *self._order_links.searches(wanted)]

    def read_ahead(self, searches: Iterable[Search]) -> None:
        """Makes the searches of several studies at once."""
        self._lookup.read_ahead(searches)

    def forget(self, wanted: Changes) -> None:
        """Has `writes` read again what was cached or read ahead for these changes."""
        self._endpoint.forget()
        self._studies.forget(wanted.study_instance_uid)
        reports = [report_search(uid, self.options) for _, uid in wanted.reports]
        self._lookup.read_afresh([*self.searches(wanted), *reports])

    def writes(self, wanted: Changes) -> list[Write]:
        """The writes of one transaction: a resource before those that link to it. Empty if FHIR is up to date.

        Raises MultipleMatchingResourcesError, MalformedResourceError, ReplacedPatientError, and what FhirServer does.
        """
        was_cached = self._studies.is_cached(wanted.study_instance_uid)
        writes = as_they_stand(self._writes(wanted))
        if was_cached and not any(write.resource["resourceType"] == "ImagingStudy" for write in writes):
            # If-Match would show that somebody has changed the cached study; without a write it must be read again.
            self._studies.forget(wanted.study_instance_uid)
            return as_they_stand(self._writes(wanted))
        return writes

    def _writes(self, wanted: Changes) -> list[Write]:
        uid = wanted.study_instance_uid
        found = self._studies.of(uid)
        study = found[0] if found else None
        if _asks_nothing(wanted, study):
            return []
        sources, writes = self._gathering.of(wanted, found)
        merged = self._content.of(sources)
        self.gone.note_merged(uid, merged)
        writes += study_writes(self._studies, self.options, uid, found, merged)
        writes += observation_writes(self._lookup, self.options, study, sources)
        writes = linked_to(writes, study)
        self.codings.note(uid, sources.held.resource, merged, writes)
        for former in self._moved(study, sources.wanted):
            writes += self._writes(former)
            self.gone.note_renamed(former.study_instance_uid, uid)
        return writes

    def _moved(self, study: Resource | None, wanted: Changes) -> list[Changes]:
        """Studies of ours that may be this one under a former StudyInstanceUID, which an update has changed."""
        new = newcomers(wanted, study)
        if not new:
            return []
        uids = self._studies.listing(new)
        for uid in uids:
            self._studies.forget(uid)
        return [Changes(uid, [], {}) for uid in sorted(uids - {wanted.study_instance_uid})]


def _asks_nothing(wanted: Changes, study: Resource | None) -> bool:
    """Whether nothing is to be written, as only orders of a study are asked for that FHIR does not have.

    Or there are only updates that cannot be mapped, of instances that FHIR has under these UIDs: it keeps them.
    """
    if wanted.orders and study is None:
        return True
    return bool(wanted.updated) and not wanted.changes and not newcomers(wanted, study)
