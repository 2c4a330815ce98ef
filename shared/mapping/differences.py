"""The elements of a resource that a write changes, with their values before and after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from shared.mapping.held import objects, text
from shared.mapping.last_applied import URL
from shared.model.fhir import Resource

_KEYED = ("series", "instance")
"""Lists whose items are identified by `uid`."""
_OF_THE_SERVER = ("versionId", "lastUpdated")
"""The elements of `meta` that the server sets."""


@dataclass(frozen=True, slots=True)
class ElementChange:
    """One element: its FHIRPath within the resource, its value before and after; None if it is absent.

    An added or removed series is one element, with the number of its instances in place of their list.
    """

    path: str
    before: Any
    after: Any


def differences(before: Resource | None, after: Resource | None) -> list[ElementChange]:
    """The elements that differ, except `id`, the version, and the app's record of what it wrote last.

    `before` None: the resource is created, and each of its elements is a change. `after` None: it is deleted, which
    changes no element.
    """
    return [] if after is None else list(_of_object("", _bare(before or {}), _bare(after)))


def _bare(resource: Resource) -> Resource:
    """The resource without what the server sets, and without the app's record."""
    bare = {name: value for name, value in resource.items() if name != "id"}
    if isinstance(meta := bare.pop("meta", None), dict):
        bare["meta"] = {name: value for name, value in meta.items() if name not in _OF_THE_SERVER}
    if isinstance(extensions := bare.pop("extension", None), list):
        bare["extension"] = [one for one in extensions if not (isinstance(one, dict) and one.get("url") == URL)]
    return {name: value for name, value in bare.items() if value not in ({}, [])}


def _of_object(path: str, before: Resource, after: Resource) -> Iterator[ElementChange]:
    for name in dict.fromkeys([*before, *after]):
        here = f"{path}.{name}" if path else name
        yield from _of_value(here, name, before.get(name), after.get(name))


def _of_value(path: str, name: str, before: Any, after: Any) -> Iterator[ElementChange]:
    if before == after:
        return
    if name in _KEYED and _is_keyed(before) and _is_keyed(after):
        yield from _of_keyed(path, before or [], after or [])
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _of_object(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_list(path, before, after)
    else:
        yield ElementChange(path, before, after)


def _is_keyed(value: Any) -> bool:
    """Whether each item has a `uid` of its own; true if there is no list."""
    if value is None:
        return True
    uids = [text(one.get("uid")) for one in objects(value)]
    return isinstance(value, list) and len(set(filter(None, uids))) == len(value)


def _of_keyed(path: str, before: Sequence[Resource], after: Sequence[Resource]) -> Iterator[ElementChange]:
    held, wanted = ({one["uid"]: one for one in items} for items in (before, after))
    for uid in dict.fromkeys([*held, *wanted]):
        here = f"{path}.where(uid = '{uid}')"
        if uid in held and uid in wanted:
            yield from _of_object(here, held[uid], wanted[uid])
        else:
            yield ElementChange(here, _counted(held.get(uid)), _counted(wanted.get(uid)))


def _counted(item: Resource | None) -> Resource | None:
    if item is None or not isinstance(item.get("instance"), list):
        return item
    return {**item, "instance": len(item["instance"])}


def _of_list(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[ElementChange]:
    """Removed items paired with added ones; both lists if only the order changes."""
    gone = [one for one in before if one not in after]
    new = [one for one in after if one not in before]
    if not gone and not new:
        yield ElementChange(path, before, after)
    for old, item in zip_longest(gone, new):
        yield ElementChange(path, old, item)
