"""Gathers what a study is merged from: what FHIR and the archive hold, the changes, and its Patients and Endpoint."""

from collections.abc import Sequence

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import Links
from shared.mapping.merge_study import with_series_of
from shared.mapping.reconcile import StudyRead
from shared.mapping.sign import is_ours
from shared.mapping.transaction import Write
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, without_missing
from shared.sync.merge.gone_instances import GoneInstances
from shared.sync.merge.held_study import HeldStudy, Sources
from shared.sync.merge.needed_reading import NeededReading
from shared.sync.merge.our_endpoint import OurEndpoint
from shared.sync.merge.patient_links import PatientLinks
from shared.sync.merge.patients import StudyPatient
from shared.sync.merge.reading import StudyReader
from shared.sync.merge.study_lookup import StudyLookup


class Gathering:
    """For the studies of one data partition. Threads may share it."""

    def __init__(
        self,
        studies: StudyLookup,
        endpoint: OurEndpoint,
        patients: PatientLinks,
        gone: GoneInstances,
        reader: StudyReader,
        reading: NeededReading,
        options: MappingOptions,
    ) -> None:
        self._studies = studies
        self._endpoint = endpoint
        self._patients = patients
        self._gone = gone
        self._reader = reader
        self._reading = reading
        self._options = options

    def of(self, wanted: Changes, found: Sequence[Resource]) -> tuple[Sources, list[Write]]:
        """What the study is merged from, and the writes of its Patients. `found`: the study and its doubles in FHIR.

        Raises what StudyReader, OurEndpoint and PatientLookup do.
        """
        study = found[0] if found else None
        if study is None:
            wanted = self._of_new_study(wanted)
        links: dict[str, str] = {}
        writes = self._link(self._patients.of(wanted), study, links)
        resource = self._resource(found, links)
        sources = Sources(self._held(resource, links), wanted, links)
        read = self._reading.of(sources)
        if read is None:
            return sources, writes
        self._gone.note_read(resource, wanted, read)
        if (present := self._present(wanted, read)) is not wanted:
            wanted, links = present, {}
            writes = self._link(self._patients.of(wanted), study, links)
        writes += self._link(self._patients.of_read(wanted.study_instance_uid, read, links), study, links)
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
        self._patients.without(wanted, present)
        self._gone.note_not_found(wanted, present)
        return present

    def _link(self, patients: Sequence[StudyPatient], study: Resource | None, links: dict[str, str]) -> list[Write]:
        """The writes of these Patients; adds the links to them and to the Endpoint."""
        if patients:
            links[self._endpoint.name] = self._endpoint.reference()
        return [write for patient in patients for write in self._patients.link(patient, study, links)]

    def _resource(self, found: Sequence[Resource], links: Links) -> Resource | None:
        """The study to merge with: it has what its doubles list, and no links to Endpoints that are gone."""
        if not found:
            return None
        resource = with_series_of(found[0], found[1:])
        if links and is_ours(resource, self._options.service_url):
            return self._endpoint.without_gone(resource)
        return resource

    def _held(self, resource: Resource | None, links: Links) -> HeldStudy:
        return HeldStudy.of(resource, links.get(self._endpoint.name, ""), self._options)
