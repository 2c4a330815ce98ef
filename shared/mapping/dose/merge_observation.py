"""A dose report's Observations + those that FHIR holds of it -> the writes.

What the report no longer says is removed; components with other concepts than the mapping's, and all other elements
that others wrote, stay.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from shared.errors import MultipleMatchingResourcesError
from shared.mapping.accession import has_our_shape, is_accession, systems_of
from shared.mapping.converters import urn
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
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import Links, apply, contains
from shared.mapping.resources import Fragment
from shared.mapping.sign import by_id, is_only_ours, is_ours, named
from shared.mapping.table import How, rows_of
from shared.mapping.transaction import Create, Delete, Update, Write, identifier_query
from shared.model.fhir import Resource

_DERIVED = tuple(row.element for row in rows_of("Observation") if row.how is How.DERIVE)
_STATED_BY_DEVICES = ("registered", "preliminary", "final", "unknown")
"""Statuses that the report's own replaces; others (amended, entered-in-error ...) were set by somebody else."""


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
    """The writes after which FHIR says what the report says, and no longer what it does not say any more.

    A report whose content is not known changes nothing; only `remove_report` removes all. `held`: the result of
    `report_query`, of which Observations of other instances are left alone. `is_elsewhere`: see `of_report`. Raises
    MultipleMatchingResourcesError if two have the same identity.
    """
    if not report.observations:
        return []
    instance, study = report.instance, _study_of(report.instance, links)
    of_instance, open_ = of_report(held, instance, study, options, is_elsewhere=is_elsewhere)
    by_uid: dict[str, list[Resource]] = {}
    for one in (*of_instance, *open_):
        for uid in _uids(one.get("identifier", []), options.uid_system):
            by_uid.setdefault(uid, []).append(one)
    pairs = [(_existing(by_uid, wanted, options), wanted) for wanted in report.observations]
    writes = [write for pair in pairs if (write := _write_of(*pair, instance, links, options)) is not None]
    kept = {existing["id"] for existing, _ in pairs if existing is not None}
    left_over = [one for one in of_instance if one["id"] not in kept]
    return [*writes, *_removed(left_over, instance, study, options)]


def _write_of(
    existing: Resource | None,
    wanted: WantedObservation,
    instance: ReportInstance,
    links: Links,
    options: MappingOptions,
) -> Write | None:
    """The write of one Observation of the report; None if nothing changes."""
    is_shared = existing is not None and shared_with(existing, instance, _study_of(instance, links), options)
    is_made_by_us = existing is not None and is_ours(existing, options.service_url) and not is_shared
    merged = merge_observation(existing, wanted.fragment, links, is_ours=is_made_by_us, systems=systems_of(options))
    if merged is None:
        return None
    own, query = wanted.fragment.create["identifier"], report_query(instance.sop_instance_uid, options)
    if existing is None:
        return Create(wanted.name, merged, identifier_query(**own[0]), query)
    return Update(merged if is_shared else _owned(merged, own), query)


def remove_report(
    held: Sequence[Resource],
    instance: ReportInstance,
    links: Links,
    options: MappingOptions,
    *,
    is_elsewhere: bool = False,
) -> list[Write]:
    """The writes that remove the Observations that the app made of a report. `held`: the result of `report_query`.

    One that others have added to is withdrawn, and stays. One whose status somebody else has set is left alone. One
    that other studies link to loses only its link to this one.
    """
    study = _study_of(instance, links)
    of_instance, _ = of_report(held, instance, study, options, is_elsewhere=is_elsewhere)
    return _removed(of_instance, instance, study, options)


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
    """The Observation to write, None if nothing changes.

    `is_ours`: the app made it, and what has the shape of ours follows the report. `systems`: the systems of accession
    numbers that the settings name.
    """
    sets = dict(wanted.set)
    components = sets.pop("component", [])
    if existing is not None and not _is_status_ours(existing):
        del sets["status"]
    if existing is not None and any(name.startswith("effective") and name not in _DERIVED for name in existing):
        sets.pop("effectiveDateTime", None)  # FHIR allows only one type of effective[x]
    base = _without_outdated(existing, wanted, systems) if existing is not None and is_ours else existing
    fill = dict(wanted.fill)
    if any(name.startswith("value") for name in base or ()):
        fill.pop("valueString", None)
    merged = apply(base, {"resourceType": "Observation"}, replace(wanted, set=sets, fill=fill), links)
    for element in _DERIVED:
        if element not in sets:
            merged.pop(element, None)
            merged.pop(f"_{element}", None)
    if merged_components := _components((existing or {}).get("component", []), components):
        merged["component"] = merged_components
    return None if merged == existing else merged


def _without_outdated(observation: Resource, wanted: Fragment, systems: AbstractSet[str]) -> Resource:
    """The Observation without accession numbers, device, performers and text of ours that the report no longer has.

    There is no record of what the app wrote on it: ours is what has the shape, and a system, that the app writes.
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
    doses = left.get("valueString")
    if doses is not None and doses != wanted.fill.get("valueString") and is_dose_text(left, doses):
        del left["valueString"]
    return left


def _withdrawn(observation: Resource, instance: ReportInstance, options: MappingOptions) -> Resource:
    """The Observation of a report that is gone, until it is deleted or the report is stored again.

    It has no link to its study, so its own identifier is needed to show whose it was.
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
    """The Observation with its own identifier, which those of old releases and of others get with a write."""
    identifiers = observation.get("identifier", [])
    missing = [one for one in own if one not in identifiers]
    return {**observation, "identifier": [*missing, *identifiers]} if missing else observation


def _is_status_ours(observation: Resource) -> bool:
    """Whether the app may change the status. One in error without a study was withdrawn by the app."""
    status = observation.get("status", "final")
    return status in _STATED_BY_DEVICES or (status == "entered-in-error" and "derivedFrom" not in observation)


def _is_left_to_us(observation: Resource, options: MappingOptions) -> bool:
    components = observation.get("component", [])
    return is_only_ours(observation, options) and _is_status_ours(observation) and all(map(_is_of_ours, components))


def _components(existing: Sequence[Resource], wanted: Sequence[Resource]) -> list[Resource]:
    """The wanted components, each in the place of the one that it replaces; others' components stay in theirs."""
    missing = list(wanted)
    result: list[Resource] = []
    for one in existing:
        if not _is_of_ours(one):
            result.append(one)
        elif (renewed := next((new for new in missing if _is_same_concept(one, new)), None)) is not None:
            missing.remove(renewed)
            result.append(one if _is_current(one, renewed) else _without_value(one) | renewed)
    return result + missing


def _is_of_ours(component: Resource) -> bool:
    code = component.get("code")
    codings = objects(code.get("coding")) if isinstance(code, dict) else ()
    return any((str(coding.get("system")), str(coding.get("code"))) in OUR_CODES for coding in codings)


def _is_same_concept(existing: Resource, wanted: Resource) -> bool:
    texts = existing["code"].get("text"), wanted["code"].get("text")
    return contains(existing["code"], _bare(wanted["code"])) and texts[0] == texts[1]


def _is_current(existing: Resource, wanted: Resource) -> bool:
    """Whether the component is up to date. Quantities must be equal, as an old unit's code must not stay."""
    quantities = wanted.get("valueQuantity"), existing.get("valueQuantity")
    return contains(existing, wanted) and contains(*quantities)


def _without_value(component: Resource) -> Resource:
    return {
        name: value for name, value in component.items() if not name.startswith(("value", "_value", "dataAbsentReason"))
    }


def _bare(concept: Resource) -> Resource:
    """The concept's codings without their displays, which a server or an editor may have corrected."""
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
    return min(found, key=by_id, default=None)  # of doubles that the app made, the others are deleted


def _uids(identifiers: Iterable[Any], system: str) -> list[str]:
    return [one["value"] for one in identifiers if one.get("system") == system and isinstance(one.get("value"), str)]
