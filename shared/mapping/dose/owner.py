"""Which instance a dose Observation is of: a report may be in several studies or series, each with its Observations.

An Observation's own identifier shows it. One without such an identifier, from an early release or another system,
belongs to the study that it links to. An Observation is only removed if one of the two shows whose it is.
"""

from collections.abc import Sequence
from typing import Any

from shared.mapping.converters import SIGN_SYSTEM, urn
from shared.mapping.dose.observation import ReportInstance, own_identifier
from shared.mapping.held import text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import contains
from shared.mapping.sign import is_ours
from shared.model.fhir import Resource

LINKS = ("partOf", "derivedFrom")
"""The elements of an Observation that link to its study."""
_STUDY_TYPE = "ImagingStudy/"


def of_report(
    held: Sequence[Resource],
    report: ReportInstance,
    study: str | None,
    options: MappingOptions,
    *,
    is_elsewhere: bool = False,
) -> tuple[list[Resource], list[Resource]]:
    """Of all Observations that name the report, those that are known to be of this instance, and those that may be.

    `study`: the reference of the ImagingStudy, None if FHIR has none. `is_elsewhere`: the report is in another series
    of the study too, so that an Observation which links to the study and names no series may be of either.
    """
    own = [one for one in held if is_own(one, report, options)]
    names = {one["id"] for one in own}
    open_ = [one for one in held if one["id"] not in names and not _is_of_another(one, report, options)]
    linked = [one for one in open_ if study and study in _studies(one, study)]
    unlinked = [one for one in open_ if not _studies(one)]
    if is_elsewhere:
        return own, [] if own else [*linked, *unlinked]
    # Those that the app has withdrawn link to no study, and are to be deleted.
    withdrawn = [one for one in unlinked if one.get("status") == "entered-in-error"]
    return [*own, *linked, *withdrawn], [one for one in unlinked if one.get("status") != "entered-in-error"]


def is_own(observation: Resource, report: ReportInstance, options: MappingOptions) -> bool:
    """Whether the Observation's own identifier is that of this instance."""
    return not _own_values(observation).isdisjoint(_values(observation, report, options))


def shared_with(observation: Resource, report: ReportInstance, study: str | None, options: MappingOptions) -> bool:
    """Whether other studies share it: early releases made one Observation for all studies with the report."""
    return not is_own(observation, report, options) and any(one != study for one in _studies(observation, study))


def without_links(observation: Resource, study: str | None = None) -> Resource:
    """The Observation without its links to the study; with None, without links to any study."""
    kept = {name: value for name, value in observation.items() if name not in LINKS}
    if study is None:
        return kept
    others = {name: [one for one in observation.get(name, []) if not _leads_to(one, study)] for name in LINKS}
    return {**kept, **{name: links for name, links in others.items() if links}}


def _is_of_another(observation: Resource, report: ReportInstance, options: MappingOptions) -> bool:
    """Whether the app made it, from this DICOM service, for another instance."""
    uids = _uids(observation, options)
    former = {urn("Observation", options.service_url, report.sop_instance_uid, *more) for more in uids}
    return is_ours(observation, options.service_url) and bool(_own_values(observation) - former)


def _values(observation: Resource, report: ReportInstance, options: MappingOptions) -> set[str]:
    return {own_identifier(options, report, *more)["value"] for more in _uids(observation, options)}


def _uids(observation: Resource, options: MappingOptions) -> list[tuple[str, ...]]:
    """No UID, and each UID that the Observation names: an event's Observation names the event's."""
    values = [text(one.get("value")) for one in _identifiers(observation) if one.get("system") == options.uid_system]
    return [(), *((value.removeprefix("urn:oid:"),) for value in values)]


def _own_values(observation: Resource) -> set[str]:
    return {text(one.get("value")) for one in _identifiers(observation) if one.get("system") == SIGN_SYSTEM} - {""}


def _identifiers(observation: Resource) -> list[dict[str, Any]]:
    return list(observation.get("identifier", []))


def _studies(observation: Resource, study: str | None = None) -> set[str]:
    """The references to ImagingStudies that it has; those to `study` in the spelling of `study`."""
    links = [one for name in LINKS for one in observation.get(name, []) if _STUDY_TYPE in text(one.get("reference"))]
    return {study if study and _leads_to(one, study) else one["reference"] for one in links}


def _leads_to(link: dict[str, Any], study: str) -> bool:
    return contains(link, {"reference": study})
