"""Coded entries (PS3.3 8.8, Basic Coded Entry) -> CodeableConcept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from shared.mapping.dicom_json import Tag, items_of, read
from shared.mapping.held import as_list
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.text import InvalidValueError, each
from shared.model.fhir import Resource

_CODES = tuple(map(Tag.of, ("(0008,0100) CodeValue", "(0008,0119) LongCodeValue", "(0008,0120) URNCodeValue")))
_SCHEME = Tag.of("(0008,0102) CodingSchemeDesignator")
_SCHEME_UID = Tag.of("(0008,010C) CodingSchemeUID")
_MEANING = Tag.of("(0008,0104) CodeMeaning")

_QUALIFIERS = frozenset({_SCHEME.key, _SCHEME_UID.key, "00080103", "00080105", "00080106", "0008010F", "00080117"})
"""Attributes that only qualify a code: its scheme, the scheme's version, the context group it was chosen from."""

SYSTEMS: Mapping[str, str] = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "SCT": "http://snomed.info/sct",
    "SRT": "http://snomed.info/srt",
    "SNM3": "http://snomed.info/srt",
    "99SDM": "http://snomed.info/srt",
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    "RADLEX": "http://www.radlex.org",
    "C4": "http://www.ama-assn.org/go/cpt",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "I10P": "http://www.cms.gov/Medicare/Coding/ICD10",
    "MDC": "urn:iso:std:iso:11073:10101",
    "FMA": "urn:oid:2.16.840.1.113883.6.119",
}
"""CodingSchemeDesignator -> FHIR system (PS3.16 8, table 8-1). SRT's codes are SNOMED RT's, not SNOMED CT's."""


Schemes = Mapping[str, str]
"""The systems of coding schemes that the standard does not have, by designator."""


def schemes_of(options: MappingOptions, identified: Sequence[Mapping[str, Any]] | None) -> Schemes:
    """The schemes of an instance: its own, and those of the settings for other designators.

    `identified`: the items of CodingSchemeIdentificationSequence (PS3.3 C.12.1.1.1); invalid ones are ignored.
    """
    found = dict(options.coding_schemes)
    for item in identified or ():
        with suppress(InvalidValueError):
            designator, uid = read(item, _SCHEME), read(item, _SCHEME_UID)
            if designator and uid:
                found[designator] = f"urn:oid:{uid}"
    return found


def codeable_concepts(items: Sequence[Mapping[str, Any]], schemes: Schemes | None = None) -> list[dict[str, Any]]:
    """One CodeableConcept per item. A scheme of the site's own has no system unless its item, or `schemes`, names it.

    An item with a scheme and no code is ignored: the designator belongs to the code (PS3.3 8.8, type 1C), and worklists
    write it even if an order has no code. Raises InvalidItemsError with the concepts of the valid items.
    """
    concept = partial(_codeable_concept, schemes or {})
    return each([item for item in items if not _is_scheme_alone(item)], concept)


def _is_scheme_alone(item: Mapping[str, Any]) -> bool:
    return _SCHEME.key in item and all(key in _QUALIFIERS or _is_empty(element) for key, element in item.items())


def _is_empty(element: Any) -> bool:
    try:
        return not items_of(element)
    except InvalidValueError:
        return False


def _codeable_concept(schemes: Schemes, item: Mapping[str, Any]) -> dict[str, Any]:
    code = next((found for tag in _CODES if (found := read(item, tag))), None)
    meaning = read(item, _MEANING)
    if code is None:
        if meaning is None:
            raise InvalidValueError("an item has neither a code nor a meaning")
        return {"text": meaning}
    coding = {"system": _system(item, schemes), "code": code, "display": meaning}
    sender = {name: value for name, value in coding.items() if value}
    concept: dict[str, Any] = {"coding": [*_in_snomed_ct(coding["system"], code), sender]}
    return {**concept, "text": meaning} if meaning else concept


def _in_snomed_ct(system: str | None, code: str) -> list[dict[str, str]]:
    """The SNOMED CT coding for a retired code, without a display, as the meaning may be worded differently there."""
    if system != SYSTEMS["SRT"]:
        return []
    from shared.mapping.snomed_rt import codes  # noqa: PLC0415 most archives have none

    current = codes().get(code)
    return [{"system": SYSTEMS["SCT"], "code": current}] if current else []


def _system(item: Mapping[str, Any], schemes: Schemes) -> str | None:
    designator = read(item, _SCHEME) or ""
    uid = read(item, _SCHEME_UID)
    return SYSTEMS.get(designator) or (f"urn:oid:{uid}" if uid else schemes.get(designator))


CODED = (
    "ImagingStudy.procedureCode",
    "ImagingStudy.reasonCode",
    "ImagingStudy.series.bodySite",
    "Observation.bodySite",
    "Observation.component",
)
"""Elements with the sender's codes."""


def codings_without_system(resource: Resource | None) -> Counter[str]:
    """The number of codings without a system, by element: nobody can tell which code system they are from."""
    found: Counter[str] = Counter()
    if resource is None:
        return found
    for path in CODED:
        kind, *names = path.split(".")
        if resource["resourceType"] == kind:
            values: list[Any] = [resource]
            for name in names:
                values = [one for value in values if isinstance(value, dict) for one in as_list(value.get(name, []))]
            found[path] = sum(map(_without_system, values))
    return +found


def _without_system(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_without_system, value))
    if not isinstance(value, dict):
        return 0
    is_one = isinstance(value.get("code"), str) and "system" not in value
    return is_one + sum(_without_system(one) for one in value.values() if isinstance(one, dict | list))
