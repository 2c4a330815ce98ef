"""Person names (PS3.5 6.2.1): five components, three groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.mapping.text import InvalidValueError, text

_MAX_COMPONENT_GROUP = 64  # characters (PS3.5 6.2, VR PN)
_MAX_COMPONENTS = 5
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True, slots=True)
class NameGroup:
    """The five components of one PN component group (PS3.5 6.2.1.1), trimmed, '' if absent."""

    family: str = ""
    given: str = ""
    middle: str = ""
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class PersonName:
    """The three component groups of a PN, None if a group is absent."""

    alphabetic: NameGroup | None = None
    ideographic: NameGroup | None = None
    phonetic: NameGroup | None = None


def person_name(item: Any) -> PersonName:
    """PS3.5 6.2.1: an object of component groups (PS3.18 F.2.2), or a string with `=` between them.

    Some services, Azure's among them, have sent that string as the object's `Alphabetic`.
    """
    if isinstance(item, str):
        groups = _split(item)
    elif isinstance(item, Mapping):
        groups = {name: group for name in _GROUPS if (group := item.get(name)) is not None}
        if isinstance(alphabetic := groups.get("Alphabetic"), str) and "=" in alphabetic:
            groups = _with_groups(_split(alphabetic), groups)
    else:
        raise InvalidValueError("a person name is expected")
    return PersonName(*(_name_group(groups.get(name)) for name in _GROUPS))


def _split(item: str) -> dict[str, Any]:
    groups = item.split("=")
    if len(groups) > len(_GROUPS):
        raise InvalidValueError("more than three component groups")
    return dict(zip(_GROUPS, groups, strict=False))


def _with_groups(split: dict[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
    """The groups split out of `Alphabetic`, and those that stand beside it."""
    for name in _GROUPS[1:]:
        if name in beside:
            group = split.setdefault(name, beside[name])
            if _name_group(group) != _name_group(beside[name]):
                raise InvalidValueError(f"two different {name} groups")
    return split


def _name_group(item: Any) -> NameGroup | None:
    if item is None:
        return None
    group = text(item, "PN")
    if "=" in group:
        raise InvalidValueError("`=` inside of a component group")
    if len(group) > _MAX_COMPONENT_GROUP:
        raise InvalidValueError(f"a component group is longer than {_MAX_COMPONENT_GROUP} characters")
    components = [" ".join(component.split()) for component in group.rstrip("^").split("^")]
    if len(components) > _MAX_COMPONENTS:
        raise InvalidValueError(f"more than {_MAX_COMPONENTS} components in a group")
    return NameGroup(*components) if any(components) else None
