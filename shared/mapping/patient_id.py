"""PatientID (0010,0020) and its issuer -> the identifier that a Patient is found by (docs/mapping.md, Identity)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.mapping.converters import IDENTIFIER_TYPE_SYSTEM, urn
from shared.mapping.dicom_json import Tag, read
from shared.mapping.held import objects
from shared.mapping.identifier_system import as_uri
from shared.mapping.issuers import Issuer, issuer_of
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.text import InvalidItemsError, InvalidValueError, each
from shared.model.fhir import Resource

_PATIENT_ID = Tag.of("(0010,0020) PatientID")
_ISSUER = Tag.of("(0010,0021) IssuerOfPatientID")
_KIND = Tag.of("(0010,0022) TypeOfPatientID")
_QUALIFIERS = Tag.of("(0010,0024) IssuerOfPatientIDQualifiersSequence")
_OTHER = "urn:dicom-cast:other-patient-id"

Qualifiers = Sequence[Mapping[str, Any]]
"""Items of IssuerOfPatientIDQualifiersSequence (PS3.3 10.15), of which one is permitted."""


def patient_identifier(
    options: MappingOptions, patient_id: str, issuer: str | None, qualifiers: Qualifiers | None = None
) -> dict[str, Any]:
    """Raises InvalidValueError if an issuer is named but cannot be used: it may be another patient's PatientID."""
    system = _system(options, issuer, qualifiers)
    type_ = {"type": {"coding": [{"system": IDENTIFIER_TYPE_SYSTEM, "code": options.identifier_type}]}}
    # FHIR has no empty strings: the specification's empty system is an identifier without one.
    return {
        **(type_ if options.identifier_type else {}),
        **({"system": as_uri(system)} if system else {}),
        "value": patient_id,
    }


def other_identifiers(
    options: MappingOptions,
    others: Sequence[Mapping[str, Any]] | None,
    patient_id: str | None,
    issuer: str | None,
    qualifiers: Qualifiers | None,
) -> list[dict[str, Any]]:
    """The identifiers in OtherPatientIDsSequence whose issuer gives a system: without one they would be ambiguous.

    Numbers of wristbands (TypeOfPatientID RFID, BARCODE) identify a thing, not a patient. Raises InvalidItemsError.
    """
    if not options.other_patient_ids:
        return []
    rules: tuple[str, ...] = ()
    try:
        read_ = each(others or (), lambda item: _other(options, item))
    except InvalidItemsError as error:
        read_, rules = error.rest, tuple(error.rules)
    own = {} if patient_id is None else patient_identifier(options, patient_id, issuer, qualifiers)
    found = [one for one in read_ if one and (one["system"], one["value"]) != (own.get("system"), own.get("value"))]
    if rules:
        raise InvalidItemsError(rules, found)
    return found


def is_other(identifier: Mapping[str, Any]) -> bool:
    """Whether the identifier is from OtherPatientIDsSequence: a Patient is never found by it."""
    return any(one.get("url") == _OTHER for one in objects(identifier.get("extension")))


def has_other(patient: Resource, identifier: Mapping[str, Any]) -> bool:
    """Whether the Patient has this number from OtherPatientIDsSequence, of whatever type."""
    wanted = identifier["system"], identifier["value"]
    held = filter(is_other, objects(patient.get("identifier")))
    return any((one.get("system"), one.get("value")) == wanted for one in held)


def _other(options: MappingOptions, item: Mapping[str, Any]) -> dict[str, Any] | None:
    value, issuer, kind, qualifiers = (read(item, tag) for tag in (_PATIENT_ID, _ISSUER, _KIND, _QUALIFIERS))
    if not value or kind not in (None, "TEXT"):
        return None
    systems = options.issuer_systems or {}
    if not _universal(qualifiers).system and issuer not in systems:
        return None
    identifier = patient_identifier(replace(options, issuer_systems=systems), value, issuer, qualifiers)
    return {"extension": [{"url": _OTHER, "valueBoolean": True}], "use": "secondary", **identifier}


def patient_link(
    options: MappingOptions, patient_id: str, issuer: str | None, qualifiers: Qualifiers | None = None
) -> dict[str, str]:
    """The name of the Patient inside a bundle."""
    identifier = patient_identifier(options, patient_id, issuer, qualifiers)
    return {"reference": urn("Patient", identifier.get("system", ""), identifier["value"])}


def _system(options: MappingOptions, issuer: str | None, qualifiers: Qualifiers | None) -> str:
    if options.issuer_systems is None:
        return (issuer or "") if options.use_issuer else options.patient_system
    universal = _universal(qualifiers)
    if universal.system or issuer:
        return universal.system or options.issuer_systems.get(issuer or "", issuer or "")
    if universal.display:
        raise InvalidValueError("an issuer of a type that no URI is made of, and no IssuerOfPatientID", of_tag=2)
    return "" if options.use_issuer else options.patient_system


def _universal(qualifiers: Qualifiers | None) -> Issuer:
    if qualifiers == []:
        raise InvalidValueError("an item that can be read is expected", of_tag=2)
    try:
        return issuer_of(qualifiers or (), {})
    except InvalidValueError as error:
        raise InvalidValueError(str(error), of_tag=2) from None
