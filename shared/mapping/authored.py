"""What we author is held against FHIR R4 before it is sent, element by element.

`fhir.resources` knows the shapes (its R4B classes name these elements as R4 does). It is not asked about what every
instance has of its own, `uid` and `number`: their converters leave no room for doubt, and to ask 40,000 times would
cost more than all the rest of the mapping. Nor is it asked twice about values of one shape: the same elements, whose
texts are the same or of one kind. To ask about every patient's name would be most of what a study of one instance
costs.
"""

import re
from collections.abc import Hashable, Mapping
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

_INSTANCE = "ImagingStudy.series.instance"
_NOT_ASKED = {(_INSTANCE, "uid"), (_INSTANCE, "number")}

_KINDS = re.compile(
    r"(urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+)"
    r"|(urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|([0-9]{5,64})"
    r"|([A-Za-z][A-Za-z0-9.-]{0,63})"
    r"|([A-Za-z][!-~]*(?: [!-~]+)+)"
)
"""Texts of one of these kinds are all taken, or all refused, by each of FHIR's primitive types (datatypes.html)."""


_MAX_SHAPES = 4096
_judged: dict[Hashable, str | None] = {}
"""The rule that values of a shape break. Threads share it: at worst one asks what another has just asked."""


def rule_broken(scope: str, element: str, value: Any) -> str | None:
    """Why FHIR R4 would not take `value` as the scope's `element`, None where it would. Never names the value."""
    if (scope, element) in _NOT_ASKED:
        return None
    if isinstance(value, (dict, list)):
        return _rule_of_shape(scope, element, value)
    return _rule(scope, element, value)


def _rule_of_shape(scope: str, element: str, value: Any) -> str | None:
    shape = scope, element, _shape(value)
    rule = _judged.get(shape, "not asked yet")
    if rule == "not asked yet":
        if len(_judged) >= _MAX_SHAPES:
            _judged.clear()
        rule = _judged[shape] = _rule(scope, element, value)
    return rule


def _shape(value: Any) -> Hashable:
    if isinstance(value, str):
        return _kind(value)
    if isinstance(value, dict):
        return (dict, *[(name, _shape(part)) for name, part in value.items()])
    if isinstance(value, list):
        return (list, *map(_shape, value))
    return type(value), value


@lru_cache(maxsize=4096)
def _kind(text: str) -> int | str | None:
    """The number of the text's kind; the text itself where it is of none."""
    kind = _KINDS.fullmatch(text)
    return kind.lastindex if kind else text


def _rule(scope: str, element: str, value: Any) -> str | None:
    try:
        _adapter(scope, element).validate_python(value)
    except ValidationError as error:
        kinds = sorted({fault["type"] for fault in error.errors(include_url=False, include_input=False)})
        return f"not a value that FHIR R4 allows in {scope}.{element} ({', '.join(kinds)})"
    return None


@cache
def _adapter(scope: str, element: str) -> TypeAdapter[Any]:
    return TypeAdapter(_models()[scope].model_fields[element].rebuild_annotation())


@cache
def _models() -> Mapping[str, type[BaseModel]]:
    from fhir.resources.R4B import endpoint, imagingstudy, observation, patient  # noqa: PLC0415 a quarter of a start

    return {
        "Patient": patient.Patient,
        "Endpoint": endpoint.Endpoint,
        "Observation": observation.Observation,
        "ImagingStudy": imagingstudy.ImagingStudy,
        "ImagingStudy.series": imagingstudy.ImagingStudySeries,
        _INSTANCE: imagingstudy.ImagingStudySeriesInstance,
    }
