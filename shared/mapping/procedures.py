"""What was done and why: by codes; if there are none, by what was requested, and by texts."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from shared.mapping.codes import codeable_concepts, schemes_of
from shared.mapping.dicom_json import Tag, read
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.text import InvalidItemsError, each

_DESCRIPTION = 2
"""The index of RequestedProcedureDescription among the row's tags."""
Items = Sequence[Mapping[str, Any]]
_REASON = Tag.of("(0040,100A) ReasonForRequestedProcedureCodeSequence")
_REASON_TEXT = Tag.of("(0040,1002) ReasonForTheRequestedProcedure")


def procedures(
    options: MappingOptions,
    done: Items | None,
    requested: Items | None,
    description: str | None,
    protocol: Items | None,
    identified: Items | None,
) -> list[dict[str, Any]]:
    """The procedure that was done; without a code of it, what was requested, else the protocol.

    Raises InvalidItemsError for the first sequence that is invalid.
    """
    schemes = schemes_of(options, identified)
    fault: InvalidItemsError | None = None
    found: list[dict[str, Any]] = []
    for of_tag, items in enumerate((done, requested, [], protocol)):
        try:
            found = codeable_concepts(items or (), schemes) if of_tag != _DESCRIPTION else _as_text(description)
        except InvalidItemsError as error:
            found = error.rest
            fault = fault or InvalidItemsError(error.rules, [], of_tag=of_tag)
        if found:
            break
    if fault:
        fault.rest = found
        raise fault
    return found


def _as_text(description: str | None) -> list[dict[str, Any]]:
    return [{"text": description}] if description else []


def reasons(
    options: MappingOptions, items: Items | None, requests: Items | None, text: str | None, identified: Items | None
) -> list[dict[str, Any]]:
    """The reasons of the study and of each request that it fulfils (PS3.3 10.6); a text only if no code has it."""
    rules: list[str] = []
    asked = _sound(rules, lambda: each(requests or (), lambda request: read(request, _REASON) or []))
    found = _sound(
        rules, lambda: codeable_concepts([*(items or ()), *chain.from_iterable(asked)], schemes_of(options, identified))
    )
    texts = [text, *_sound(rules, lambda: each(requests or (), lambda request: read(request, _REASON_TEXT)))]
    coded = {one.get("text") for one in found}
    unique: dict[str, dict[str, Any]] = {}
    for one in [*found, *({"text": one} for one in texts if one and one not in coded)]:
        unique.setdefault(repr(one), one)
    if rules:
        raise InvalidItemsError(rules, list(unique.values()))
    return list(unique.values())


def _sound(rules: list[str], read_: Callable[[], list[Any]]) -> list[Any]:
    """What is read, without the invalid items; the rules that they break are added to `rules`."""
    try:
        return read_()
    except InvalidItemsError as error:
        rules.extend(error.rules)
        rest: list[Any] = error.rest
        return rest
