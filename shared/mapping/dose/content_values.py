"""The value of a content item -> FHIR datatype, one function per kind. None: the item has no value.

Each raises InvalidValueError if the value breaks a rule, or is of another kind than the template demands.
"""

from decimal import Decimal
from typing import Any

from shared.mapping.codes import codeable_concepts
from shared.mapping.converters import spoken
from shared.mapping.dates import DateTime
from shared.mapping.dicom_json import Tag, read
from shared.mapping.dose.structured_report import ContentItem
from shared.mapping.dose.units import unit_of
from shared.mapping.text import InvalidValueError

_MEASURED = Tag.of("(0040,A300) MeasuredValueSequence")
_NUMBER = Tag.of("(0040,A30A) NumericValue")
_UNITS = Tag.of("(0040,08EA) MeasurementUnitsCodeSequence")
_CODE = Tag.of("(0040,A168) ConceptCodeSequence")
_TEXT = Tag.of("(0040,A160) TextValue")
_DATE_TIME = Tag.of("(0040,A120) DateTime")
_PERSON = Tag.of("(0040,A123) PersonName")
_UID = Tag.of("(0040,A124) UID")
_VALUE_TYPE = Tag.of("(0040,A040) ValueType")


def quantity(item: ContentItem) -> dict[str, Any] | None:
    """NUM -> Quantity. A dose without a unit is invalid, as it may be off by a factor of a thousand."""
    measured = _measured(item)
    if measured is None:
        return None
    units: list[Any] = read(measured, _UNITS) or []
    if len(units) != 1:
        raise InvalidValueError(f"one unit is expected, {len(units)} are there")
    return {"value": _number(measured), **unit_of(units[0])}


def count(item: ContentItem) -> int | None:
    """NUM -> integer; its unit, such as `{events}`, is ignored."""
    measured = _measured(item)
    if measured is None:
        return None
    number = _number(measured)
    if number < 0 or number != int(number):
        raise InvalidValueError("a count is expected")
    return int(number)


def concept(item: ContentItem) -> dict[str, Any] | None:
    """CODE -> CodeableConcept; TEXT, which some devices write instead, -> a CodeableConcept with only that text."""
    _require(item, "CODE", "TEXT")
    codes: list[Any] = read(item.elements, _CODE) or []
    if len(codes) > 1:
        raise InvalidValueError(f"one code is expected, {len(codes)} are there")
    for found in codeable_concepts(codes, item.schemes):
        return found
    text = read(item.elements, _TEXT)
    return {"text": text} if text else None


def plain_text(item: ContentItem) -> str | None:
    """TEXT -> string."""
    _require(item, "TEXT")
    text: str | None = read(item.elements, _TEXT)
    return text


def person(item: ContentItem) -> str | None:
    """PNAME -> the name as it is spoken; TEXT, which some devices write instead, unchanged."""
    _require(item, "PNAME", "TEXT")
    name: Any = read(item.elements, _PERSON)
    text: str | None = read(item.elements, _TEXT)
    return (name and spoken(name)) or text


def date_time(item: ContentItem) -> DateTime | None:
    """DATETIME, parsed."""
    _require(item, "DATETIME")
    moment: DateTime | None = read(item.elements, _DATE_TIME)
    return moment


def uid(item: ContentItem) -> str | None:
    """UIDREF."""
    _require(item, "UIDREF")
    found: str | None = read(item.elements, _UID)
    return found


def _measured(item: ContentItem) -> Any:
    """The measured value. It may be absent, as a qualifier may say why there is none (PS3.3 C.18.1)."""
    _require(item, "NUM")
    measured: list[Any] = read(item.elements, _MEASURED) or []
    if len(measured) > 1:
        raise InvalidValueError(f"one measured value is expected, {len(measured)} are there")
    return measured[0] if measured else None


def _number(measured: Any) -> int | Decimal:
    numbers: list[int | Decimal] = read(measured, _NUMBER) or []
    if len(numbers) != 1:
        raise InvalidValueError(f"one number is expected, {len(numbers)} are there")
    return numbers[0]


def _require(item: ContentItem, *value_types: str) -> None:
    if read(item.elements, _VALUE_TYPE) not in (None, *value_types):
        raise InvalidValueError(f"value type {' or '.join(value_types)} is expected")
