"""Resources that FHIR servers hold, in the shape that the mapping reads; all that does not fit it is kept aside.

A server, or another system, may leave out the `uid` of a series (with a data-absent-reason, as R4 allows), put null
into a list, or an object in place of a list. The sync must neither stop at that nor remove it: it is set aside before
the merge, and put back in its place in what is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import MalformedResourceError
from shared.model.fhir import Resource

ODD = "urn:dicom-cast:odd"
"""The element under which a resource that does not fit carries its original. It is never written."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """The shape that the mapping reads of a resource or backbone element.

    `lists`: elements that should be lists of objects; one that is no list stays as it is. `follows`: elements of these
    types, which are replaced once DICOM has a value, and stay until then. `stays`: elements of these types, which stay.
    `keyed`: lists of objects with a `uid`; if one is no list, nothing can be merged with the resource.
    """

    lists: tuple[str, ...] = ()
    follows: Mapping[str, type] = field(default_factory=dict)
    stays: Mapping[str, type] = field(default_factory=dict)
    keyed: Mapping[str, "_Shape"] = field(default_factory=dict)


_SERIES = _Shape(
    lists=("endpoint", "performer"),
    follows={"modality": dict, "numberOfInstances": int},
    keyed={"instance": _Shape()},
)
_SHAPES: Mapping[str, _Shape] = {
    "ImagingStudy": _Shape(
        lists=(
            "identifier",
            "extension",
            "contained",
            "modality",
            "endpoint",
            "note",
            "procedureCode",
            "reasonCode",
            "basedOn",
        ),
        follows={"subject": dict, "numberOfSeries": int, "numberOfInstances": int},
        stays={"referrer": dict, "encounter": dict},
        keyed={"series": _SERIES},
    ),
    "Patient": _Shape(lists=("identifier", "extension", "name", "link")),
    "Observation": _Shape(
        lists=("identifier", "extension", "category", "partOf", "derivedFrom", "component"), follows={"subject": dict}
    ),
    "Endpoint": _Shape(lists=("identifier", "extension")),
}


def readable(resource: Resource) -> Resource:
    """The resource without what does not fit, which `whole` puts back; the resource itself if all fits.

    Raises MalformedResourceError if nothing can be merged with it.
    """
    shape = _SHAPES[resource["resourceType"]]
    if _is_sound(resource, shape) and _is_sound_meta(resource.get("meta", {})):
        return resource
    _ensure_possible(resource, shape)
    view = _parted(resource, shape)
    if not _is_sound_meta(resource.get("meta", {})):
        view["meta"] = _parted(resource["meta"], _META)
    return {**view, ODD: resource}


def whole(resource: Resource) -> Resource:
    """The resource to write: what `readable` set aside is back in its place."""
    original = resource.get(ODD)
    if original is None:
        return resource
    shape = _SHAPES[original["resourceType"]]
    bare = {name: value for name, value in resource.items() if name != ODD}
    joined = _joined(bare, original, shape)
    if not _is_sound_meta(original.get("meta", {})):
        joined["meta"] = _joined(bare.get("meta", {}), original["meta"], _META)
    return joined


def odd_series(study: Resource) -> list[Resource]:
    """The series that have no `uid` of their own and were set aside, if they are objects."""
    return [one for _, one in _odd_of(study.get(ODD, {}), "series") if isinstance(one, dict)]


def instances_of(resource: Resource) -> int:
    """How many instances a resource lists, whatever its shape."""
    listed = (one.get("instance") for one in objects(resource.get("series")))
    return sum(len(one) for one in listed if isinstance(one, list))


def version_of(resource: Resource) -> str | None:
    """The resource's `meta.versionId`; None if it has none."""
    meta = resource.get("meta")
    return text(meta.get("versionId")) or None if isinstance(meta, dict) else None


def objects(value: Any) -> Iterator[Resource]:
    """The objects in a value that should be a list of objects."""
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def as_list(value: Any) -> list[Any]:
    """The items of an element; the element itself as the only one if it is no list."""
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A value that should be a text; empty if it is none."""
    return value if isinstance(value, str) else ""


_META = _Shape(lists=("tag",))


def _is_sound_meta(meta: Any) -> bool:
    return isinstance(meta, dict) and isinstance(meta.get("versionId", ""), str) and _is_sound(meta, _META)


def _is_sound(held: Resource, shape: _Shape) -> bool:
    for name in shape.lists:
        if name in held and not (isinstance(held[name], list) and all(isinstance(one, dict) for one in held[name])):
            return False
    for name, kind in (*shape.follows.items(), *shape.stays.items()):
        if name in held and not isinstance(held[name], kind):
            return False
    return all(_is_sound_list(held[name], inner) for name, inner in shape.keyed.items() if name in held)


def _is_sound_list(value: Any, shape: _Shape) -> bool:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return False
    uids = {uid for one in value if isinstance(uid := one.get("uid"), str)}
    return len(uids) == len(value) and (not shape.keyed or all(_is_sound(one, shape) for one in value))


def _ensure_possible(resource: Resource, shape: _Shape) -> None:
    meta = resource.get("meta", {})
    if not isinstance(meta, dict):
        raise _malformed(resource, "meta", "no object")
    if not isinstance(meta.get("versionId", ""), str):
        raise _malformed(resource, "meta.versionId", "no text")
    if not isinstance(resource.get("identifier"), list | None):
        raise _malformed(resource, "identifier", "no list")
    for name, inner in shape.keyed.items():
        value = resource.get(name)
        if not isinstance(value, list | None):
            raise _malformed(resource, name, "no list")
        for one, below in ((one, below) for one in objects(value) for below in inner.keyed):
            if not isinstance(one.get(below), list | None):
                raise _malformed(resource, f"{name}.{below}", "no list")


def _malformed(resource: Resource, element: str, what: str) -> MalformedResourceError:
    kind, id_ = resource["resourceType"], resource["id"]
    return MalformedResourceError(f"{kind}/{id_}: {kind}.{element} is {what}, and nothing can be merged with it")


def _parted(held: Resource, shape: _Shape) -> Resource:
    """The part of the resource or backbone element that fits."""
    view = dict(held)
    for name, kind in (*shape.follows.items(), *shape.stays.items()):
        if name in held and not isinstance(held[name], kind):
            del view[name]
    for name in shape.lists:
        _put(view, name, list(objects(held.get(name))))
    for name, inner in shape.keyed.items():
        if isinstance(held.get(name), list):
            known, _ = _keyed(held[name])
            _put(view, name, [one if _is_sound(one, inner) else _parted(one, inner) for one in known.values()])
        else:
            view.pop(name, None)
    return view | {name: view[name] - count for name, count in _odd_counts(held, shape).items() if name in view}


def _put(view: Resource, name: str, items: list[Resource]) -> None:
    if items:
        view[name] = items
    else:
        view.pop(name, None)


def _joined(view: Resource, original: Resource, shape: _Shape) -> Resource:
    result = dict(view)
    for names, is_replaced in ((shape.follows, True), (shape.stays, False)):
        for name, kind in names.items():
            if name in original and not isinstance(original[name], kind):
                _keep(result, name, original[name], is_replaced=is_replaced)
    for name in shape.lists:
        _join_list(result, original, name)
    for name, inner in shape.keyed.items():
        if isinstance(original.get(name), list):
            _join_keyed(result, original, name, inner)
        elif name in original:
            result.setdefault(name, original[name])
    counts = _odd_counts(original, shape).items()
    return result | {name: result[name] + count for name, count in counts if isinstance(result.get(name), int)}


def _join_list(result: Resource, original: Resource, name: str) -> None:
    if isinstance(original.get(name), list):
        _insert(result, name, [(at, one) for at, one in enumerate(original[name]) if not isinstance(one, dict)])
        if not original[name]:
            result.setdefault(name, [])
    elif name in original:
        _keep(result, name, original[name], is_replaced=False)


def _odd_counts(held: Resource, shape: _Shape) -> dict[str, int]:
    """What was set aside of series and instances, by the count in which it is included: it is in the resource."""
    if "instance" in shape.keyed:
        return {"numberOfInstances": sum(isinstance(one, dict) for _, one in _odd_of(held, "instance"))}
    if "series" in shape.keyed and isinstance(held.get("series"), list):
        odd = [one for _, one in _odd_of(held, "series") if isinstance(one, dict)]
        known = _keyed(held["series"])[0].values()
        inside = sum(_odd_counts(one, _SERIES)["numberOfInstances"] for one in known)
        return {"numberOfSeries": len(odd), "numberOfInstances": inside + sum(map(_number_of_instances, odd))}
    return {}


def _odd_of(held: Resource, name: str) -> list[tuple[int, Any]]:
    return _keyed(held[name])[1] if isinstance(held.get(name), list) else []


def _number_of_instances(series: Resource) -> int:
    counted, listed = series.get("numberOfInstances"), series.get("instance")
    if isinstance(counted, int):
        return counted
    return sum(isinstance(one, dict) for one in listed) if isinstance(listed, list) else 0


def _keep(result: Resource, name: str, value: Any, *, is_replaced: bool) -> None:
    """Puts the original value back, unless it is null or replaced, and there is another."""
    if is_replaced or value is None:
        result.setdefault(name, value)
    else:
        result[name] = value


def _join_keyed(result: Resource, original: Resource, name: str, inner: _Shape) -> None:
    known, odd = _keyed(original[name])
    items = [_joined_item(one, known.get(one["uid"]), inner) for one in result.get(name, ())]
    there = {one["uid"] for one in items}
    for uid, one in known.items():  # what DICOM no longer has goes, except what was set aside in it
        if uid not in there and (bare := _odd_alone(one, inner)):
            items.append(bare)
    _put(result, name, items)
    _insert(result, name, odd)
    if not original[name]:
        result.setdefault(name, [])


def _joined_item(item: Resource, original: Resource | None, shape: _Shape) -> Resource:
    return item if original is None or _is_sound(original, shape) else _joined(item, original, shape)


def _odd_alone(series: Resource, shape: _Shape) -> Resource | None:
    for name in shape.keyed:
        if isinstance(series.get(name), list) and (odd := _keyed(series[name])[1]):
            return {**series, name: [one for _, one in odd]}
    return None


def _keyed(items: Sequence[Any]) -> tuple[dict[str, Resource], list[tuple[int, Any]]]:
    """The items by `uid`; and those without one, or with that of an earlier item, with their indexes."""
    known: dict[str, Resource] = {}
    odd: list[tuple[int, Any]] = []
    for at, one in enumerate(items):
        uid = one.get("uid") if isinstance(one, dict) else None
        if isinstance(uid, str) and uid not in known:
            known[uid] = one
        else:
            odd.append((at, one))
    return known, odd


def _insert(result: Resource, name: str, odd: Sequence[tuple[int, Any]]) -> None:
    if odd:
        items = list(result.get(name, ()))
        for at, one in odd:
            items.insert(at, one)
        result[name] = items
