"""The identifiers of an ImagingStudy that hold its StudyInstanceUID, and the data partition that they show (ADR 38).

A study is found by the identifier with `MappingOptions.uid_system`, the system of its data partition. In a partition it
also has one with `urn:dicom:uid`, as profiles demand: a search for the default partition's study by that finds both.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.mapping.converters import MODALITY_SYSTEM
from shared.mapping.held import objects, text
from shared.mapping.mapping_options import DICOM_UID_SYSTEM, MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.fhir import Resource

_CODE = "110180"
TYPE: Mapping[str, Any] = {"coding": [{"system": MODALITY_SYSTEM, "code": _CODE, "display": "Study Instance UID"}]}
"""PS3.16 Annex D; IHE MADO and HL7 Europe's imaging profiles demand it beside `urn:dicom:uid`."""
_OID = "urn:oid:"
_PARTITIONS = "/partitions/"


def study_identifier(options: MappingOptions, uid: str) -> dict[str, str]:
    """The identifier that the study is found by."""
    return {"system": options.uid_system, "value": f"{_OID}{uid}"}


def study_identifiers(options: MappingOptions, uid: str) -> list[dict[str, Any]]:
    """The identifiers of a study that the app makes; the first is the one that it is found by."""
    own = study_identifier(options, uid)
    if options.uid_system == DICOM_UID_SYSTEM or not options.study_uid_in_partitions:
        return [{"type": TYPE, **own}]
    return [own, {"type": TYPE, "system": DICOM_UID_SYSTEM, "value": own["value"]}]


def with_study_identifiers(study: Resource, options: MappingOptions) -> Resource:
    """A study of ours with the identifiers that a new one has; called when an older study is written again."""
    uid = uid_of(study, options)
    if not options.extended or not uid:
        return study
    held = list(study["identifier"])
    for wanted in study_identifiers(options, uid):
        at = next((place for place, one in enumerate(held) if _is_same(one, wanted)), None)
        if at is None:
            held.append(wanted)
        elif held[at] == {"type": TYPE, **wanted}:  # the type stands once, on the other if there are two
            held[at] = wanted
        elif not any(map(_is_typed, held)):
            held[at] = {**wanted, **held[at]}
    return study if held == study["identifier"] else {**study, "identifier": held}


def without_second_identifier(study: Resource, options: MappingOptions) -> Resource:
    """A data partition's study of ours without its identifier of `urn:dicom:uid`, if the setting leaves that out.

    If another has changed the identifier, it stays.
    """
    if options.uid_system == DICOM_UID_SYSTEM or options.study_uid_in_partitions:
        return study
    second = {"type": TYPE, "system": DICOM_UID_SYSTEM, "value": f"{_OID}{uid_of(study, options)}"}
    held = study.get("identifier", [])
    return {**study, "identifier": [one for one in held if one != second]} if second in held else study


def places_of(study: Resource, options: MappingOptions) -> Iterator[tuple[str, str]]:
    """Data partition and StudyInstanceUID of each identifier with a UID. `options`: the default partition's."""
    of_partitions = f"{options.service_url}{_PARTITIONS}"
    for system, uid in _uids(study):
        if system.startswith(of_partitions):
            yield system.removeprefix(of_partitions), uid
        elif system == DICOM_UID_SYSTEM and not is_of_another_partition(study, uid, options):
            yield DEFAULT_PARTITION, uid


def place_of(study: Resource, options: MappingOptions) -> tuple[str, str] | None:
    """Data partition and StudyInstanceUID of a study of the DICOM service; None if it has no such identifier.

    `options`: the default partition's.
    """
    return next(places_of(study, options), None)


def uid_of(study: Resource, options: MappingOptions) -> str:
    """The StudyInstanceUID; empty if the study has none of this data partition."""
    values = (value for system, value in _uids(study) if system == options.uid_system)
    return next((value for value in values if not is_of_another_partition(study, value, options)), "")


def is_study(study: Resource, uid: str, options: MappingOptions) -> bool:
    """Whether the study has this StudyInstanceUID in this data partition."""
    is_there = (options.uid_system, uid) in _uids(study)
    return is_there and not is_of_another_partition(study, uid, options)


def is_of_another_partition(study: Resource, uid: str, options: MappingOptions) -> bool:
    """Whether the UID is that of a study of another data partition, of this DICOM service or another one.

    Only the default partition shares its system with others.
    """
    if options.uid_system != DICOM_UID_SYSTEM:
        return False
    others = (system for system, value in _uids(study) if value == uid and system != options.service_url)
    return any(_PARTITIONS in system for system in others)


def is_study_uid(study: Resource, identifier: Mapping[str, Any], options: MappingOptions) -> bool:
    """Whether the identifier holds the study's UID with one of the systems that the app uses for it."""
    systems = (options.uid_system, DICOM_UID_SYSTEM, options.service_url)
    uids = {value for system, value in _uids(study) if system == options.uid_system}
    return identifier.get("system") in systems and text(identifier.get("value")).removeprefix(_OID) in uids


def _uids(study: Resource) -> Iterator[tuple[str, str]]:
    """System and UID of each identifier that holds a UID."""
    for one in objects(study.get("identifier")):
        value = text(one.get("value"))
        if value.startswith(_OID):
            yield text(one.get("system")), value.removeprefix(_OID)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(name) == other[name] for name in ("system", "value"))


def _is_typed(identifier: Mapping[str, Any]) -> bool:
    type_ = identifier.get("type")
    return isinstance(type_, dict) and any(one.get("code") == _CODE for one in objects(type_.get("coding")))
