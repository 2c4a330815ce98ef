"""The doses of a summary in one text, for profiles that demand Observation.value[x] (docs/profiles.md)."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from shared.mapping.dose.components import COMPONENTS
from shared.mapping.held import objects, text

_PLACES = {(row.name.coding["system"], row.name.coding["code"]): at for at, row in enumerate(COMPONENTS)}


def dose_text(components: Iterable[Any]) -> str:
    """`CT Dose Length Product Total 302.44 mGy.cm; ...`, for our components, always in the table's order.

    Numbers are without zeros at their end, which servers drop: the text must stay the same to be known as ours.
    """
    lines = [(place, line) for one in components if isinstance(one, dict) for place, line in [_line(one)] if line]
    return "; ".join(line for _, line in sorted(lines))


def is_dose_text(observation: Mapping[str, Any], value: Any) -> bool:
    """Whether the value is the text that the app makes of the Observation's components."""
    components = observation.get("component")
    return isinstance(components, list) and bool(value) and value == dose_text(components)


def _line(component: Mapping[str, Any]) -> tuple[int, str]:
    code = component.get("code")
    codings = list(objects(code.get("coding"))) if isinstance(code, dict) else []
    places = (_PLACES.get((text(one.get("system")), text(one.get("code")))) for one in codings)
    place = next((one for one in places if one is not None), None)
    value = _value(component)
    if place is None or not value:
        return 0, ""
    return place, f"{text((code or {}).get('text')) or COMPONENTS[place].name.meaning} {value}"


def _value(component: Mapping[str, Any]) -> str:
    quantity, concept = component.get("valueQuantity"), component.get("valueCodeableConcept")
    if isinstance(quantity, dict):
        return f"{_number(quantity.get('value'))} {text(quantity.get('unit'))}".strip()
    if isinstance(concept, dict):
        displays = (text(one.get("display")) for one in objects(concept.get("coding")))
        return text(concept.get("text")) or next(filter(None, displays), "")
    return _number(component.get("valueInteger"))


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return ""
    digits = f"{Decimal(repr(value) if isinstance(value, float) else value):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
