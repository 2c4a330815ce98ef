"""Accession numbers (0008,0050), each with the system of its issuer (0008,0051)."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.mapping.converters import IDENTIFIER_TYPE_SYSTEM
from shared.mapping.dicom_json import Tag, read
from shared.mapping.held import objects
from shared.mapping.issuers import NOBODY, Issuer, issuer_of
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.text import InvalidItemsError, InvalidValueError, each_once

TYPE: Mapping[str, Any] = {"coding": [{"system": IDENTIFIER_TYPE_SYSTEM, "code": "ACSN"}]}
_NUMBER = Tag.of("(0008,0050) AccessionNumber")
_ISSUER = Tag.of("(0008,0051) IssuerOfAccessionNumberSequence")
_OURS = ({"type", "value"}, {"type", "system", "value"})


def accession_identifier(
    options: MappingOptions, number: str | None, issuers: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any] | None:
    """The identifier of an accession number; None without a number.

    `issuers`: None if the instance names none, so that the setting's system is used; empty if the sequence is invalid.
    Raises InvalidItemsError with the number without a system, as its issuer may not be the setting's.
    """
    if number is None:
        return None
    bare = {"type": TYPE, "value": number}
    if issuers is None:
        return Issuer(options.accession_system, "").of(bare)
    if not options.extended:
        return bare
    try:
        return issuer_of(issuers, options.accession_issuers).of(bare)
    except InvalidValueError as error:
        raise InvalidItemsError([str(error)], [NOBODY.of(bare)], of_tag=1) from None


def orders(
    options: MappingOptions,
    number: str | None,
    issuers: Sequence[Mapping[str, Any]] | None,
    requests: Sequence[Mapping[str, Any]] | None,
) -> list[dict[str, Any]]:
    """The identifiers of the orders that the study fulfils: its own accession number, and each request's (PS3.3 10.6).

    A number with an invalid issuer is left out, as it may be another hospital's. Raises InvalidItemsError.
    """
    if not options.links_orders:
        return []
    found = [_sound(options, number, issuers)]
    rules: list[str] = []
    for request in requests or ():
        try:
            found.append(accession_identifier(options, read(request, _NUMBER), read(request, _ISSUER)))
        except InvalidValueError as error:
            rules.append(str(error))
    identifiers = each_once(filter(None, found))
    if rules:
        raise InvalidItemsError(tuple(dict.fromkeys(rules)), identifiers, of_tag=2)
    return identifiers


def _sound(
    options: MappingOptions, number: str | None, issuers: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any] | None:
    """None if the issuer is invalid, which the identifier's own row reports."""
    try:
        return None if issuers == [] else accession_identifier(options, number, issuers)
    except InvalidItemsError:
        return None


def systems_of(options: MappingOptions) -> frozenset[str]:
    """The systems of accession numbers that the settings name."""
    return frozenset({options.accession_system, *options.accession_issuers.values()} - {""})


def is_accession(identifier: Mapping[str, Any]) -> bool:
    """Whether the identifier has the shape that early releases wrote: the type ACSN and a value, and no system."""
    return identifier.keys() == {"type", "value"} and is_of_type_accession(identifier)


def has_our_shape(identifier: Mapping[str, Any]) -> bool:
    """Whether the identifier has the shape that the app writes: type, value, and perhaps a system and an assigner."""
    assigner = identifier.get("assigner", {"display": ""})
    is_named = isinstance(assigner, dict) and assigner.keys() == {"display"}
    return identifier.keys() - {"assigner"} in _OURS and is_named and is_of_type_accession(identifier)


def is_of_type_accession(identifier: Mapping[str, Any]) -> bool:
    """Whether the identifier's type is ACSN."""
    type_ = identifier.get("type")
    return isinstance(type_, dict) and any(one.get("code") == "ACSN" for one in objects(type_.get("coding")))
