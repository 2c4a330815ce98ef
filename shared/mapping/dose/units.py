"""Units of measurement (PS3.3 8.8, PS3.16 CID 82) -> the unit of a FHIR Quantity.

A report's unit claims to be UCUM, and not always is: what is not valid UCUM is written as text, without system and
code, so that nobody computes with it by mistake.
"""

import re
from collections.abc import Mapping
from typing import Any

from shared.mapping.dicom_json import Tag, read
from shared.mapping.text import InvalidValueError

UCUM_SYSTEM = "http://unitsofmeasure.org"

_CODE = Tag.of("(0008,0100) CodeValue")
_SCHEME = Tag.of("(0008,0102) CodingSchemeDesignator")
_MEANING = Tag.of("(0008,0104) CodeMeaning")

_UNDOTTED = re.compile(r"([cdmu]?Gy)([cdm]?m2?)")
"""`Gym2`, `mGycm`: products as early editions of PS3.16, and devices still, write them, without UCUM's dot."""

_TERM = r"(?:(?:da|[EPTGMkhdcmunpf])?(?:Gy|Sv|Bq|Ci|[ALVgms]|eV|l)(?:-?[1-9])?|min|h|d|%|1)"
_UCUM = re.compile(rf"{_TERM}(?:[./]{_TERM})*|(?:{_TERM}/)?\{{[!-z|~]+\}}")
"""The part of UCUM's grammar that dose, activity, time, length, volume and counts need (unitsofmeasure.org)."""


def unit_of(item: Mapping[str, Any]) -> dict[str, str]:
    """`unit` of a MeasurementUnitsCodeSequence item, with `system` and `code` if it is valid UCUM.

    Raises InvalidValueError if the item names no unit.
    """
    code, meaning = read(item, _CODE), read(item, _MEANING)
    if read(item, _SCHEME) == "UCUM" and code is not None:
        if undotted := _UNDOTTED.fullmatch(code):
            code = ".".join(undotted.groups())
        if _UCUM.fullmatch(code):
            return {"unit": code, "system": UCUM_SYSTEM, "code": code}
    if text := meaning or code:
        return {"unit": text}
    raise InvalidValueError("the unit has neither a code nor a meaning")
