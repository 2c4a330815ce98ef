"""The Observations of a study's dose reports: written with their report, withdrawn with it."""

from collections.abc import Sequence

from shared.mapping.converters import urn
from shared.mapping.dose.merge_observation import merge_report, remove_report, report_query
from shared.mapping.dose.observation import ReportInstance
from shared.mapping.dose.report import may_be_dose_report
from shared.mapping.held import text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import RemovedInstance
from shared.mapping.transaction import Write, name_of, reference_of
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Change, key_of, removals
from shared.sync.merge.held_study import Sources
from shared.sync.merge.lookup import Lookup, Search, is_identified


def observation_writes(
    lookup: Lookup, options: MappingOptions, study: Resource | None, sources: Sources
) -> list[Write]:
    """The writes of Observations, for the reports among the changes and for those that are gone.

    `study`: the ImagingStudy as FHIR holds it. Raises what Lookup does.
    """
    if not options.generate_observations:
        return []
    wanted = sources.wanted
    links = dict(sources.links)
    if study is not None:
        links[urn("ImagingStudy", wanted.study_instance_uid)] = reference_of(study)
    writes: list[Write] = []
    changes = [*wanted.changes, *removals(study, wanted, sources.read)]
    for change in changes:
        series, uid = key_of(change.entry)
        report = None if isinstance(change, RemovedInstance) else wanted.reports.get((series, uid))
        is_removed = isinstance(change, RemovedInstance) and _may_have_observations(study, change)
        if not is_removed and report is None:
            continue
        taken = {name_of(write) for write in writes}
        held = [one for one in _observations(lookup, options, uid) if reference_of(one) not in taken]
        is_elsewhere = bool(_series_of(uid, study, changes) - {series})
        if report is not None:
            writes += merge_report(held, report, links, options, is_elsewhere=is_elsewhere)
        else:
            instance = ReportInstance(wanted.study_instance_uid, series, uid)
            writes += remove_report(held, instance, links, options, is_elsewhere=is_elsewhere)
    return writes


def _observations(lookup: Lookup, options: MappingOptions, sop_instance_uid: str) -> list[Resource]:
    """The Observations with the identifier of the dose report."""
    identifier = {"system": options.uid_system, "value": f"urn:oid:{sop_instance_uid}"}
    return lookup.found(report_search(sop_instance_uid, options), lambda one: is_identified(one, identifier))


def report_search(sop_instance_uid: str, options: MappingOptions) -> Search:
    """The search for the Observations of a dose report."""
    return "Observation", report_query(sop_instance_uid, options)


def _series_of(sop_instance_uid: str, study: Resource | None, changes: Sequence[Change]) -> set[str]:
    """The series of the study that hold the instance once the changes are made, as far as they are listed."""
    listed = {
        one["uid"]
        for one in (study or {}).get("series", [])
        if any(instance["uid"] == sop_instance_uid for instance in one.get("instance", []))
    }
    for change in changes:
        series, uid = key_of(change.entry)
        if uid == sop_instance_uid:
            listed = listed - {series} if isinstance(change, RemovedInstance) else listed | {series}
    return listed


def _may_have_observations(study: Resource | None, removed: RemovedInstance) -> bool:
    """Whether the instance was of a class that reports doses; if FHIR does not list it, whether its series may be."""
    series = [one for one in (study or {}).get("series", []) if one["uid"] == removed.entry.series_instance_uid]
    uid = removed.entry.sop_instance_uid
    listed = [instance for one in series for instance in one.get("instance", []) if instance["uid"] == uid]
    if listed:
        sop_class = listed[0].get("sopClass")
        code = sop_class.get("code") if isinstance(sop_class, dict) else None
        return may_be_dose_report(text(code).removeprefix("urn:oid:"))
    return not series or series[0].get("modality", {}).get("code") == "SR"
