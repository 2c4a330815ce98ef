"""A dose report's Observations + those that FHIR holds of it -> what is to be written.

What a report says no more is taken out; components of concepts that the mapping does not make, and all other elements
that others wrote, stay.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from shared.errors import MultipleMatchingResourcesError
from shared.mapping.accession import has_our_shape, is_accession, systems_of
from shared.mapping.converters import MappingOptions, urn
from shared.mapping.dose.components import OUR_CODES
from shared.mapping.dose.mapped_report import MappedReport, WantedObservation
from shared.mapping.dose.observation import (
    EVENT_CODE,
    SUMMARY_CODE,
    ReportInstance,
    is_performer_of_ours,
    own_identifier,
)
from shared.mapping.dose.owner import is_own, of_report, shared_with, without_links
from shared.mapping.dose.value_string import is_dose_text
from shared.mapping.held import as_list, objects
from shared.mapping.merge import Links, apply, contains
from shared.mapping.resources import Fragment
from shared.mapping.sign import by_id, is_only_ours, is_ours, named
from shared.mapping.table import How, rows_of
from shared.mapping.transaction import Create, Delete, Update, Write, identifier_query
from shared.model.fhir import Resource

_DERIVED = tuple(row.element for row in rows_of("Observation") if row.how is How.DERIVE)
_STATED_BY_DEVICES = ("registered", "preliminary", "final", "unknown")
"""Statuses that the report's own replaces; the others (amended, entered-in-error ...) are somebody's word on it."""


def report_query(sop_instance_uid: str, options: MappingOptions) -> str:
    """The search that finds all Observations of a report."""
    return identifier_query(options.uid_system, f"urn:oid:{sop_instance_uid}")


def merge_report(
    held: Sequence[Resource],
    report: MappedReport,
    links: Links,
    options: MappingOptions,
    *,
    is_elsewhere: bool = False,
) -> list[Write]:
    """What is to be written so that FHIR says what the report says, and nothing that it says no more.

    A report whose content is not known writes nothing, and takes nothing out: only `remove_report` takes out all.
    `held`: the answer to `report_query`; what is of another instance is left alone. `is_elsewhere`: see `of_report`.
    Raises MultipleMatchingResourcesError where two have one identity.
    """
    if not report.observations:
        return []
    instance, study = report.instance, _study_of(report.instance, links)
    shown, open_ = of_report(held, instance, study, options, is_elsewhere=is_elsewhere)
    by_uid: dict[str, list[Resource]] = {}
    for one in (*shown, *open_):
        for uid in _uids(one.get("identifier", []), options.uid_system):
            by_uid.setdefault(uid, []).append(one)
    writes: list[Write] = []
    kept: set[str] = set()
    for wanted in report.observations:
        existing = _existing(by_uid, wanted, options)
        is_shared = existing is not None and shared_with(existing, instance, study, options)
        is_made_by_us = existing is not None and is_ours(existing, options.service_url) and not is_shared
        merged = merge_observation(existing, wanted.fragment, links, is_ours=is_made_by_us, systems=systems_of(options))
        if existing is not None:
            kept.add(existing["id"])
        if merged is None:
            continue
        found_by = report_query(instance.sop_instance_uid, options)
        if existing is None:
            query = identifier_query(**wanted.fragment.create["identifier"][0])
            writes.append(Create(wanted.name, merged, query, found_by))
        elif is_shared:
            writes.append(Update(merged, found_by))
        else:
            writes.append(Update(_owned(merged, wanted.fragment.create["identifier"]), found_by))
    unsaid = [one for one in shown if one["id"] not in kept]
    return [*writes, *_removed(unsaid, instance, study, options)]


def remove_report(
    held: Sequence[Resource],
    instance: ReportInstance,
    links: Links,
    options: MappingOptions,
    *,
    is_elsewhere: bool = False,
) -> list[Write]:
    """What takes away the Observations that we made of a report; `held`: the answer to `report_query`.

    One on which others have put anything is withdrawn, and stays; one whose status is another's word is left alone;
    one that other studies link to too loses its link to this one.
    """
    study = _study_of(instance, links)
    shown, _ = of_report(held, instance, study, options, is_elsewhere=is_elsewhere)
    return _removed(shown, instance, study, options)


def _removed(
    held: Sequence[Resource], instance: ReportInstance, study: str | None, options: MappingOptions
) -> list[Write]:
    uid, query = f"urn:oid:{instance.sop_instance_uid}", report_query(instance.sop_instance_uid, options)
    writes: list[Write] = []
    for one in held:
        is_of_report = (
            is_ours(one, options.service_url)
            and uid in _uids(one.get("identifier", []), options.uid_system)
            and any(contains(one.get("code"), code) for code in (_bare(SUMMARY_CODE), _bare(EVENT_CODE)))
        )
        if not is_of_report or not _is_status_ours(one):
            continue
        if shared_with(one, instance, study, options):
            writes.append(Update(without_links(one, study), query))
            continue
        withdrawn = _withdrawn(one, instance, options)
        if _is_left_to_us(one, options):
            writes.append(Delete(one, withdrawn, query))
        elif one != withdrawn:
            writes.append(Update(withdrawn, query))
    return writes


def _study_of(instance: ReportInstance, links: Links) -> str | None:
    return links.get(urn("ImagingStudy", instance.study_instance_uid))


def merge_observation(
    existing: Resource | None,
    wanted: Fragment,
    links: Links,
    *,
    is_ours: bool = False,
    systems: AbstractSet[str] = frozenset(),
) -> Resource | None:
    """The Observation to write, None where nothing changes.

    `is_ours`: what has the shape of ours there is ours, and follows the report. `systems`: of accession numbers, those
    that the settings name.
    """
    said = dict(wanted.set)
    components = said.pop("component", [])
    if existing is not None and not _is_status_ours(existing):
        del said["status"]
    if existing is not None and any(name.startswith("effective") and name not in _DERIVED for name in existing):
        said.pop("effectiveDateTime", None)  # of a choice of types FHIR takes one
    base = _without_unsaid(existing, wanted, systems) if existing is not None and is_ours else existing
    fill = dict(wanted.fill)
    if any(name.startswith("value") for name in base or ()):
        fill.pop("valueString", None)
    merged = apply(base, {"resourceType": "Observation"}, replace(wanted, set=said, fill=fill), links)
    for element in _DERIVED:
        if element not in said:
            merged.pop(element, None)
            merged.pop(f"_{element}", None)
    if together := _components((existing or {}).get("component", []), components):
        merged["component"] = together
    return None if merged == existing else merged


def _without_unsaid(observation: Resource, wanted: Fragment, systems: AbstractSet[str]) -> Resource:
    """Without accession numbers, a device, performers and a text of ours that the report says no more.

    There is no record of what we wrote on it: ours are those of the shape, and of a system, that we write.
    """
    numbers = wanted.add["identifier"]
    written = systems | {one["system"] for one in numbers if "system" in one}
    identifiers = [
        one
        for one in observation.get("identifier", [])
        if not (is_accession(one) or (has_our_shape(one) and one.get("system") in written))
        or any(contains(one, number) for number in numbers)
    ]
    left = {**observation, "identifier": identifiers}
    device = left.get("device")
    if isinstance(device, dict) and device.keys() == {"display"} and device != wanted.fill.get("device"):
        del left["device"]
    performers = as_list(left.get("performer", []))
    if performers != wanted.fill.get("performer") and performers and all(map(is_performer_of_ours, performers)):
        del left["performer"]
    told = left.get("valueString")
    if told is not None and told != wanted.fill.get("valueString") and is_dose_text(left, told):
        del left["valueString"]
    return left


def _withdrawn(observation: Resource, instance: ReportInstance, options: MappingOptions) -> Resource:
    """What it says once its report is gone, until it is deleted or the report is stored again.

    Without a link to its study its own identifier alone tells whose it was.
    """
    bare = without_links(observation)
    kept = {**bare, "status": "entered-in-error"}
    if bare == observation or is_own(observation, instance, options):
        return kept
    report = f"urn:oid:{instance.sop_instance_uid}"
    uids = _uids(observation.get("identifier", []), options.uid_system)
    events = [uid.removeprefix("urn:oid:") for uid in uids if uid != report]
    return _owned(kept, [own_identifier(options, instance, *events[:1])])


def _owned(observation: Resource, own: Sequence[Any]) -> Resource:
    """With the identifier that we find it by: those made before, or by others, get theirs when there is a write."""
    identifiers = observation.get("identifier", [])
    missing = [one for one in own if one not in identifiers]
    return {**observation, "identifier": [*missing, *identifiers]} if missing else observation


def _is_status_ours(observation: Resource) -> bool:
    """One that is in error and of no study was withdrawn by us; of a study, it is somebody's word on it."""
    status = observation.get("status", "final")
    return status in _STATED_BY_DEVICES or (status == "entered-in-error" and "derivedFrom" not in observation)


def _is_left_to_us(observation: Resource, options: MappingOptions) -> bool:
    components = observation.get("component", [])
    return is_only_ours(observation, options) and _is_status_ours(observation) and all(map(_is_of_ours, components))


def _components(existing: Sequence[Resource], wanted: Sequence[Resource]) -> list[Resource]:
    """The wanted components, each in the place of the one that it renews; those of others where they are."""
    missing = list(wanted)
    result: list[Resource] = []
    for one in existing:
        if not _is_of_ours(one):
            result.append(one)
        elif (renewed := next((new for new in missing if _is_same_concept(one, new)), None)) is not None:
            missing.remove(renewed)
            result.append(one if _says(one, renewed) else _without_value(one) | renewed)
    return result + missing


def _is_of_ours(component: Resource) -> bool:
    code = component.get("code")
    codings = objects(code.get("coding")) if isinstance(code, dict) else ()
    return any((str(coding.get("system")), str(coding.get("code"))) in OUR_CODES for coding in codings)


def _is_same_concept(existing: Resource, wanted: Resource) -> bool:
    texts = existing["code"].get("text"), wanted["code"].get("text")
    return contains(existing["code"], _bare(wanted["code"])) and texts[0] == texts[1]


def _says(existing: Resource, wanted: Resource) -> bool:
    """A quantity is compared both ways: a unit's code that the report has no more must not stay beside it."""
    quantities = wanted.get("valueQuantity"), existing.get("valueQuantity")
    return contains(existing, wanted) and contains(*quantities)


def _without_value(component: Resource) -> Resource:
    return {
        name: value for name, value in component.items() if not name.startswith(("value", "_value", "dataAbsentReason"))
    }


def _bare(concept: Resource) -> Resource:
    """The concept's codings without the words for them, which a server or an editor may have bettered."""
    return {"coding": [{name: coding[name] for name in ("system", "code")} for coding in concept["coding"]]}


def _existing(by_uid: dict[str, list[Resource]], wanted: WantedObservation, options: MappingOptions) -> Resource | None:
    system = options.uid_system
    own = _uids(wanted.fragment.add["identifier"], system)
    code = _bare(wanted.fragment.set["code"])
    found = [
        one
        for one in by_uid.get(own[0], [])
        if contains(one.get("code"), code) and set(own) <= set(_uids(one.get("identifier", []), system))
    ]
    if len(found) > 1 and not all(is_ours(one, options.service_url) and _is_left_to_us(one, options) for one in found):
        raise MultipleMatchingResourcesError(
            f"several resources have the same identity: {named(found)}; delete all but one"
        )
    return min(found, key=by_id, default=None)  # of doubles that we made the others are said by no report: they go


def _uids(identifiers: Iterable[Any], system: str) -> list[str]:
    return [one["value"] for one in identifiers if one.get("system") == system and isinstance(one.get("value"), str)]
