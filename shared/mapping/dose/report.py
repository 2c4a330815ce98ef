"""Reads values from a radiation dose report's content tree; an invalid one is a fault, never an error."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timezone
from typing import Any, TypeVar

from shared.mapping import authored, dicom_json
from shared.mapping.codes import schemes_of
from shared.mapping.dates import DateTime, TimeOfDay
from shared.mapping.dicom_json import Tag
from shared.mapping.dose import content_values
from shared.mapping.dose.components import REPORTS, SINGLE_PLANE, ComponentRow, ConceptName
from shared.mapping.dose.structured_report import CONCEPT_NAME, CONTENT, ContentItem, concept_of, content_tree
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.text import InvalidValueError
from shared.model.failures import InvalidTag

T = TypeVar("T")

_SOP_CLASS = Tag.of("(0008,0016) SOPClassUID")
_SCHEMES = Tag.of("(0008,0110) CodingSchemeIdentificationSequence")
_OFFSET = Tag.of("(0008,0201) TimezoneOffsetFromUTC")
_TEMPLATE = Tag.of("(0040,A504) ContentTemplateSequence")
_TEMPLATE_ID = Tag.of("(0040,DB00) TemplateIdentifier")
_RESOURCE = Tag.of("(0008,0105) MappingResource")
_MODIFIER = "HAS CONCEPT MOD"

_DOSE_SR = frozenset(f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (67, 68))
"""X-Ray Radiation Dose SR, Radiopharmaceutical Radiation Dose SR (PS3.4 B.5)."""
_GENERAL_SR = frozenset(f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (11, 22, 33, 34, 35))
"""Basic Text, Enhanced, Comprehensive, Comprehensive 3D, Extensible SR: older devices report doses in them."""
_TEMPLATES = frozenset(["10001", "10011", "10021"])

KEYS = frozenset(tag.key for tag in (_SOP_CLASS, _OFFSET, _TEMPLATE, _SCHEMES, CONCEPT_NAME, CONTENT))
"""The DICOM JSON keys of the tags that are read here."""


def may_be_dose_report(sop_class_uid: str) -> bool:
    """Whether instances of the class can report doses."""
    return sop_class_uid in _DOSE_SR or sop_class_uid in _GENERAL_SR


def is_dose_report(metadata: Mapping[str, Any]) -> bool:
    """Whether the instance reports radiation doses: by its SOP class, or by the name or template of its root."""
    sop_class = _sound(lambda: dicom_json.read(metadata, _SOP_CLASS))
    if sop_class not in _GENERAL_SR:
        return sop_class in _DOSE_SR
    templates = _sound(lambda: dicom_json.read(metadata, _TEMPLATE)) or ()
    return _sound(lambda: concept_of(metadata)) in REPORTS or any(map(_is_dose_template, templates))


def _is_dose_template(item: Mapping[str, Any]) -> bool:
    resource = _sound(lambda: dicom_json.read(item, _RESOURCE))
    return resource == "DCMR" and _sound(lambda: dicom_json.read(item, _TEMPLATE_ID)) in _TEMPLATES


def _sound(read: Callable[[], T]) -> T | None:
    """The value that `read` gives, None if it is invalid, which is reported where the tag is mapped."""
    try:
        return read()
    except InvalidValueError:
        return None


@dataclass(frozen=True, slots=True)
class DoseReport:
    """A report's content tree, and the offset of its times, if it has one. Reading adds to `faults`."""

    tree: ContentItem
    offset: timezone | None
    faults: list[InvalidTag] = field(default_factory=list)

    @classmethod
    def of(cls, metadata: Mapping[str, Any], options: MappingOptions) -> "DoseReport":
        faults: list[InvalidTag] = []
        schemes = schemes_of(options, _sound(lambda: dicom_json.read(metadata, _SCHEMES)))
        tree = content_tree(metadata, faults, schemes)
        return cls(tree, _sound(lambda: dicom_json.read(metadata, _OFFSET)), faults)

    def first(self, within: ContentItem, name: ConceptName, convert: Callable[[ContentItem], T | None]) -> T | None:
        """The first valid value of the concept; None if there is none."""
        return next(self._values([within], name, convert), (None, None, None))[2]

    def earliest(self, within: Iterable[ContentItem], *names: ConceptName) -> DateTime | None:
        """The earliest valid DATETIME of the first concept that has one."""
        for name in names:
            if moments := [found for _, _, found in self._values(within, name, content_values.date_time)]:
                return min(moments, key=_clock)
        return None

    def components(self, within: Sequence[ContentItem], rows: Iterable[ComponentRow]) -> list[dict[str, Any]]:
        """An Observation.component for each value of the rows' concepts, in the rows' order, each once."""
        components: list[dict[str, Any]] = []
        for row in rows:
            for container, item, found in self._values(within, row.name, row.convert):
                component = {"code": self._code(row.name, container, item), row.element: found}
                if self.is_r4("component", [component], row.name) and component not in components:
                    components.append(component)
        return components

    def is_r4(self, element: str, value: Any, name: ConceptName) -> bool:
        """Whether FHIR R4 allows the value; if not, that is a fault of the concept."""
        if rule := authored.rule_broken("Observation", element, value):
            self.leave_out(name, rule)
        return rule is None

    def _values(
        self, within: Iterable[ContentItem], name: ConceptName, convert: Callable[[ContentItem], T | None]
    ) -> Iterator[tuple[ContentItem, ContentItem, T]]:
        for container in within:
            for item in container.found(name.known_as):
                try:
                    value = convert(item)
                except InvalidValueError as error:
                    self.leave_out(name, str(error))
                else:
                    if value is not None:
                        yield container, item, value

    def _code(self, name: ConceptName, container: ContentItem, item: ContentItem) -> dict[str, Any]:
        """The concept, with a text that names its modifiers and those of its container, if there are any."""
        modifiers = [text for one in (container, item) for text in self._modifiers(one, name)]
        code: dict[str, Any] = {"coding": [name.coding]}
        return {**code, "text": ", ".join([name.meaning, *modifiers])} if modifiers else code

    def _modifiers(self, item: ContentItem, name: ConceptName) -> Iterator[str]:
        for child in item.children:
            if child.relationship == _MODIFIER:
                try:
                    modifier = content_values.concept(child)
                except InvalidValueError as error:
                    self.leave_out(name, f"its modifier: {error}")
                else:
                    yield from _meanings(modifier)

    def leave_out(self, name: ConceptName, rule: str) -> None:
        """Records the fault of a content item. `rule`: the rule that it breaks, never its value."""
        self.faults.append(CONTENT.invalid(f"{name}: {rule}"))


def _meanings(modifier: dict[str, Any] | None) -> Iterator[str]:
    """The modifier's meaning. That there is only a single plane is left out, as it narrows nothing down."""
    coding = (modifier or {}).get("coding", [{}])[0]
    if modifier is not None and coding.get("code") != SINGLE_PLANE:
        yield modifier.get("text") or coding["code"]


def _clock(moment: DateTime) -> tuple[date, int, int, int, int]:
    """A sort key for moments of one report, which share an offset; a missing part counts as zero."""
    time = moment.time or TimeOfDay(0)
    return moment.day, time.hour, time.minute or 0, time.second or 0, time.millisecond or 0
