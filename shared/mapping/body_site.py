"""The part of the body that a series shows -> ImagingStudy.series.bodySite, by its code, else by its term."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.mapping.body_parts import code_of
from shared.mapping.codes import SYSTEMS, codeable_concepts, schemes_of
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.text import InvalidItemsError, InvalidValueError

_SNOMED = frozenset({SYSTEMS["SCT"], SYSTEMS["SRT"]})


def body_site(
    options: MappingOptions,
    term: str | None,
    regions: Sequence[Mapping[str, Any]] | None,
    identified: Sequence[Mapping[str, Any]] | None,
) -> dict[str, str] | None:
    """The code of AnatomicRegionSequence, which may have one item; else BodyPartExamined, a term that may have a code.

    Raises InvalidItemsError if the sequence is invalid, with what the term gives.
    """
    by_term = _of_term(options, term) if term else None
    if not regions:
        return by_term
    try:
        return _of_region(options, codeable_concepts(regions, schemes_of(options, identified))) or by_term
    except InvalidValueError as error:
        raise InvalidItemsError([str(error)], by_term, of_tag=1) from None


def _of_term(options: MappingOptions, term: str) -> dict[str, str]:
    code = code_of(term) if options.snomed_body_site else None
    return {"system": SYSTEMS["SCT"], "code": code, "display": term} if code else {"display": term}


def _of_region(options: MappingOptions, concepts: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    if len(concepts) > 1:
        raise InvalidValueError(f"one item is expected, {len(concepts)} are there")
    for concept in concepts:
        coding: dict[str, str] = dict(concept.get("coding", [{}])[0])
        if "text" in concept:
            coding.setdefault("display", concept["text"])
        if options.snomed_body_site or coding.get("system") not in _SNOMED:
            return coding
        return {"display": coding["display"]} if "display" in coding else None
    return None
