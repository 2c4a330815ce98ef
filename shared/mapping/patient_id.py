"""PatientID (0010,0020) and who issued it -> the identifier that a Patient is found by (docs/mapping.md, Identity)."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.mapping.converters import IDENTIFIER_TYPE_SYSTEM, MappingOptions, urn
from shared.mapping.identifier_system import as_uri
from shared.mapping.issuers import Issuer, issuer_of
from shared.mapping.text import InvalidValueError

Qualifiers = Sequence[Mapping[str, Any]]
"""Items of IssuerOfPatientIDQualifiersSequence (PS3.3 10.15), of which one is permitted."""


def patient_identifier(
    options: MappingOptions, patient_id: str, issuer: str | None, qualifiers: Qualifiers | None = None
) -> dict[str, Any]:
    """Raises InvalidValueError where the issuer is named and cannot be used: it may be another patient's PatientID."""
    system = _system(options, issuer, qualifiers)
    type_ = {"type": {"coding": [{"system": IDENTIFIER_TYPE_SYSTEM, "code": options.identifier_type}]}}
    # FHIR has no empty strings: the specification's empty system is an identifier without one.
    return {
        **(type_ if options.identifier_type else {}),
        **({"system": as_uri(system)} if system else {}),
        "value": patient_id,
    }


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
