"""Accession numbers (0008,0050), each with the system of who assigned it (0008,0051)."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.mapping.converters import IDENTIFIER_TYPE_SYSTEM, MappingOptions
from shared.mapping.held import objects
from shared.mapping.issuers import NOBODY, Issuer, issuer_of
from shared.mapping.text import InvalidItemsError, InvalidValueError

TYPE: Mapping[str, Any] = {"coding": [{"system": IDENTIFIER_TYPE_SYSTEM, "code": "ACSN"}]}
_OURS = ({"type", "value"}, {"type", "system", "value"})


def accession_identifier(
    options: MappingOptions, number: str | None, issuers: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any] | None:
    """`issuers`: None where the instance names none, which is when the setting's system holds; empty: it is broken.

    Raises InvalidItemsError, which has the number without a system: whoever gave it may be another than the setting's.
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


def systems_of(options: MappingOptions) -> frozenset[str]:
    """Those that the settings name."""
    return frozenset({options.accession_system, *options.accession_issuers.values()} - {""})


def is_accession(identifier: Mapping[str, Any]) -> bool:
    """Whether it has the shape of ours before there were systems: the type ACSN and a value, and no system."""
    return identifier.keys() == {"type", "value"} and is_of_type_accession(identifier)


def has_our_shape(identifier: Mapping[str, Any]) -> bool:
    """Whether it has the shape of ours: as above, or with a system, an assigner's name."""
    assigner = identifier.get("assigner", {"display": ""})
    is_named = isinstance(assigner, dict) and assigner.keys() == {"display"}
    return identifier.keys() - {"assigner"} in _OURS and is_named and is_of_type_accession(identifier)


def is_of_type_accession(identifier: Mapping[str, Any]) -> bool:
    """Whether its type is ACSN."""
    type_ = identifier.get("type")
    return isinstance(type_, dict) and any(one.get("code") == "ACSN" for one in objects(type_.get("coding")))
