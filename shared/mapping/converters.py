"""DICOM value -> FHIR datatype, one function per kind of element. None means that nothing is written.

A converter gets the options and the parsed values of its row's tags, in the row's order; None for an absent tag.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from shared.mapping.dates import TimeOfDay
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.names import NameGroup, PersonName
from shared.mapping.text import InvalidValueError

URI_SYSTEM = "urn:ietf:rfc:3986"
SIGN_SYSTEM = "urn:dicom-cast:source"
"""System of the tag, and of the Endpoint's identifier, that has the URL of the DICOM service as its code or value."""
MODALITY_SYSTEM = "http://dicom.nema.org/resources/ontology/DCM"
CONNECTION_TYPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
IDENTIFIER_TYPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0203"
NAME_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"

LATERALITIES: Mapping[str, dict[str, str]] = {
    "R": {"system": "http://snomed.info/sct", "code": "24028007", "display": "Right"},
    "L": {"system": "http://snomed.info/sct", "code": "7771000", "display": "Left"},
    "B": {"system": "http://snomed.info/sct", "code": "51440002", "display": "Bilateral"},
}
"""PS3.16 CID 244."""
GENDERS: Mapping[str, str] = {"M": "male", "F": "female", "O": "other"}


Converter = Callable[..., Any]


@lru_cache(maxsize=1024)
def urn(kind: str, *parts: str) -> str:
    """The name of a resource inside a bundle; the same parts give the same name."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, '|'.join((kind, *parts)))}"


def constant(value: Any) -> Converter:
    return lambda _options: value


@dataclass(frozen=True, slots=True)
class MadeBy:
    """In place of a converter, for an element that this function makes: `module.function` of shared/mapping."""

    function: str

    def __call__(self, _options: MappingOptions, *_values: Any) -> None:
        return None


def patient_name(_options: MappingOptions, name: PersonName) -> list[dict[str, Any]]:
    """One HumanName per component group, with the standard extension for its script (PS3.5 6.2.1.2)."""
    groups = ((None, name.alphabetic), ("IDE", name.ideographic), ("SYL", name.phonetic))
    return [_human_name(group, representation) for representation, group in groups if group]


def _human_name(group: NameGroup, representation: str | None) -> dict[str, Any]:
    extension = [{"url": NAME_REPRESENTATION, "valueCode": representation}] if representation else []
    parts: dict[str, Any] = {
        "extension": extension,
        "use": "usual",
        "family": group.family,
        "given": [*group.given.split(), *group.middle.split()],
        "prefix": group.prefix.split(),
        "suffix": group.suffix.split(),
    }
    return {element: value for element, value in parts.items() if value}


def gender(_options: MappingOptions, sex: str) -> str:
    return GENDERS[sex]


def birth_date(_options: MappingOptions, day: date) -> str:
    return day.isoformat()


def started(options: MappingOptions, day: date | None, time: TimeOfDay | None, offset: timezone | None) -> str | None:
    """A FHIR dateTime as exact as the DICOM values; without minutes, only the date."""
    if day is None:
        return None
    if time is None or time.minute is None:
        return day.isoformat()
    fraction = "" if time.millisecond is None else f".{time.millisecond:03d}"
    clock = f"{time.hour:02d}:{time.minute:02d}:{time.second or 0:02d}{fraction}"
    return f"{day.isoformat()}T{clock}{_offset_text(offset or options.default_offset)}"


def _offset_text(offset: timezone) -> str:
    minutes = int((offset.utcoffset(None)) / timedelta(minutes=1))
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def plain(_options: MappingOptions, value: str) -> str:
    return value


def annotation(_options: MappingOptions, text: str) -> dict[str, str]:
    return {"text": text}


def number(_options: MappingOptions, value: int) -> int:
    if value < 0:
        raise InvalidValueError("FHIR's unsignedInt takes no negative number")
    return value


def as_display(_options: MappingOptions, name: PersonName) -> dict[str, str] | None:
    """A Reference with only a display name, to no resource."""
    text = spoken(name)
    return {"display": text} if text else None


def spoken(name: PersonName) -> str:
    """The name as it is spoken: prefix, given, middle, family, suffix, from the first group that is not empty."""
    group = name.alphabetic or name.ideographic or name.phonetic or NameGroup()
    parts = (group.prefix, group.given, group.middle, group.family, group.suffix)
    return " ".join(part for part in parts if part)


def laterality(_options: MappingOptions, side: str) -> dict[str, str]:
    return LATERALITIES[side]


def image_laterality(_options: MappingOptions, side: str) -> dict[str, str] | None:
    """None for unpaired (U), which has no side."""
    return LATERALITIES.get(side)


def modality(_options: MappingOptions, code: str) -> dict[str, str]:
    return {"system": MODALITY_SYSTEM, "code": code}


def sop_class(_options: MappingOptions, uid: str) -> dict[str, str]:
    return {"system": URI_SYSTEM, "code": f"urn:oid:{uid}"}


def service_url(options: MappingOptions) -> str:
    return options.service_url


def endpoint_identifier(options: MappingOptions) -> list[dict[str, str]]:
    """An identifier of the app's own: all servers take a conditional create by identifier (docs/adr/0016)."""
    return [{"system": SIGN_SYSTEM, "value": options.service_url}]


def endpoint_name(options: MappingOptions) -> str:
    return f"DICOM WADO-RS endpoint {options.service_url}"


def endpoint_link(options: MappingOptions) -> dict[str, str]:
    return {"reference": urn("Endpoint", options.service_url)}


def source(options: MappingOptions) -> dict[str, str]:
    return {"source": options.service_url}


def tag(options: MappingOptions) -> dict[str, Any]:
    return {"tag": [tag_of(options.service_url)]}


def tag_of(service_url: str) -> dict[str, str]:
    """The tag of resources that the app made for a DICOM service, or for a data partition of it."""
    return {"system": SIGN_SYSTEM, "code": service_url}
