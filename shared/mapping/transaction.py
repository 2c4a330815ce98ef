"""What is to be written -> one transaction Bundle (FHIR R4, http.html#transaction)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from shared.model import Resource

_ESCAPED = str.maketrans({"\\": "\\\\", "|": "\\|", ",": "\\,", "$": "\\$"})


@dataclass(frozen=True, slots=True)
class Create:
    """A resource to create unless a search for `if_none_exist` finds one. `name` is its `urn:uuid:`."""

    name: str
    resource: Resource
    if_none_exist: str


@dataclass(frozen=True, slots=True)
class Update:
    """A resource to replace, if it is still the version that we read."""

    resource: Resource


@dataclass(frozen=True, slots=True)
class Delete:
    """A resource to delete, if it is still the version that we read."""

    resource: Resource


Write = Create | Update | Delete


def transaction_bundle(writes: Sequence[Write]) -> Resource:
    """The Bundle; its entries stand in the order of `writes`, and so do the answer's."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(write) for write in writes]}


def identifier_query(system: str, value: str) -> str:
    """`identifier=system|value`, escaped for a token search (search.html#escaping) and for a URL."""
    return f"identifier={quote(_escape(system) + '|' + _escape(value), safe='')}"


def endpoint_query(name: str, system: str, code: str) -> str:
    """The search that finds our Endpoint again: by its whole name and its connection type."""
    return f"name:exact={quote(_escape(name), safe='')}&connection-type={quote(f'{system}|{code}', safe='')}"


def coded_query(system: str, values: Sequence[str], coding: Mapping[str, str]) -> str:
    """The search for what has all of these identifiers, and this code."""
    queries = [identifier_query(system, value) for value in values]
    code = quote(f"{_escape(coding['system'])}|{_escape(coding['code'])}", safe="")
    return "&".join([*queries, f"code={code}"])


def _escape(text: str) -> str:
    return text.translate(_ESCAPED)


def _entry(write: Write) -> Resource:
    resource = write.resource
    if isinstance(write, Create):
        request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": write.if_none_exist}
        return {"fullUrl": write.name, "resource": resource, "request": request}
    url = f"{resource['resourceType']}/{resource['id']}"
    request = {"url": url, "ifMatch": f'W/"{resource["meta"]["versionId"]}"'}
    if isinstance(write, Delete):
        return {"request": {"method": "DELETE", **request}}
    return {"resource": resource, "request": {"method": "PUT", **request}}
