"""Writes -> one transaction Bundle (FHIR R4, http.html#transaction), and what its answer says became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from shared.mapping.held import ODD, text, whole
from shared.model.fhir import Resource, Written

_LINKS = ("subject", "endpoint")
"""The elements of an ImagingStudy that link to resources of the same transaction."""
_ESCAPED = str.maketrans({"\\": "\\\\", "|": "\\|", ",": "\\,", "$": "\\$"})


@dataclass(frozen=True, slots=True)
class Create:
    """A resource to create, unless the search `if_none_exist` finds one; if that is empty, in any case.

    `name`: its `urn:uuid:`. `query`: the search that the app finds it by.
    """

    name: str
    resource: Resource
    if_none_exist: str
    query: str


@dataclass(frozen=True, slots=True)
class Update:
    """A resource to replace, if it is still the version that was read. `query`: the search that finds it."""

    resource: Resource
    query: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """A resource to delete, if it is still the version that was read. `query`: the search that finds it.

    Not all servers heed If-Match on a delete, so it is first replaced by `marked`, which says that it is to be deleted.
    """

    resource: Resource
    marked: Resource
    query: str = ""


Write = Create | Update | Delete


def name_of(write: Write) -> str:
    """What identifies a write within its transaction: the name of a create, else the reference."""
    return write.name if isinstance(write, Create) else reference_of(write.resource)


def reference_of(resource: Resource) -> str:
    """The reference to a resource, `Patient/7`."""
    return f"{resource['resourceType']}/{resource['id']}"


def as_they_stand(writes: Sequence[Write]) -> list[Write]:
    """The writes with all that was set aside when the resources were read; without those that change nothing."""
    return [whole_ for write in writes if (whole_ := _whole(write)) is not None]


def _whole(write: Write) -> Write | None:
    original = write.resource.get(ODD)
    if original is None:
        return write
    written_ = replace(write, resource=whole(write.resource))
    if isinstance(written_, Delete):
        return replace(written_, marked=whole(written_.marked))
    return None if written_.resource == original else written_


def marking(writes: Sequence[Write]) -> list[Write]:
    """The writes of the first transaction: what is to be deleted is marked, unless it is marked already."""
    marked = [Update(one.marked, one.query) if isinstance(one, Delete) else one for one in writes]
    return [new for new, old in zip(marked, writes, strict=True) if new.resource != old.resource or new is old]


def written(writes: Sequence[Write], answers: Sequence[Written]) -> list[Resource | None]:
    """The resources as the server holds them now; None if deleted, or if its answer gives no reference or version.

    Names inside the bundle (`urn:uuid:...`) are replaced by the references that they became.
    """
    pairs = list(zip(writes, answers, strict=True))
    names = {write.name: one.reference for write, one in pairs if isinstance(write, Create) and one.reference}
    references = [one.reference or (None if isinstance(write, Create) else name_of(write)) for write, one in pairs]
    return [
        _held(write.resource, reference, one.version, names)
        if reference and one.version and not isinstance(write, Delete)
        else None
        for (write, one), reference in zip(pairs, references, strict=True)
    ]


def _held(resource: Resource, reference: str, version: str, names: Mapping[str, str]) -> Resource:
    meta = {**resource.get("meta", {}), "versionId": version}
    linked = {name: _linked(value, names) for name, value in resource.items() if name in _LINKS}
    return {**resource, **linked, "id": reference.split("/")[1], "meta": meta}


def _linked(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_linked(item, names) for item in value]
    if isinstance(value, dict) and (reference := names.get(text(value.get("reference")))):
        return {**value, "reference": reference}
    return value


def transaction_bundle(writes: Sequence[Write]) -> Resource:
    """The Bundle, with its entries in the order of `writes`; those of its answer have the same order."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(write) for write in writes]}


@lru_cache(maxsize=1024)
def identifier_query(system: str, value: str) -> str:
    """`identifier=system|value`, escaped for a token search (search.html#escaping) and for a URL."""
    return f"identifier={quote(_escape(system) + '|' + _escape(value), safe='')}"


def value_query(value: str) -> str:
    """`identifier=value`, with any system."""
    return f"identifier={quote(_escape(value), safe='')}"


def tag_query(system: str, code: str) -> str:
    """`_tag=system|code`, escaped in the same way."""
    return f"_tag={quote(_escape(system) + '|' + _escape(code), safe='')}"


def source_query(url: str) -> str:
    """`_source=url`, escaped in the same way."""
    return f"_source={quote(_escape(url), safe='')}"


@lru_cache(maxsize=1024)
def endpoint_query(name: str, system: str, code: str) -> str:
    """The search that finds our Endpoint again: by its whole name and its connection type."""
    # HAPI answers 500 to a condition that begins with a modifier, and takes it behind another parameter.
    return f"connection-type={quote(f'{system}|{code}', safe='')}&name:exact={quote(_escape(name), safe='')}"


def _escape(text: str) -> str:
    return text.translate(_ESCAPED)


def _entry(write: Write) -> Resource:
    resource = write.resource
    if isinstance(write, Create):
        request = {"method": "POST", "url": resource["resourceType"]}
        request |= {"ifNoneExist": write.if_none_exist} if write.if_none_exist else {}
        return {"fullUrl": write.name, "resource": resource, "request": request}
    url = reference_of(resource)
    request = {"url": url, "ifMatch": f'W/"{resource["meta"]["versionId"]}"'}
    if isinstance(write, Delete):
        return {"request": {"method": "DELETE", **request}}
    return {"resource": resource, "request": {"method": "PUT", **request}}
