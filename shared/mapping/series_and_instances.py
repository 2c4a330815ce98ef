"""Performers of a series and titles of instances -> ImagingStudy.series.performer, series.instance.title."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.mapping.codes import codeable_concepts
from shared.mapping.converters import spoken
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.names import PersonName
from shared.mapping.text import InvalidItemsError, each_once

_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_PERFORMER = {"coding": [{"system": _SYSTEM, "code": "PRF", "display": "performer"}]}
_OPERATOR = {"coding": [{"system": _SYSTEM, "code": "SPRF", "display": "secondary performer"}]}
"""v3 ParticipationType: SPRF is a person assisting in an act, technicians among them; PS3.3 C.7.3.1: the operators
support the series."""


def performers(
    _options: MappingOptions, physicians: Sequence[PersonName] | None, operators: Sequence[PersonName] | None
) -> list[dict[str, Any]]:
    """Performers by display name only; without those that have no name, or are named twice for one function."""
    named = [(_PERFORMER, one) for one in physicians or ()] + [(_OPERATOR, one) for one in operators or ()]
    found = [{"function": function, "actor": {"display": text}} for function, one in named if (text := spoken(one))]
    return each_once(found)


def title(_options: MappingOptions, names: Sequence[Mapping[str, Any]] | None, document: str | None) -> str | None:
    """An encapsulated document's own title (PS3.3 C.24.2), else the name of a report or of a selection of key objects.

    That name is the root's concept (PS3.3 C.17.3, C.17.6.2). Raises InvalidItemsError, with the title that is left.
    """
    try:
        concepts = codeable_concepts(names or ())
    except InvalidItemsError as error:
        raise InvalidItemsError(error.rules, document or _first_text(error.rest)) from None
    return document or _first_text(concepts)


def _first_text(concepts: Sequence[Mapping[str, Any]]) -> str | None:
    return next((one["text"] for one in concepts if "text" in one), None)
