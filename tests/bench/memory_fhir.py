"""A minimal FHIR R4 server in memory: what the sync needs of one, and quick, so that the client's own cost shows.

Search by identifier (several, by comma) and of Endpoints by name and connection type, batch and transaction bundles
with `ifNoneExist`, `ifMatch` and references by `urn:uuid:`, read, CapabilityStatement. A resource is kept as the text that
answers send. A parameter that it does not know is refused, never ignored.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

Resource = dict[str, Any]
_TOKEN = re.compile(r"((?:\\.|[^,\\])*)(?:,|$)")
_CAPABILITIES = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "kind": "instance",
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [{"mode": "server", "interaction": [{"code": "transaction"}, {"code": "batch"}]}],
}


class RefusedError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status


@dataclass(frozen=True, slots=True)
class Held:
    """A resource as it is kept. `tokens`: (parameter, system, code) by which it is found."""

    key: str
    version: int
    text: str
    tokens: frozenset[tuple[str, str, str]]


class MemoryFhir:
    """An ASGI application."""

    def __init__(self) -> None:
        self.empty()

    def empty(self) -> None:
        self._held: dict[str, Held] = {}
        self._found: dict[tuple[str, str, str, str], set[str]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        body = await request.body()
        try:
            minimal = "return=minimal" in request.headers.get("prefer", "")
            text = self._answer(request.method, scope["path"].strip("/"), scope["query_string"].decode(), body, minimal)
            response = Response(text, media_type="application/fhir+json")
        except RefusedError as error:
            outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
            outcome["issue"][0]["diagnostics"] = str(error)
            response = Response(json.dumps(outcome), error.status, media_type="application/fhir+json")
        await response(scope, receive, send)

    def _answer(self, method: str, path: str, query: str, body: bytes, minimal: bool) -> str:
        if method == "GET":
            return json.dumps(_CAPABILITIES) if path == "metadata" else self._get(path, query)
        if method != "POST" or path:
            raise RefusedError(405, "only bundles are taken, at the root")
        bundle = json.loads(body)
        entries = bundle.get("entry", [])
        if bundle["type"] == "transaction":
            answers = [self._written(*one, minimal) for one in self._transacted(entries)]
        else:
            answers = [self._batched(entry) for entry in entries]
        return f'{{"resourceType":"Bundle","type":"{bundle["type"]}-response","entry":[{",".join(answers)}]}}'

    def _get(self, path: str, query: str) -> str:
        if "/" in path:
            if path not in self._held:
                raise RefusedError(404, "no such resource")
            return self._held[path].text
        found = [held.text for held in self._search(path, query)]
        entries = ",".join(f'{{"resource":{text},"search":{{"mode":"match"}}}}' for text in found)
        entry = f',"entry":[{entries}]' if found else ""
        return f'{{"resourceType":"Bundle","type":"searchset","total":{len(found)}{entry}}}'

    def _batched(self, entry: Resource) -> str:
        path, _, query = entry["request"]["url"].partition("?")
        if entry["request"]["method"] != "GET":
            return '{"response":{"status":"405"}}'
        try:
            return f'{{"resource":{self._get(path, query)},"response":{{"status":"200 OK"}}}}'
        except RefusedError as error:
            return f'{{"response":{{"status":"{error.status}"}}}}'

    def _search(self, resource_type: str, query: str) -> list[Held]:
        keys: set[str] | None = None
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in ("_count", "_total"):
                continue
            if name not in ("identifier", "name:exact", "connection-type"):
                raise RefusedError(400, f"unknown parameter {name}")
            tokens = [_token(name, one) for one in _TOKEN.findall(value) if one]
            matches = [self._found.get((resource_type, *token), set()) for token in tokens]
            found = set().union(*matches)
            keys = found if keys is None else keys & found
        if keys is None:
            return [held for key, held in self._held.items() if key.startswith(f"{resource_type}/")]
        return [self._held[key] for key in sorted(keys)]

    def _transacted(self, entries: list[Resource]) -> list[tuple[int, Held | None]]:
        """All or nothing: what can refuse is asked of all entries before the first is written."""
        keys = [self._key(entry["request"]) for entry in entries]
        names = {
            f'"{entry["fullUrl"]}"': f'"{key}"'
            for entry, (key, _) in zip(entries, keys, strict=True)
            if "fullUrl" in entry
        }
        return [self._write(entry, *key, names) for entry, key in zip(entries, keys, strict=True)]

    def _key(self, request: Resource) -> tuple[str, bool]:
        """`Type/id` of what the entry is about, and whether it is there already."""
        if request["method"] == "POST":
            found = self._search(request["url"], request["ifNoneExist"]) if "ifNoneExist" in request else []
            if len(found) > 1:
                raise RefusedError(412, "several resources fit ifNoneExist")
            return (found[0].key, True) if found else (f"{request['url']}/{uuid4()}", False)
        held = self._held.get(request["url"])
        if "ifMatch" in request and (held is None or request["ifMatch"] != f'W/"{held.version}"'):
            raise RefusedError(412, "another version is held")
        return request["url"], held is not None

    def _write(self, entry: Resource, key: str, exists: bool, names: dict[str, str]) -> tuple[int, Held | None]:
        before = self._held.get(key)
        if entry["request"]["method"] == "POST" and exists:
            return 200, before
        resource_type, resource_id = key.split("/")
        for token in before.tokens if before else ():
            self._found[resource_type, *token].discard(key)
        if entry["request"]["method"] == "DELETE":
            self._held.pop(key, None)
            return 204, None
        version = before.version + 1 if before else 1
        resource = entry["resource"]
        resource |= {"id": resource_id, "meta": {**resource.get("meta", {}), "versionId": str(version)}}
        text = json.dumps(resource, ensure_ascii=False, separators=(",", ":"))
        for name, reference in names.items():
            text = text.replace(name, reference)
        held = self._held[key] = Held(key, version, text, frozenset(_tokens(resource)))
        for token in held.tokens:
            self._found.setdefault((resource_type, *token), set()).add(key)
        return 200 if before else 201, held

    def _written(self, status: int, held: Held | None, minimal: bool) -> str:
        if held is None:
            return f'{{"response":{{"status":"{status}"}}}}'
        response = {
            "status": str(status),
            "location": f"{held.key}/_history/{held.version}",
            "etag": f'W/"{held.version}"',
        }
        resource = "" if minimal else f'"resource":{held.text},'
        return f'{{{resource}"response":{json.dumps(response)}}}'


def _token(name: str, value: str) -> tuple[str, str, str]:
    system, bar, code = re.sub(r"\\(.)", "\\1", value).partition("|")
    return (name, system, code) if bar else (name, "", system)


def _tokens(resource: Resource) -> Iterator[tuple[str, str, str]]:
    for identifier in resource.get("identifier", []):
        yield "identifier", identifier.get("system", ""), identifier["value"]
    if resource["resourceType"] == "Endpoint":
        yield "name:exact", "", resource["name"]
        yield "connection-type", resource["connectionType"]["system"], resource["connectionType"]["code"]
