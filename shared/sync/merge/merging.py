"""Reads what FHIR holds of a study, and gives the writes after which it says what the archive holds."""

from collections.abc import Iterable, Sequence

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import Links
from shared.mapping.merge_study import with_series_of
from shared.mapping.reconcile import StudyRead
from shared.mapping.sign import is_ours
from shared.mapping.transaction import Write, as_they_stand
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, newcomers, without_missing
from shared.sync.merge.codings import CodingsWithoutSystem
from shared.sync.merge.gone_instances import GoneInstances
from shared.sync.merge.held_study import HeldStudy, Sources
from shared.sync.merge.lookup import Lookup, Search
from shared.sync.merge.needed_reading import NeededReading
from shared.sync.merge.order_links import OrderLinks
from shared.sync.merge.orders import Orders
from shared.sync.merge.our_endpoint import OurEndpoint
from shared.sync.merge.patient_links import PatientLinks, linked_to
from shared.sync.merge.patient_lookup import PatientLookup
from shared.sync.merge.patients import StudyPatient
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
        self._reader = StudyReader(ports, self.options, partition)
        self.orders = Orders(ports, self._lookup, self.options)
        patients = PatientLookup(ports.fhir, self._lookup, self.options)
        self.patients = PatientLinks(patients, ports.feed_order, self.options)
        self.gone = GoneInstances(partition)
        self.codings = CodingsWithoutSystem()
        self._order_links = OrderLinks(self.orders, self.patients)
        self._reading = NeededReading(self._reader, self._order_links, self.options)
        self._content = StudyContent(ports.archive, self._order_links, self._endpoint.name, self.options, partition)

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
        sources, writes = self._gathered(wanted, found)
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

    def _gathered(self, wanted: Changes, found: Sequence[Resource]) -> tuple[Sources, list[Write]]:
        """What the study is merged from, and the writes of its Patients. `found`: the study and its doubles in FHIR."""
        study = found[0] if found else None
        if study is None:
            wanted = self._of_new_study(wanted)
        links: dict[str, str] = {}
        writes = self._link(self.patients.of(wanted), study, links)
        resource = self._resource(found, links)
        sources = Sources(self._held(resource, links), wanted, links)
        read = self._reading.of(sources)
        if read is None:
            return sources, writes
        self.gone.note_read(resource, wanted, read)
        if (present := self._present(wanted, read)) is not wanted:
            wanted, links = present, {}
            writes = self._link(self.patients.of(wanted), study, links)
        writes += self._link(self.patients.of_read(wanted.study_instance_uid, read, links), study, links)
        return Sources(self._held(resource, links), wanted, links, read), writes

    def _of_new_study(self, wanted: Changes) -> Changes:
        """The changes of a study that FHIR does not have: of instances that are there, or with all others."""
        if wanted.is_doubtful:
            wanted = self._present(wanted, self._reader.read_changes(wanted))
        if self._studies.was_written(wanted.study_instance_uid):
            wanted = self._reader.with_the_rest(wanted)
        return wanted

    def _present(self, wanted: Changes, read: StudyRead) -> Changes:
        """The changes of instances that the archive holds; the patients of the others are not the study's."""
        present = without_missing(wanted, read)
        self.patients.without(wanted, present)
        self.gone.note_not_found(wanted, present)
        return present

    def _link(self, patients: Sequence[StudyPatient], study: Resource | None, links: dict[str, str]) -> list[Write]:
        """The writes of these Patients; adds the links to them and to the Endpoint."""
        if patients:
            links[self._endpoint.name] = self._endpoint.reference()
        return [write for patient in patients for write in self.patients.link(patient, study, links)]

    def _resource(self, found: Sequence[Resource], links: Links) -> Resource | None:
        """The study to merge with: it has what its doubles list, and no links to Endpoints that are gone."""
        if not found:
            return None
        resource = with_series_of(found[0], found[1:])
        if links and is_ours(resource, self.options.service_url):
            return self._endpoint.without_gone(resource)
        return resource

    def _held(self, resource: Resource | None, links: Links) -> HeldStudy:
        return HeldStudy.of(resource, links.get(self._endpoint.name, ""), self.options)

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
