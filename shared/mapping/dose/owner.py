"""Whose a dose Observation is: one report may stand in several studies, or series, and each has its own Observations.

An Observation's own identifier tells it. One made before that named study and series, or by whom else, is the study's
that it links to. Nothing is taken out that neither shows to be of the instance.
"""

from collections.abc import Sequence
from typing import Any

from shared.mapping.converters import SIGN_SYSTEM, MappingOptions, urn
from shared.mapping.dose.observation import ReportInstance, own_identifier
from shared.mapping.held import text
from shared.mapping.merge import contains
from shared.mapping.sign import is_ours
from shared.model.fhir import Resource

LINKS = ("partOf", "derivedFrom")
"""Where an Observation points to its study."""
_STUDY_TYPE = "ImagingStudy/"


def of_report(
    held: Sequence[Resource],
    report: ReportInstance,
    study: str | None,
    options: MappingOptions,
    *,
    is_elsewhere: bool = False,
) -> tuple[list[Resource], list[Resource]]:
    """Of all Observations that name the report: those shown to be of this instance, and those that may be.

    `study` is the reference of the ImagingStudy, None where FHIR has none. `is_elsewhere`: the report stands in
    another series of the study too. What is linked to the study without saying of which series may be of either then.
    """
    own = [one for one in held if is_own(one, report, options)]
    names = {one["id"] for one in own}
    open_ = [one for one in held if one["id"] not in names and not _is_of_another(one, report, options)]
    linked = [one for one in open_ if study and study in _studies(one, study)]
    unlinked = [one for one in open_ if not _studies(one)]
    if is_elsewhere:
        return own, [] if own else [*linked, *unlinked]
    # What we withdrew links to no study any more, and is to go.
    withdrawn = [one for one in unlinked if one.get("status") == "entered-in-error"]
    return [*own, *linked, *withdrawn], [one for one in unlinked if one.get("status") != "entered-in-error"]


def is_own(observation: Resource, report: ReportInstance, options: MappingOptions) -> bool:
    """Whether its own identifier names this instance."""
    return not _own_values(observation).isdisjoint(_values(observation, report, options))


def shared_with(observation: Resource, report: ReportInstance, study: str | None, options: MappingOptions) -> bool:
    """Whether other studies link to it too: made when one report's Observations were one for all studies."""
    return not is_own(observation, report, options) and any(one != study for one in _studies(observation, study))


def without_links(observation: Resource, study: str | None = None) -> Resource:
    """The Observation without its links to the study; None: without any to whatever it is of."""
    kept = {name: value for name, value in observation.items() if name not in LINKS}
    if study is None:
        return kept
    others = {name: [one for one in observation.get(name, []) if not _leads_to(one, study)] for name in LINKS}
    return {**kept, **{name: links for name, links in others.items() if links}}


def _is_of_another(observation: Resource, report: ReportInstance, options: MappingOptions) -> bool:
    """Whether we made it, of this DICOM service, for an instance that is not this one."""
    uids = _uids(observation, options)
    former = {urn("Observation", options.service_url, report.sop_instance_uid, *more) for more in uids}
    return is_ours(observation, options.service_url) and bool(_own_values(observation) - former)


def _values(observation: Resource, report: ReportInstance, options: MappingOptions) -> set[str]:
    return {own_identifier(options, report, *more)["value"] for more in _uids(observation, options)}


def _uids(observation: Resource, options: MappingOptions) -> list[tuple[str, ...]]:
    """None, and each UID that it names: one of them is its event's, if it is one."""
    values = [text(one.get("value")) for one in _identifiers(observation) if one.get("system") == options.uid_system]
    return [(), *((value.removeprefix("urn:oid:"),) for value in values)]


def _own_values(observation: Resource) -> set[str]:
    return {text(one.get("value")) for one in _identifiers(observation) if one.get("system") == SIGN_SYSTEM} - {""}


def _identifiers(observation: Resource) -> list[dict[str, Any]]:
    return list(observation.get("identifier", []))


def _studies(observation: Resource, study: str | None = None) -> set[str]:
    """The ImagingStudies that it links to, as they stand there; `study` by its own name."""
    links = [one for name in LINKS for one in observation.get(name, []) if _STUDY_TYPE in text(one.get("reference"))]
    return {study if study and _leads_to(one, study) else one["reference"] for one in links}


def _leads_to(link: dict[str, Any], study: str) -> bool:
    return contains(link, {"reference": study})
