"""Reads what FHIR holds of a study, and gives the writes after which it says what the archive holds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.mapping.converters import MappingOptions, urn
from shared.mapping.dose.merge_observation import report_query
from shared.mapping.endpoints import with_viewer
from shared.mapping.last_applied import assumed, is_marked, recorded, with_record
from shared.mapping.merge import Links, contains
from shared.mapping.merge_study import (
    cancelled,
    counted_series,
    counts_only,
    fragments_of_study,
    merge_study,
    uncounted,
    with_series_of,
)
from shared.mapping.orders import BASED_ON, OrderNumber, leads_to, order_marks, order_numbers, with_orders
from shared.mapping.reconcile import ScopeFragments, StudyRead, takes_out
from shared.mapping.reconcile_study import applied, is_plain, reconcile_study, standing, study_fragments
from shared.mapping.resources import MappedInstance, listed_by
from shared.mapping.restated import is_restated, is_turned_off
from shared.mapping.series_endpoint import series_endpoint_marks, with_series_endpoints
from shared.mapping.sign import is_only_ours, is_ours, signed
from shared.mapping.study_identity import uid_of, with_study_identifiers, without_second_identifier
from shared.mapping.table import elements_of
from shared.mapping.transaction import (
    Create,
    Delete,
    Update,
    Write,
    as_they_stand,
    identifier_query,
    reference_of,
)
from shared.mapping.undecided import is_undecided, without_dissent
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, newcomers, without_missing
from shared.sync.merge.codings import CodingsWithoutSystem
from shared.sync.merge.gone_instances import GoneInstances
from shared.sync.merge.lookup import Lookup, Search
from shared.sync.merge.orders import Orders
from shared.sync.merge.our_endpoint import OurEndpoint
from shared.sync.merge.patient_links import PatientLinks, linked_to
from shared.sync.merge.patients import StudyPatient
from shared.sync.merge.reading import StudyReader
from shared.sync.merge.reports import observation_writes
from shared.sync.ports import Ports


class StudyMerger:
    """Merges the studies of one data partition. Threads may share it."""

    def __init__(self, ports: Ports, options: MappingOptions, partition: str) -> None:
        self.options = options.of_partition(partition)
        self.partition = partition
        self._archive = ports.archive
        self._lookup = Lookup(ports.fhir, ports.cache, self.options)
        self._endpoint = OurEndpoint(ports, self._lookup, self.options)
        self._reader = StudyReader(ports, self.options, partition)
        self.orders = Orders(ports, self._lookup, self.options)
        self.patients = PatientLinks(self._lookup, ports.feed_order, self.options)
        self.gone = GoneInstances(partition)
        self.codings = CodingsWithoutSystem()

    def searches(self, wanted: Changes) -> list[Search]:
        """The searches that `writes` will make, except those for Observations."""
        uid = wanted.study_instance_uid
        searches = [] if self._lookup.is_cached(uid) else [self._lookup.study_search(uid)]
        patients = [patient.identifier for patient in self.patients.of(wanted)]
        if patients and not self._endpoint.is_known:
            searches.append(self._endpoint.search)
        searches += [search for one in patients for search in self._lookup.patient_searches(one)]
        return searches + self.orders.searches(self._numbers(wanted, None, {}))

    def read_ahead(self, searches: Iterable[Search]) -> None:
        """Makes the searches of several studies at once."""
        self._lookup.read_ahead(searches)

    def forget(self, wanted: Changes) -> None:
        """Has `writes` read again what was cached or read ahead for these changes."""
        self._endpoint.forget()
        self._lookup.forget_study(wanted.study_instance_uid)
        reports = [("Observation", report_query(uid, self.options)) for _, uid in wanted.reports]
        self._lookup.read_afresh([*self.searches(wanted), *reports])

    def writes(self, wanted: Changes) -> list[Write]:
        """The writes of one transaction: a resource before those that link to it. Empty if FHIR is up to date.

        Raises MultipleMatchingResourcesError, MalformedResourceError, ReplacedPatientError, and what FhirServer does.
        """
        was_cached = self._lookup.is_cached(wanted.study_instance_uid)
        writes = as_they_stand(self._writes(wanted))
        if was_cached and not any(write.resource["resourceType"] == "ImagingStudy" for write in writes):
            # If-Match would show that somebody has changed the cached study; without a write it must be read again.
            self._lookup.forget_study(wanted.study_instance_uid)
            return as_they_stand(self._writes(wanted))
        return writes

    def _writes(self, wanted: Changes) -> list[Write]:
        uid = wanted.study_instance_uid
        found = self._lookup.studies(uid)
        if wanted.orders and not found:
            return []
        study, doubles = (found[0], found[1:]) if found else (None, [])
        if wanted.updated and not wanted.changes and not newcomers(wanted, study):
            return []  # updates that cannot be mapped, of instances that FHIR has under these UIDs: it keeps them
        base = with_series_of(study, doubles)
        links: dict[str, str] = {}
        if base is None and wanted.is_doubtful:
            wanted = self._held(wanted, self._reader.read_changes(wanted))
        if base is None and self._lookup.was_written(uid):
            wanted = self._reader.with_the_rest(wanted)
        writes = self._link(self.patients.of(wanted), study, links)
        if base is not None and links and is_ours(base, self.options.service_url):
            base = self._endpoint.without_gone(base)
        read = self._read(base, wanted, links)
        if read is not None:
            self.gone.note_read(base, wanted, read)
            if (held := self._held(wanted, read)) is not wanted:
                wanted, links = held, {}
                writes = self._link(self.patients.of(wanted), study, links)
            writes += self._link(self.patients.of_read(uid, read, links), study, links)
        merged = self._merged(base, wanted, read, links)
        self.gone.note_merged(uid, merged)
        writes += self._study_writes(study, doubles, merged, uid)
        if study is not None:
            links[urn("ImagingStudy", uid)] = reference_of(study)
        writes = linked_to(
            [*writes, *observation_writes(self._lookup, self.options, study, wanted, read, links)], study
        )
        self.codings.note(uid, base, merged, writes)
        for former in self._moved(study, wanted):
            writes += self._writes(former)
            self.gone.note_renamed(former.study_instance_uid, uid)
        return writes

    def _held(self, wanted: Changes, read: StudyRead) -> Changes:
        """The changes of instances that the archive holds; the patients of the others are not the study's."""
        held = without_missing(wanted, read)
        self.patients.without(wanted, held)
        self.gone.note_not_found(wanted, held)
        return held

    def _link(self, patients: Sequence[StudyPatient], study: Resource | None, links: dict[str, str]) -> list[Write]:
        """The writes of these Patients; adds the links to them and to the Endpoint."""
        if patients:
            links[self._endpoint.name] = self._endpoint.reference()
        return [write for patient in patients for write in self.patients.link(patient, study, links)]

    def _read(self, study: Resource | None, wanted: Changes, links: Links) -> StudyRead | None:
        """What the archive holds; None if the changes can be merged without reading it, or change nothing."""
        if study is None or wanted.orders:
            return None
        ours = self._ours(study, links)
        is_decided = wanted.only_creates and not (
            is_undecided(study, wanted.changes, ours)
            or is_restated(study, wanted.changes, ours)
            or is_turned_off(study, recorded(study) or frozenset(), self.options)
        )
        if is_decided and (
            (is_plain(study, wanted.changes, links) and not wanted.is_doubtful)
            or merge_study(study, wanted.changes, links, counted=self.options.extended) is None
        ):
            return None
        own = self._own_series(study, wanted, links)
        # Without changes it is a former UID of a study, and nothing says which instances have left it.
        read = self._reader.read(study, wanted, own, is_all=not wanted.changes)
        scope = ScopeFragments(listed_by(read.instances, lambda one: one.study), False, ours, "", links)
        removes = takes_out(study, scope, elements_of("ImagingStudy")) or self._unlinks(study, wanted, read, links)
        if not read.is_whole and removes:
            return self._reader.read(study, wanted, own, is_all=True)
        return read

    def _study_writes(
        self, study: Resource | None, doubles: Sequence[Resource], merged: Resource | None, uid: str
    ) -> list[Write]:
        """The writes of the ImagingStudy, and the deletes of its doubles, whose instances `merged` lists too."""
        query = self._lookup.study_query(uid)
        gone: list[Write] = [Delete(one, cancelled(one), query) for one in doubles]
        if merged is None:
            return []
        if study is None:
            return [self._create(merged, uid)]
        if not merged.get("series") and is_ours(study, self.options.service_url):
            if is_only_ours(merged, self.options, recorded(study)):
                return [Delete(study, signed(cancelled(study), self.options.service_url), query), *gone]
            merged = cancelled(merged)
        if merged == study:
            return gone
        if is_ours(study, self.options.service_url):
            merged = with_study_identifiers(signed(merged, self.options.service_url), self.options)
        return [Update(merged, query), *gone]

    def _create(self, study: Resource, uid: str) -> Create:
        """The create. Its condition is another one if a search by the UID finds another partition's study (ADR 38)."""
        condition = query = self._lookup.study_query(uid)
        if self._lookup.is_elsewhere_too(uid):
            own = {"system": self.options.service_url, "value": f"urn:oid:{uid}"}
            study = {**study, "identifier": [*study["identifier"], own]}
            condition = identifier_query(**own)
        return Create(urn("ImagingStudy", uid), study, condition, query)

    def _merged(self, study: Resource | None, wanted: Changes, read: StudyRead | None, links: Links) -> Resource | None:
        """The ImagingStudy to write, with the record of what is ours on it; `study` itself if nothing changes."""
        uid, ours = wanted.study_instance_uid, self._ours(study, links)
        asked = self._own_series(study, wanted, links)
        if read is not None and study is not None:
            held = uncounted(study, asked, read.series) if wanted.is_whole else study
            merged: Resource | None = reconcile_study(held, read, ours, links, counted=self.options.extended)
            instances = read.instances
        elif wanted.orders:
            merged, instances = study, []
        else:
            merged = merge_study(study, wanted.changes, links, counted=self.options.extended) or study
            instances = [change for change in wanted.changes if isinstance(change, MappedInstance)]
        if merged is not None and self._is_counted_only(study, merged, wanted, asked):
            counts = self._archive.counts(uid, self.partition)
            merged = counts_only(without_dissent(merged, wanted.changes, ours), {**dict.fromkeys(asked, 0), **counts})
        if merged is not None and (study is None or is_ours(study, self.options.service_url)):
            merged = without_second_identifier(with_viewer(merged, self.options), self.options)
        endpoint = links.get(self._endpoint.name)
        if merged is not None and endpoint:
            of_archive = asked.union(read.series if read else ())
            merged = with_series_endpoints(merged, endpoint, of_archive, ours, self.options)
        merged, marks = self._ordered(study, merged, wanted, read, links)
        if merged is None or merged == study:
            return merged
        marks |= applied(instances, study) | (series_endpoint_marks(merged, study, endpoint) if endpoint else set())
        return with_record(merged, standing(merged, ours | marks) if study else marks)

    def _ordered(
        self, study: Resource | None, merged: Resource | None, wanted: Changes, read: StudyRead | None, links: Links
    ) -> tuple[Resource | None, set[str]]:
        """The study linked to the orders that it fulfils, and the marks of these links."""
        is_all = read is not None and read.is_whole
        numbers = self._numbers(wanted, read, links)
        if merged is None or not (numbers or is_all):
            return merged, set()
        found = self.orders.of(wanted.study_instance_uid, numbers, merged, self.patients.identifiers(wanted, links))
        if found is None:
            return merged, set()
        ordered = with_orders(merged, found, self._ours(study, links), is_all=is_all)
        return ordered, order_marks(ordered, study, found)

    def _numbers(self, wanted: Changes, read: StudyRead | None, links: Links) -> dict[OrderNumber, Mapping[str, Any]]:
        """The order numbers that the study's instances have, as far as they were read."""
        fragments = fragments_of_study(wanted.changes) if read is None else study_fragments(read, links)
        return {**order_numbers(fragments), **wanted.orders}

    def _unlinks(self, study: Resource, wanted: Changes, read: StudyRead, links: Links) -> bool:
        """Whether we have linked the study to an order that the instances read do not lead to, but others may."""
        ours = self._ours(study, links)
        held = [one for one in study.get(BASED_ON, ()) if is_marked(ours, "", BASED_ON, one)]
        if not held:
            return False
        numbers = self._numbers(wanted, read, links)
        found = self.orders.of(wanted.study_instance_uid, numbers, study, self.patients.identifiers(wanted, links))
        return found is not None and not all(leads_to(one, found.links) for one in held)

    def _ours(self, study: Resource | None, links: Links) -> frozenset[str]:
        """The marks of what we wrote on the study."""
        if study is None:
            return frozenset()
        marks = recorded(study)
        if marks is not None:
            return marks
        endpoint = {"reference": links.get(self._endpoint.name, "")}
        is_linked = any(contains(one, endpoint) for one in study.get("endpoint", ()))
        is_ours_ = is_ours(study, self.options.service_url)
        return assumed(study, is_ours=is_ours_, is_linked=is_linked, extended=self.options.extended)

    def _own_series(self, study: Resource | None, wanted: Changes, links: Links) -> set[str]:
        """The series of this archive: all of a study of ours; of others', those we wrote and those of the changes."""
        own = {entry.series_instance_uid for entry in wanted.entries}
        if study is None:
            return own
        uids = {one["uid"] for one in study.get("series", ())}
        if is_ours(study, self.options.service_url):
            return own | uids
        marks = self._ours(study, links)
        return own | {uid for uid in uids if is_marked(marks, f"{uid}/", "uid", uid)}

    def _is_counted_only(self, study: Resource | None, merged: Resource, wanted: Changes, asked: set[str]) -> bool:
        """Whether instances are to be counted, not listed. A study that was written so stays so until it is rebuilt."""
        listed = sum(len(one.get("instance", ())) for one in merged.get("series", []))
        is_so_already = study is not None and not wanted.is_whole and bool(counted_series(study) & asked)
        return wanted.counts_only or is_so_already or 0 < self.options.max_instances < listed

    def _moved(self, study: Resource | None, wanted: Changes) -> list[Changes]:
        """Studies of ours that may be this one under a former StudyInstanceUID, which an update has changed."""
        new = newcomers(wanted, study)
        if not new:
            return []
        uids = {"series": [one[2] for one in new], "instance": [one[3] for one in new]}
        found = [one for parameter, some in uids.items() for one in self._lookup.studies_listing(parameter, some)]
        ours = {uid_of(one, self.options) for one in found if is_ours(one, self.options.service_url)}
        for uid in ours:
            self._lookup.forget_study(uid)
        return [Changes(uid, [], {}) for uid in sorted(ours - {wanted.study_instance_uid})]
