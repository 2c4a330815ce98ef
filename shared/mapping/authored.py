"""Validates what the app writes against FHIR R4 before it is sent, element by element.

`fhir.resources` knows the shapes (its R4B classes name these elements as R4 does). Two kinds of values are not
validated with it, as that would cost more than all the rest of the mapping: an instance's own `uid` and `number`, whose
converters leave no room for doubt, and values of a shape that was validated before, which have the same elements with
texts that are equal or of one kind.
"""

import re
from collections.abc import Hashable, Mapping
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

_INSTANCE = "ImagingStudy.series.instance"
_NOT_VALIDATED = {(_INSTANCE, "uid"), (_INSTANCE, "number")}

_KINDS = re.compile(
    r"(urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+)"
    r"|(urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|([0-9]{5,64})"
    r"|([A-Za-z][A-Za-z0-9.-]{0,63})"
    r"|([A-Za-z][!-~]*(?: [!-~]+)+)"
)
"""Each of FHIR's primitive types (datatypes.html) takes all texts of one of these kinds, or none of them."""


_MAX_SHAPES = 4096
_rules_by_shape: dict[Hashable, str | None] = {}
"""The rule that values of a shape break. Threads share it: at worst two validate the same shape."""


def rule_broken(scope: str, element: str, value: Any) -> str | None:
    """The rule of FHIR R4 that `value` breaks as the scope's `element`, None if it is valid. Never names the value."""
    if (scope, element) in _NOT_VALIDATED:
        return None
    if isinstance(value, (dict, list)):
        return _rule_of_shape(scope, element, value)
    return _rule(scope, element, value)


def _rule_of_shape(scope: str, element: str, value: Any) -> str | None:
    shape = scope, element, _shape(value)
    rule = _rules_by_shape.get(shape, "not validated yet")
    if rule == "not validated yet":
        if len(_rules_by_shape) >= _MAX_SHAPES:
            _rules_by_shape.clear()
        rule = _rules_by_shape[shape] = _rule(scope, element, value)
    return rule


def _shape(value: Any) -> Hashable:
    if isinstance(value, str):
        return _kind(value)
    if isinstance(value, dict):
        return (tuple(value), *map(_shape, value.values()))
    if isinstance(value, list):
        return (list, *map(_shape, value))
    return type(value), value


@lru_cache(maxsize=4096)
def _kind(text: str) -> int | str | None:
    """The number of the text's kind; the text itself if it is of none."""
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
