"""Wanted + existing resource -> the resource to write, or None if nothing changes.

The existing resource is a plain dict and is not modified; what others wrote on it stays, byte for byte. Merging a
second time changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.errors import EndpointMismatchError
from shared.mapping.resources import Fragment
from shared.model.fhir import Resource

Links = Mapping[str, str]
"""Name inside the bundle (`urn:uuid:...`) -> the reference to write: `Patient/7`, or the name itself."""

_FEW = 16
"""Up to this many items are compared each with each, which is quicker than an index."""
_NUMBERS = (int, float, Decimal)
"""JSON does not distinguish them."""


def merge_endpoint(existing: Resource | None, wanted: Fragment) -> Resource | None:
    """The Endpoint to create; None if it exists. Raises EndpointMismatchError if it exists with another address."""
    if existing is None:
        return apply(None, {"resourceType": "Endpoint"}, wanted, {})
    if not has_address(existing, wanted):
        address = wanted.create["address"]
        raise EndpointMismatchError(
            f"Endpoint/{existing.get('id')} has our name but not the address {address}: correct or delete it"
        )
    return None


def has_address(existing: Resource, wanted: Fragment) -> bool:
    """Whether the Endpoint has the wanted address, with or without a slash at its end."""
    address: str = wanted.create["address"]
    return str(existing.get("address", "")).rstrip("/") == address.rstrip("/")


def apply(existing: Resource | None, new: Resource, wanted: Fragment, links: Links) -> Resource:
    """A copy of the resource or backbone element that also says what `wanted` says; made from `new` if none exists."""
    resource = {**new, **wanted.create} if existing is None else dict(existing)
    for element, value in wanted.set.items():
        if element not in resource or not contains(resource[element], linked(value, links)):
            put(resource, element, linked(value, links))
    for element, value in wanted.fill.items():
        if f"_{element}" not in resource:  # a data-absent-reason there is a value of its own
            resource.setdefault(element, linked(value, links))
    for element, items in wanted.add.items():
        resource[element] = added(resource.get(element, []), [linked(item, links) for item in items])
    return resource


def put(resource: Resource, element: str, value: Any = None) -> None:
    """Sets the element in place, or removes it if `value` is None.

    With a primitive value go its extensions in `_element` (json.html#primitive), as they describe the old value.
    """
    primitive = value if value is not None else resource.get(element)
    if not isinstance(primitive, dict | list):
        resource.pop(f"_{element}", None)
    if value is None:
        resource.pop(element, None)
    else:
        resource[element] = value


def with_values(resource: Resource, values: Mapping[str, Any]) -> Resource:
    """A copy with these elements; a value that changes loses its extensions."""
    changed = dict(resource)
    for element, value in values.items():
        if element not in changed or not contains(changed[element], value):
            put(changed, element, value)
    return changed


def contains(existing: Any, wanted: Any) -> bool:
    """Whether `existing` has all that `wanted` has; it may have more, such as a display or an extension."""
    if isinstance(wanted, dict):
        if isinstance(existing, dict):
            return all(_same(key, existing.get(key), value) for key, value in wanted.items())
        return False
    if isinstance(wanted, list):
        return isinstance(existing, list) and all(any(contains(item, one) for item in existing) for one in wanted)
    if type(existing) in _NUMBERS and type(wanted) in _NUMBERS:  # a server may write 7.0 as 7, or fewer digits
        return float(existing) == float(wanted)
    return type(existing) is type(wanted) and bool(existing == wanted)


def linked(value: Any, links: Links) -> Any:
    """The value with a name inside the bundle replaced by the reference to write."""
    if isinstance(value, dict) and (reference := links.get(value.get("reference", ""))):
        return {**value, "reference": reference}
    return value


def _same(key: str, existing: Any, wanted: Any) -> bool:
    if key == "reference" and isinstance(existing, str):
        # It may be versioned, and its id in another letter case. The client has made absolute references to its own
        # server relative, so an absolute one is to another server.
        return bool(existing.split("/_history/")[0].casefold() == wanted.casefold())
    return contains(existing, wanted)


def added(existing: Sequence[Any], items: Sequence[Any]) -> list[Any]:
    """The existing items, followed by those of `items` that none of them contains."""
    result = list(existing)
    if len(result) + len(items) <= _FEW:
        for item in items:
            if not any(contains(one, item) for one in result):
                result.append(item)
        return result
    there = Items(result)
    for item in items:
        if not there.has(item):
            result.append(item)
            there.add(item)
    return result


def fullest(items: Iterable[Any]) -> list[Any]:
    """The items, each once, without those that another of them contains: the same in whatever order they come."""
    first_ones = added((), list(items))
    return added((), first_ones[::-1])[::-1]


class Items:
    """An index of a list's items by their texts, so that long lists are merged in linear time.

    An item can contain another only if it has each of its texts, so candidates are found by the rarest one. Items with
    references, which are not compared by text alone, and items without texts are compared with all.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._all: list[Any] = []
        self._by_text: dict[str, list[Any]] = {}
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        """Adds an item to the index."""
        self._all.append(item)
        for text in set(_texts(item)):
            self._by_text.setdefault(text, []).append(item)

    def has(self, item: Any) -> bool:
        """Whether one of the items contains `item`."""
        return any(contains(one, item) for one in self._candidates(item))

    def _candidates(self, item: Any) -> list[Any]:
        texts = () if _has_reference(item) else _texts(item)
        return min((self._by_text.get(text, []) for text in texts), key=len, default=self._all)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _has_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return "reference" in value or any(map(_has_reference, value.values()))
    return isinstance(value, list) and any(map(_has_reference, value))
