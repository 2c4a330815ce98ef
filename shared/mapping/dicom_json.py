"""Values from the DICOM JSON model (PS3.18 Annex F), one tag at a time, tolerant of what archives hold.

An invalid element affects no other. The data dictionary's VR decides what is valid (PS3.5 6.2), not the `vr` of the
element, as files with implicit or unknown VRs are common. An empty value (type 2) is absent, not invalid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.mapping import values
from shared.mapping.data_dictionary import ATTRIBUTES
from shared.mapping.text import PADDING, InvalidValueError, each
from shared.model.failures import InvalidTag

_DEEPEST = 8
"""Levels of sequences in which a value is looked for before an item is called empty."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of the DICOM data dictionary. `key`: its eight hexadecimal digits. `many`: it may have several values."""

    display: str
    keyword: str
    key: str
    vr: str
    many: bool
    parse: Callable[[Any], Any]

    @classmethod
    def of(cls, text: str) -> "Tag":
        """From `"(gggg,eeee) Keyword"`; raises ValueError if PS3.6 does not have them together."""
        display, keyword = text.split(" ")
        key = display.strip("()").replace(",", "")
        tag, vr, vm = ATTRIBUTES.get(keyword, ("", "", ""))
        if tag != key:
            raise ValueError(
                f"{text}: the data dictionary has no such tag and keyword; `make docs` writes down a new one"
            )
        return cls(display, keyword, key, vr, vr == "SQ" or vm != "1", values.parser(keyword, vr))

    def invalid(self, rule: str) -> InvalidTag:
        """The fault of this tag. `rule`: the rule that its value breaks, never the value."""
        return InvalidTag(self.display, self.keyword, self.vr, rule)


def read(metadata: Mapping[str, Any], tag: Tag) -> Any:
    """The parsed value of `tag`, None if it is absent or empty; a list for sequences.

    Raises InvalidValueError with the rule that the element breaks, InvalidItemsError if only items of a list do.
    """
    element = metadata.get(tag.key)
    items = items_of(element) if element is not None else ()
    if not items:
        return None
    if len(items) > 1 and not tag.many:
        # PS3.6 gives these tags a VM of 1; to take the first would be a guess.
        raise InvalidValueError(f"one value is expected (VM 1), {len(items)} are there")
    if tag.many:
        return each(items, tag.parse)
    return tag.parse(items[0])


def items_of(element: Any) -> list[Any]:
    """The element's values without the empty ones; raises InvalidValueError if they are not a list."""
    if element is None:
        return []
    if not isinstance(element, dict):
        raise InvalidValueError("the element is not a JSON object")
    if "Value" not in element:
        if "BulkDataURI" in element or "InlineBinary" in element:
            raise InvalidValueError("the value is held as binary or bulk data")
        return []
    items = element["Value"]
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidValueError("`Value` is not a list")
    if len(items) == 1:  # the common case, without making another list
        return [] if _is_empty(items[0]) else items
    return [item for item in items if not _is_empty(item)]


def _is_empty(item: Any, depth: int = 0) -> bool:
    """Whether the value is null, blank, a sequence item with only empty elements, or a name with only empty groups."""
    if isinstance(item, str):
        return not item.strip().strip(PADDING)
    if isinstance(item, dict):
        return depth < _DEEPEST and all(_says_nothing(part, depth + 1) for part in item.values())
    return item is None


def _says_nothing(part: Any, depth: int) -> bool:
    """Whether an element in a sequence's item, or a group of a person's name, is empty."""
    if not isinstance(part, dict):
        return _is_empty(part)
    items = part.get("Value") or []
    is_list = isinstance(items, list) and not part.keys() & {"BulkDataURI", "InlineBinary"}
    return is_list and all(_is_empty(item, depth) for item in items)
