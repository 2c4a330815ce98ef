"""Who assigned an identifier: the HL7v2 Hierarchic Designator Macro (PS3.3 10.14) -> FHIR's `system` and `assigner`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.mapping import text
from shared.mapping.dicom_json import Tag, read
from shared.mapping.identifier_system import is_absolute_uri
from shared.mapping.text import InvalidValueError

_NAMESPACE = Tag.of("(0040,0031) LocalNamespaceEntityID")
_UNIVERSAL = Tag.of("(0040,0032) UniversalEntityID")
_TYPE = Tag.of("(0040,0033) UniversalEntityIDType")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Issuer:
    """`system`: a URI, empty if none is known. `display`: the issuer's name, empty if it has none."""

    system: str
    display: str

    def of(self, identifier: Mapping[str, Any]) -> dict[str, Any]:
        """The identifier (type and value) with this issuer's system and assigner."""
        system = {"system": self.system} if self.system else {}
        assigner = {"assigner": {"display": self.display}} if self.display else {}
        rest = {name: value for name, value in identifier.items() if name != "type"}
        type_ = {"type": identifier["type"]} if "type" in identifier else {}
        return {**type_, **system, **rest, **assigner}


NOBODY = Issuer("", "")


def issuer_of(items: Sequence[Mapping[str, Any]], systems: Mapping[str, str]) -> Issuer:
    """The issuer that a sequence names: by its universal ID, else by its local name, whose system is in `systems`.

    Raises InvalidValueError if there are several items, or if the ID is not what its type says.
    """
    if len(items) > 1:
        raise InvalidValueError(f"one item is expected, {len(items)} are there")
    if not items:
        return NOBODY
    namespace, universal, kind = (read(items[0], tag) for tag in (_NAMESPACE, _UNIVERSAL, _TYPE))
    system = _system(universal, kind) if universal else ""
    return Issuer(system or systems.get(namespace or "", ""), namespace or ("" if system else universal or ""))


def _system(universal: str, kind: str | None) -> str:
    """The system for a universal ID; empty for the types that FHIR has no URI for."""
    system_of = _SYSTEMS.get(kind or "")
    if system_of is None:
        raise InvalidValueError(f"UniversalEntityIDType: not one of {', '.join(_SYSTEMS)}")
    return system_of(universal)


def _of_oid(universal: str) -> str:
    try:
        return f"urn:oid:{text.uid(universal)}"
    except InvalidValueError as error:
        raise InvalidValueError(f"UniversalEntityID of type ISO: {error}") from None


def _of_uri(universal: str) -> str:
    if not is_absolute_uri(universal):
        raise InvalidValueError("UniversalEntityID of type URI: a URI with its scheme is expected (RFC 3986)")
    return universal


def _of_uuid(universal: str) -> str:
    if not _UUID.fullmatch(universal.lower()):
        raise InvalidValueError("UniversalEntityID of type UUID: 32 hexadecimal digits in five groups are expected")
    return f"urn:uuid:{universal.lower()}"


def _of_none(_universal: str) -> str:
    return ""


_SYSTEMS: Mapping[str, Callable[[str], str]] = {
    "DNS": _of_none,
    "EUI64": _of_none,
    "ISO": _of_oid,
    "URI": _of_uri,
    "UUID": _of_uuid,
    "X400": _of_none,
    "X500": _of_none,
}
"""By UniversalEntityIDType: PS3.3 10.14 enumerates its values. Of OIDs and UUIDs R4 makes URNs (datatypes.html#oid)."""
