"""The sign by which the app recognizes the resources that it made, and what others have put on them since.

Servers differ in what they keep of `meta`: HAPI drops `meta.source` by default, others keep it and drop tags. The app
writes both, and either is enough.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from shared.mapping.accession import has_our_shape, is_of_type_accession, systems_of
from shared.mapping.converters import SIGN_SYSTEM, tag_of
from shared.mapping.dose.observation import is_performer_of_ours
from shared.mapping.dose.value_string import is_dose_text
from shared.mapping.endpoints import is_viewer, is_viewer_link
from shared.mapping.held import as_list, text
from shared.mapping.last_applied import LINKS, mark, recorded
from shared.mapping.last_applied import URL as RECORD
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.patient_id import is_other
from shared.mapping.study_identity import is_study_uid
from shared.mapping.table import elements_of, rows_of
from shared.model.fhir import Resource

_NEUTRAL = {"resourceType", "id", "meta", "text", "implicitRules", "language"}
"""Elements that every resource has, or that a server adds by itself."""


def signed(resource: Resource, service_url: str) -> Resource:
    """The resource with our tag; one from an early release, which wrote none, gets it when it is written again."""
    if _has_tag(resource, service_url):
        return resource
    meta = resource.get("meta", {})
    return {**resource, "meta": {**meta, "tag": [*meta.get("tag", []), tag_of(service_url)]}}


def is_ours(resource: Resource, service_url: str) -> bool:
    """Whether the app made the resource for this DICOM service, by `meta.source` (HAPI adds `#...` to it) or the tag.

    With another system's source it is that system's, even if a server has kept our tag on it.
    """
    source = str(resource.get("meta", {}).get("source", "")).split("#")[0]
    return _same(source, service_url) if source else _has_tag(resource, service_url)


def bears_no_sign(resource: Resource) -> bool:
    """Whether the resource has neither a `meta.source` nor a tag of the app for any DICOM service."""
    meta = resource.get("meta", {})
    source = str(meta.get("source", "")).split("#")[0]
    return not source and all(one.get("system") != SIGN_SYSTEM for one in meta.get("tag", []))


def is_only_ours(resource: Resource, options: MappingOptions, record: AbstractSet[str] | None = None) -> bool:
    """Whether nothing on a resource of ours is somebody else's, so that it may be deleted.

    An element or an item of a list is somebody else's if it is not in the `record`, the marks of what we wrote; without
    a record, if it does not have the shape of what we write.
    """
    kind = resource["resourceType"]
    known = _NEUTRAL | {row.element for row in rows_of(kind)} | {"series", "extension"}
    if not resource.keys() <= known or any(one.get("url") != RECORD for one in resource.get("extension", ())):
        return False
    if not all(map(is_viewer, resource.get("contained", ()))):
        return False
    if record is not None and not _is_recorded(resource, options, record):
        return False
    return all(
        rule(resource, item, options)
        for element, rule in _OWN_ITEMS.get(kind, {}).items()
        if record is None or element in LINKS
        for item in as_list(resource.get(element, []))
    )


def _is_recorded(resource: Resource, options: MappingOptions, record: AbstractSet[str]) -> bool:
    names = {*elements_of(resource["resourceType"]).add, "referrer", "basedOn", "encounter"} - LINKS
    items = [(name, item) for name in names if name in resource for item in as_list(resource[name])]
    return all(is_study_uid(resource, item, options) or mark(name, item) in record for name, item in items)


def are_doubles(resources: Sequence[Resource], options: MappingOptions) -> bool:
    """Whether two hosts of the app have made one resource twice: all are ours, and have nothing of somebody else's."""
    return all(is_ours(one, options.service_url) and is_only_ours(one, options, recorded(one)) for one in resources)


def by_id(resource: Resource) -> tuple[int, str]:
    """A sort key for doubles that no write changes."""
    return len(resource["id"]), resource["id"]


def named(resources: Sequence[Resource]) -> str:
    """The resources' references, as messages name them."""
    return ", ".join(f"{one['resourceType']}/{one['id']}" for one in resources)


def _has_tag(resource: Resource, service_url: str) -> bool:
    return any(
        one.get("system") == SIGN_SYSTEM and _same(text(one.get("code")), service_url)
        for one in resource.get("meta", {}).get("tag", [])
    )


def _same(url: str, service_url: str) -> bool:
    return url.rstrip("/") == service_url.rstrip("/")


def _is_uid_or_accession(resource: Resource, identifier: Mapping[str, Any], options: MappingOptions) -> bool:
    """Ours are DICOM UIDs (also of irradiation events), the app's own identifiers, accession numbers without system."""
    if identifier.get("system") in (options.uid_system, SIGN_SYSTEM) or is_study_uid(resource, identifier, options):
        return True
    return "system" not in identifier and is_of_type_accession(identifier)


def _is_of_report(observation: Resource, identifier: Mapping[str, Any], options: MappingOptions) -> bool:
    """An accession number with a system is ours if the settings name the system, or if it is the only one."""
    if _is_uid_or_accession(observation, identifier, options):
        return True
    is_alone = sum(map(is_of_type_accession, observation["identifier"])) == 1
    return has_our_shape(identifier) and (identifier["system"] in systems_of(options) or is_alone)


def _is_description(study: Resource, note: Mapping[str, Any], options: MappingOptions) -> bool:
    """A note of ours has only the description as text; without the extended mapping it is the only note."""
    is_ours_ = note.get("text") == study.get("description") if options.extended else len(study["note"]) == 1
    return note.keys() == {"text"} and is_ours_


def _is_only(element: str) -> "_Rule":
    return lambda resource, _item, _options: len(resource[element]) == 1


def _is_only_endpoint(study: Resource, _item: Any, _options: MappingOptions) -> bool:
    return sum(not is_viewer_link(one) for one in study["endpoint"]) <= 1


def _is_patient_id(patient: Resource, identifier: Mapping[str, Any], _options: MappingOptions) -> bool:
    """Another PatientID, or the only identifier that the Patient is found by."""
    return is_other(identifier) or sum(not is_other(one) for one in patient["identifier"]) == 1


def _is_observer(_observation: Resource, performer: Any, _options: MappingOptions) -> bool:
    return is_performer_of_ours(performer)


def _is_dose_text_of_ours(observation: Resource, value: Any, _options: MappingOptions) -> bool:
    return is_dose_text(observation, value)


def _is_of_others(_resource: Resource, _item: Any, _options: MappingOptions) -> bool:
    """Without a record it is somebody else's: the releases before there was one did not write it."""
    return False


_Rule = Callable[[Resource, Any, MappingOptions], bool]
_OWN_ITEMS: Mapping[str, Mapping[str, _Rule]] = {
    "ImagingStudy": {
        "identifier": _is_uid_or_accession,
        "note": _is_description,
        "endpoint": _is_only_endpoint,
        "basedOn": _is_of_others,
        "encounter": _is_of_others,
    },
    "Observation": {
        "identifier": _is_of_report,
        "partOf": _is_only("partOf"),
        "performer": _is_observer,
        "valueString": _is_dose_text_of_ours,
    },
    "Patient": {"identifier": _is_patient_id},
}
