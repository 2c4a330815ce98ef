"""The content tree of a structured report (PS3.3 C.17.3), read from DICOM JSON.

An invalid content item is a fault of its tag, and its siblings are still read. Relationships by reference (PS3.3
C.17.3.2.5) are ignored, as no dose report may have them (PS3.3 A.35.8.3.1.3).
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.mapping import dicom_json
from shared.mapping.dicom_json import Tag
from shared.mapping.text import InvalidValueError
from shared.model.failures import InvalidTag

CONTENT = Tag.of("(0040,A730) ContentSequence")
CONCEPT_NAME = Tag.of("(0040,A043) ConceptNameCodeSequence")
_RELATIONSHIP = Tag.of("(0040,A010) RelationshipType")
_CODE = Tag.of("(0008,0100) CodeValue")
_SCHEME = Tag.of("(0008,0102) CodingSchemeDesignator")
_DEEPEST = 32
"""Levels of nesting that are read; dose reports have six. The limit keeps a hostile tree from exhausting the stack."""

Concept = tuple[str, str]
"""Coding scheme designator and code value: `("DCM", "113701")`."""


class ContentHeld(StrEnum):
    """Where a report's content tree is."""

    HERE = "here"
    NONE = "none"
    ELSEWHERE = "elsewhere"
    """Left out of the feed's metadata, or bulk data: the instance's own metadata may have it."""


@dataclass(frozen=True, slots=True, eq=False)
class ContentItem:
    """A content item. `concept`: its name, None if it has none. `relationship`: empty for the root.

    `schemes`: the systems of codes by designators that the standard does not have, the same in all of a report.
    """

    concept: Concept | None
    relationship: str
    elements: Mapping[str, Any]
    children: tuple["ContentItem", ...]
    schemes: Mapping[str, str] = field(default_factory=dict)

    def found(self, concepts: AbstractSet[Concept]) -> Iterator["ContentItem"]:
        """The descendants with one of these names, in the tree's order, but none inside another one."""
        for child in self.children:
            if child.concept in concepts:
                yield child
            else:
                yield from child.found(concepts)


def content_held(metadata: Mapping[str, Any]) -> ContentHeld:
    """Whether the metadata has the report's content tree."""
    element = metadata.get(CONTENT.key)
    if element is None or (isinstance(element, Mapping) and element.keys() & {"BulkDataURI", "InlineBinary"}):
        return ContentHeld.ELSEWHERE
    try:
        return ContentHeld.HERE if dicom_json.items_of(element) else ContentHeld.NONE
    except InvalidValueError:
        return ContentHeld.NONE


def content_tree(
    metadata: Mapping[str, Any], faults: list[InvalidTag], schemes: Mapping[str, str] | None = None
) -> ContentItem:
    """The report's root with all of its descendants. What cannot be read goes into `faults`."""
    return _item(metadata, faults, schemes or {}, 0)


def concept_of(elements: Mapping[str, Any]) -> Concept | None:
    """The name of a content item, None if it has none. Raises InvalidValueError."""
    for name in dicom_json.read(elements, CONCEPT_NAME) or ():
        code = dicom_json.read(name, _CODE)
        return (dicom_json.read(name, _SCHEME) or "", code) if code else None
    return None


def _item(elements: Mapping[str, Any], faults: list[InvalidTag], schemes: Mapping[str, str], depth: int) -> ContentItem:
    try:
        concept = concept_of(elements)
    except InvalidValueError as error:
        concept = None
        faults.append(CONCEPT_NAME.invalid(str(error)))
    try:
        relationship = dicom_json.read(elements, _RELATIONSHIP) or ""
    except InvalidValueError as error:
        relationship = ""
        faults.append(_RELATIONSHIP.invalid(str(error)))
    return ContentItem(concept, relationship, elements, tuple(_children(elements, faults, schemes, depth)), schemes)


def _children(
    elements: Mapping[str, Any], faults: list[InvalidTag], schemes: Mapping[str, str], depth: int
) -> Iterator[ContentItem]:
    try:
        items = dicom_json.items_of(elements.get(CONTENT.key))
    except InvalidValueError as error:
        faults.append(CONTENT.invalid(str(error)))
        return
    if items and depth == _DEEPEST:
        faults.append(CONTENT.invalid(f"nested deeper than {_DEEPEST} levels"))
        return
    for item in items:
        if isinstance(item, Mapping):
            yield _item(item, faults, schemes, depth + 1)
        else:
            faults.append(CONTENT.invalid("a sequence item that is an object is expected"))
