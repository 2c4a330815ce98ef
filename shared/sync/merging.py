"""Reads what FHIR holds of a study, and says what is to be written so that it says what the archive holds."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from shared.mapping.converters import MappingOptions, urn
from shared.mapping.dose_report import may_be_dose_report
from shared.mapping.merge import merge_endpoint, merge_patient
from shared.mapping.merge_observation import merge_report, remove_report, report_query
from shared.mapping.merge_study import RemovedInstance, counted_series, counts_only, is_ours, merge_study
from shared.mapping.resources import MappedInstance, map_endpoint
from shared.mapping.transaction import Create, Delete, Update, Write
from shared.model import Resource
from shared.sync.lookup import Lookup, Search
from shared.sync.mapped_entries import Changes, gone
from shared.sync.ports import Ports


class StudyMerger:
    """The studies of one data partition. Threads may share it."""

    def __init__(self, ports: Ports, options: MappingOptions, partition: str) -> None:
        self.options = options.of_partition(partition)
        self._partition = partition
        self._fhir = ports.fhir
        self._archive = ports.archive
        self._known = ports.known
        self._lookup = Lookup(ports.fhir, ports.known, self.options.uid_system)
        self._endpoint = map_endpoint(self.options)

    def searches(self, wanted: Changes) -> list[Search]:
        """What `writes` will look up."""
        uid = wanted.study_instance_uid
        searches = [] if self._lookup.is_known(uid) else [self._lookup.study_search(uid)]
        patients = [change.patient.add["identifier"][0] for change in _by_patient(wanted)]
        if patients and self._known.get(self._lookup.endpoint_query(self._endpoint)) is None:
            searches.append(self._lookup.endpoint_search(self._endpoint))
        return searches + [self._lookup.patient_search(identifier) for identifier in patients]

    def read_ahead(self, searches: Iterable[Search]) -> None:
        """Makes the searches of several studies at once."""
        self._lookup.read_ahead(searches)

    def forget(self, wanted: Changes) -> bool:
        """What was remembered may be true no more; whether there was anything."""
        queries = (self._lookup.study_query(wanted.study_instance_uid), self._lookup.endpoint_query(self._endpoint))
        known = [query for query in queries if self._known.get(query) is not None]
        for query in known:
            self._known.put(query, None)
        self._lookup.forget(self._lookup.endpoint_search(self._endpoint))
        return bool(known)

    def writes(self, wanted: Changes) -> list[Write]:
        """In the order of the references. Raises MultipleMatchingResourcesError, TransientError, OutageError."""
        was_known = self._lookup.is_known(wanted.study_instance_uid)
        writes = self._writes(wanted)
        if was_known and not any(write.resource["resourceType"] == "ImagingStudy" for write in writes):
            # If-Match guards what is written. That there is nothing to write to the study has to be seen.
            self.forget(wanted)
            return self._writes(wanted)
        return writes

    def _writes(self, wanted: Changes) -> list[Write]:
        uid = wanted.study_instance_uid
        study = self._lookup.study(uid)
        if wanted.held is not None:
            wanted = replace(wanted, changes=[*wanted.changes, *gone(study, uid, wanted.held)])
        links: dict[str, str] = {}
        writes: list[Write] = []
        if of_patients := _by_patient(wanted):
            writes += self._link_endpoint(links)
            for change in of_patients:
                writes += self._link_patient(change, links)
        writes += self._study(study, wanted, links)
        if study is not None:
            links[urn("ImagingStudy", uid)] = f"ImagingStudy/{study['id']}"
        return writes + self._observations(study, wanted, links)

    def _link_endpoint(self, links: dict[str, str]) -> list[Write]:
        name, query = urn("Endpoint", self.options.service_url), self._lookup.endpoint_query(self._endpoint)
        held = self._known.get(query) or self._lookup.endpoint(self._endpoint)
        created = merge_endpoint(held, self._endpoint)
        if held is None:
            assert created is not None
            return [Create(name, created, query)]
        self._known.put(query, held)
        links[name] = f"Endpoint/{held['id']}"
        return []

    def _link_patient(self, change: MappedInstance, links: dict[str, str]) -> list[Write]:
        identifier = change.patient.add["identifier"][0]
        name = change.study.set["subject"]["reference"]
        held = self._lookup.patient(identifier)
        merged = merge_patient(held, change.patient, self.options.patient_update_policy)
        if held is None:
            assert merged is not None
            return [Create(name, merged, self._lookup.patient_search(identifier)[1])]
        links[name] = f"Patient/{held['id']}"
        return [Update(merged)] if merged is not None else []

    def _study(self, study: Resource | None, wanted: Changes, links: Mapping[str, str]) -> list[Write]:
        uid, asked = wanted.study_instance_uid, self._of_our_archive(study, wanted)
        known = study if study is None or wanted.held is None else _without(study, counted_series(study) & asked)
        merged = merge_study(known, wanted.changes, links, counted=self.options.extended) or known
        if merged is not None and self._is_counted_only(study, merged, wanted, asked):
            merged = counts_only(merged, {**dict.fromkeys(asked, 0), **self._archive.counts(uid, self._partition)})
        if merged is None or merged == study:
            return []
        query = self._lookup.study_query(uid)
        if study is None:
            return [Create(urn("ImagingStudy", uid), merged, query)]
        if not merged.get("series") and is_ours(merged, self.options.service_url):
            return [Delete(study, query)]
        return [Update(merged, query)]

    def _of_our_archive(self, study: Resource | None, wanted: Changes) -> set[str]:
        """The series that the archive can count: of a study that others made, those that a change is about."""
        touched = {change.entry.series_instance_uid for change in wanted.changes}
        if study is not None and is_ours(study, self.options.service_url):
            return touched | {one["uid"] for one in study.get("series", [])}
        return touched

    def _is_counted_only(self, study: Resource | None, merged: Resource, wanted: Changes, asked: set[str]) -> bool:
        """A study whose lists were left out once stays so until it is rebuilt: nobody knows what stood in them."""
        listed = sum(len(one.get("instance", ())) for one in merged.get("series", []))
        is_so_already = study is not None and wanted.held is None and bool(counted_series(study) & asked)
        return wanted.counts_only or is_so_already or 0 < self.options.max_instances < listed

    def _observations(self, study: Resource | None, wanted: Changes, links: Mapping[str, str]) -> list[Write]:
        if not self.options.generate_observations:
            return []
        writes: list[Write] = []
        for change in wanted.changes:
            uid = change.entry.sop_instance_uid
            if isinstance(change, RemovedInstance):
                if _may_have_observations(study, change):
                    held = self._fhir.search("Observation", report_query(uid, self.options))
                    writes += remove_report(held, uid, self.options)
            elif report := wanted.reports.get(uid):
                held = self._fhir.search("Observation", report_query(uid, self.options))
                writes += merge_report(held, report, links, self.options)
        return writes


def _by_patient(wanted: Changes) -> list[MappedInstance]:
    """The last change says whose the study is, those of dose reports whose the doses are: one for each Patient."""
    mapped = [change for change in wanted.changes if isinstance(change, MappedInstance)]
    told = [change for change in mapped if change is mapped[-1] or change.entry.sop_instance_uid in wanted.reports]
    return list({change.study.set["subject"]["reference"]: change for change in told}.values())


def _without(study: Resource, series: Collection[str]) -> Resource:
    """The study without these series: all of their instances are given anew."""
    return {**study, "series": [one for one in study.get("series", []) if one["uid"] not in series]}


def _may_have_observations(study: Resource | None, removed: RemovedInstance) -> bool:
    """Whether the instance was of a class that reports doses; where FHIR does not list it, whether its series was."""
    series = [one for one in (study or {}).get("series", []) if one["uid"] == removed.entry.series_instance_uid]
    uid = removed.entry.sop_instance_uid
    listed = [instance for one in series for instance in one.get("instance", []) if instance["uid"] == uid]
    if listed:
        return may_be_dose_report(listed[0].get("sopClass", {}).get("code", "").removeprefix("urn:oid:"))
    return not series or series[0].get("modality", {}).get("code") == "SR"
