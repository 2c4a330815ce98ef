"""The manners of FHIR servers, each a function or class of its own (tests/integration/manners/proxy.py)."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

from tests.integration.manners.proxy import Answer, Manner, PassOn, Request, refusal

TAG_SYSTEM = "urn:dicom-cast:source"
"""Of the sign on what the app made, beside `meta.source`; its code is what `meta.source` says."""
HAPI_CONFLICT = "HAPI-0550: HAPI-0989: Trying to update {url}/_history/{version} but this is not the current version"
HAPI_LINKED = (
    "Unable to delete {url} because at least one resource has a reference to this resource."
    " First reference found was resource {by} in path {path}"
)
HAPI_MATCH_URL = (
    "HAPI-0389: Failed to call access method: java.lang.IllegalArgumentException:"
    ' Invalid match URL format (must match "[resourceType]?[params]")'
)
MEDPLUM_ISOLATION = "Transaction requires strict isolation but has too many entries"
MEDPLUM_UPDATES = "Transaction contains more update operations than allowed"


def several(*manners: Manner) -> Manner:
    """All of them, the outermost first."""

    def all_of_them(request: Request, pass_on: PassOn) -> Answer:
        through = pass_on
        for manner in reversed(manners):
            through = _before(manner, through)
        return through(request)

    return all_of_them


def _before(manner: Manner, pass_on: PassOn) -> PassOn:
    return lambda request: manner(request, pass_on)


# What an answer says of versions, ids and places


def versionless_searches(request: Request, pass_on: PassOn) -> Answer:
    """`meta.versionId` is optional; the version stands in the `ETag` of a read."""
    answer = pass_on(request)
    return _without(answer, request, ("versionId",), ("versionId",))


def searches_without_meta(request: Request, pass_on: PassOn) -> Answer:
    """`meta` is optional; a read has it, but for the version, which stands in its `ETag`."""
    answer = pass_on(request)
    return _without(answer, request, ("versionId",), None)


def _without(answer: Answer, request: Request, of_read: tuple[str, ...], of_search: tuple[str, ...] | None) -> Answer:
    """Without these elements of `meta`; None: without `meta`."""
    if answer.is_searchset:
        return answer.with_found([_less_meta(one, of_search) for one in answer.found])
    if request.is_read and answer.is_good:
        return replace(answer, body=_less_meta(answer.body, of_read))
    return answer


def _less_meta(resource: Mapping[str, Any], names: tuple[str, ...] | None) -> dict[str, Any]:
    if names is None:
        return {name: value for name, value in resource.items() if name != "meta"}
    return {**resource, "meta": {name: value for name, value in resource.get("meta", {}).items() if name not in names}}


def prefer_ignored(request: Request, pass_on: PassOn) -> Answer:
    """The answer to a transaction holds the resources; a server need not honour `Prefer: return=minimal`."""
    headers = {name: value for name, value in request.headers.items() if name != "prefer"}
    return pass_on(replace(request, headers=headers))


def version_in_etag_alone(request: Request, pass_on: PassOn) -> Answer:
    """`location` without `_history`."""
    return pass_on(request).with_responses(
        lambda entry: _with_response(entry, location=entry["response"].get("location", "").split("/_history")[0])
    )


def no_location(request: Request, pass_on: PassOn) -> Answer:
    """`response.location` is optional."""
    return pass_on(request).with_responses(lambda entry: _with_response(entry, location=None))


def no_location_nor_etag(request: Request, pass_on: PassOn) -> Answer:
    """Both are optional: what became of a write is to be read."""
    return pass_on(request).with_responses(lambda entry: _with_response(entry, location=None, etag=None))


def bare_status(request: Request, pass_on: PassOn) -> Answer:
    """`201`, without `Created`; and `200`."""
    return pass_on(request).with_responses(
        lambda entry: _with_response(entry, status=entry["response"]["status"].split()[0])
    )


def _with_response(entry: Mapping[str, Any], **elements: str | None) -> dict[str, Any]:
    """The entry with these elements of its response; None takes one out."""
    response = {name: value for name, value in {**entry["response"], **elements}.items() if value}
    return {**entry, "response": response}


_UUID = re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")


def ids_change_case(request: Request, pass_on: PassOn) -> Answer:
    """Ids are one whatever their letter case: capitals in `location`, small letters in all else that it answers."""
    answer = pass_on(_small_ids(request))
    return answer.with_responses(
        lambda entry: _with_response(
            entry, location=_UUID.sub(lambda found: found[0].upper(), entry["response"].get("location", ""))
        )
    )


def _small_ids(request: Request) -> Request:
    path = _UUID.sub(lambda found: found[0].lower(), request.path)
    return replace(request, path=path, body=_small(request.body))


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _small(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_small(one) for one in value]
    return _UUID.sub(lambda found: found[0].lower(), value) if isinstance(value, str) else value


# Limits


@dataclass
class Limited:
    """Transactions of so many entries at most, as Medplum's router refuses them.

    `isolated`: where any entry has `ifNoneExist`; `updates`: of PUT, PATCH and DELETE.
    """

    isolated: int = 8
    updates: int = 50

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        asked = [entry["request"] for entry in request.writes] if request.is_transaction else []
        if len(asked) > self.isolated and any("ifNoneExist" in one for one in asked):
            return _refused_by_medplum(MEDPLUM_ISOLATION)
        if sum(one["method"] != "POST" for one in asked) > self.updates:
            return _refused_by_medplum(MEDPLUM_UPDATES)
        return pass_on(request)


def _refused_by_medplum(text: str) -> Answer:
    issue = {"severity": "error", "code": "invalid", "details": {"text": text}}
    return Answer(400, {"resourceType": "OperationOutcome", "issue": [issue]})


@dataclass
class Small:
    """Requests of so many bytes at most: 413, as a gateway answers, without an OperationOutcome."""

    size: int

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        return Answer(413, "<html>Request Entity Too Large</html>") if request.size > self.size else pass_on(request)


@dataclass
class LongUrlsRefused:
    """A GET whose URL has more characters is refused, as servlet containers (400) and proxies (414) do."""

    status: int
    limit: int = 2000

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if request.method == "GET" and len(request.path) > self.limit and not request.is_inner:
            return Answer(self.status, "<html>HTTP Status 400</html>")
        return pass_on(request)


def no_post_search(request: Request, pass_on: PassOn) -> Answer:
    """`POST [type]/_search` is 405; a GET of any length is taken."""
    if request.method == "POST" and request.is_search:
        return refusal(405, "POST is not allowed here", "not-supported")
    return pass_on(request)


# Batches and the CapabilityStatement


@dataclass
class Stating:
    """Another CapabilityStatement: `edit` is given the real one."""

    edit: Callable[[dict[str, Any]], dict[str, Any]]

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        return replace(answer, body=self.edit(answer.body)) if request.is_statement and answer.is_good else answer


def client_first(statement: dict[str, Any]) -> dict[str, Any]:
    """`rest` has an entry for when the server is a client itself, before that of the server."""
    return {**statement, "rest": [{"mode": "client", "interaction": [{"code": "search-system"}]}, *statement["rest"]]}


def no_interactions(statement: dict[str, Any]) -> dict[str, Any]:
    """`rest.interaction` is optional."""
    return {
        **statement,
        "rest": [{name: one[name] for name in one if name != "interaction"} for one in statement["rest"]],
    }


def no_software(statement: dict[str, Any]) -> dict[str, Any]:
    """`software` and `implementation` are optional."""
    return {name: value for name, value in statement.items() if name not in ("software", "implementation")}


def batch_not_stated(statement: dict[str, Any]) -> dict[str, Any]:
    """As HAPI: `transaction` alone, although batches are taken."""
    return {**statement, "rest": [{**one, "interaction": [{"code": "transaction"}]} for one in statement["rest"]]}


def batch_refused(request: Request, pass_on: PassOn) -> Answer:
    """400, whatever it states."""
    return refusal(400, "Bundle.type must be transaction", "not-supported") if request.is_batch else pass_on(request)


# Conditional writes


def identifiers_alone_if_none_exist(request: Request, pass_on: PassOn) -> Answer:
    """As Google's API documents its conditional create: by `identifier`, by nothing else."""
    for entry in request.writes:
        names = [name for name, _ in parse_qsl(entry["request"].get("ifNoneExist", ""))]
        if set(names) - {"identifier"}:
            return refusal(400, "conditional create supports only the identifier parameter", "not-supported")
    return pass_on(request)


def no_modifier_first_if_none_exist(request: Request, pass_on: PassOn) -> Answer:
    """As HAPI 8.8: 500 where the first parameter has a modifier."""
    for entry in request.writes:
        if ":" in entry["request"].get("ifNoneExist", "").partition("=")[0]:
            return refusal(500, HAPI_MATCH_URL)
    return pass_on(request)


@dataclass
class StaleAnswered:
    """What a stale `If-Match` is answered instead of 412; of what is not there at all, a 500 would be no lost race."""

    status: int

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        if answer.status != 412:
            return answer
        guarded = next(entry["request"] for entry in request.writes if "ifMatch" in entry["request"])
        if self.status >= 500 and pass_on(Request("GET", f"/{guarded['url']}")).status == 404:
            return answer
        version = guarded["ifMatch"].removeprefix("W/").strip('"')
        return refusal(self.status, HAPI_CONFLICT.format(url=guarded["url"], version=version))


def if_match_on_delete(request: Request, pass_on: PassOn) -> Answer:
    """412 where the resource has another version; the real server ignores it there, as HAPI does."""
    for entry in request.writes:
        asked = entry["request"]
        if asked["method"] == "DELETE" and "ifMatch" in asked:
            held = pass_on(Request("GET", f"/{asked['url']}"))
            if held.headers.get("etag") != asked["ifMatch"]:
                return refusal(412, f"version conflict at {asked['url']}", "conflict")
    return pass_on(request)


def put_creates(request: Request, pass_on: PassOn) -> Answer:
    """As HAPI: a PUT with `ifMatch` for an id that never was creates it."""
    entries = []
    for entry in request.writes:
        asked = entry["request"]
        if asked["method"] == "PUT" and "ifMatch" in asked:
            history = pass_on(Request("GET", f"/{asked['url']}/_history"))
            if not history.is_good or not history.body.get("entry"):
                asked = {name: value for name, value in asked.items() if name != "ifMatch"}
        entries.append({**entry, "request": asked})
    return pass_on(request.with_writes(entries)) if entries else pass_on(request)


def deleted_is_made_again(request: Request, pass_on: PassOn) -> Answer:
    """A PUT of what was deleted makes it again, as without `ifMatch` (R4 http.html#delete), whatever `ifMatch` says."""
    entries = []
    for entry in request.writes:
        asked = entry["request"]
        if asked["method"] == "PUT" and pass_on(Request("GET", f"/{asked['url']}")).status in (404, 410):
            asked = {name: value for name, value in asked.items() if name != "ifMatch"}
        entries.append({**entry, "request": asked})
    return pass_on(request.with_writes(entries)) if entries else pass_on(request)


@dataclass
class LinkedTo:
    """Referential integrity: an ImagingStudy is not deleted while `by` links to it; the text is HAPI's."""

    by: str = "DiagnosticReport/2"
    path: str = "DiagnosticReport.imagingStudy"
    is_linked: bool = True

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        for entry in request.writes if self.is_linked else ():
            asked = entry["request"]
            if asked["method"] == "DELETE" and asked["url"].startswith("ImagingStudy/"):
                return refusal(409, HAPI_LINKED.format(url=asked["url"], by=self.by, path=self.path))
        return pass_on(request)


# What searches see


@dataclass
class Cached:
    """As HAPI: a search is answered for 60 s as it was first, unless asked with `Cache-Control: no-cache`."""

    seconds: float = 60
    held: dict[Any, tuple[float, Answer]] = field(default_factory=dict)

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if not request.is_search or "no-cache" in request.headers.get("cache-control", ""):
            return pass_on(request)
        key = (request.names[0], *sorted(request.query))
        at, answer = self.held.get(key, (0.0, None))
        if answer is None or time.monotonic() - at > self.seconds:
            answer = pass_on(request)
            self.held[key] = time.monotonic(), answer
        return answer


@dataclass
class Lagging:
    """Searches, also those of a conditional create, see the server as it was so many seconds ago; reads are current."""

    seconds: float

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if request.is_search:
            return self._late(request, pass_on)
        entries = []
        for entry in request.writes:
            asked = entry["request"]
            if query := asked.get("ifNoneExist"):
                seen = self._late(Request("GET", f"/{asked['url']}?{query}"), pass_on)
                asked = asked if seen.found else {name: asked[name] for name in asked if name != "ifNoneExist"}
            entries.append({**entry, "request": asked})
        return pass_on(request.with_writes(entries) if entries else request)

    def _late(self, request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(request)
        if not answer.is_searchset:
            return answer
        seen_at = (datetime.now(UTC) - timedelta(seconds=self.seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        found = [_as_of(one, seen_at, pass_on) for one in answer.found if one["meta"]["lastUpdated"] > seen_at]
        old = [one for one in answer.found if one["meta"]["lastUpdated"] <= seen_at]
        gone = _deleted_since(request, seen_at, pass_on)
        late = old + [one for one in found + gone if one is not None]
        return answer if late == answer.found else answer.with_found(late)


def _as_of(resource: Mapping[str, Any], moment: str, pass_on: PassOn) -> dict[str, Any] | None:
    """The resource as it was then; None where it was not there."""
    history = pass_on(Request("GET", f"/{resource['resourceType']}/{resource['id']}/_history?_count=100"))
    versions = [entry for entry in history.body.get("entry", []) if entry["response"]["lastModified"] <= moment]
    return versions[0].get("resource") if versions else None


def _deleted_since(request: Request, moment: str, pass_on: PassOn) -> list[dict[str, Any] | None]:
    """What the search would have found then, of what was deleted since."""
    history = pass_on(Request("GET", f"/{request.names[0]}/_history?_since={quote(moment)}&_count=500"))
    entries = [entry for entry in history.body.get("entry", []) if entry["request"]["method"] == "DELETE"]
    then = []
    for entry in entries:
        resource_type, resource_id = entry["request"]["url"].split("/")
        then.append(_as_of({"resourceType": resource_type, "id": resource_id}, moment, pass_on))
    return [one for one in then if one is not None and _is_identified(one, request.query)]


def _is_identified(resource: Mapping[str, Any], query: list[tuple[str, str]]) -> bool:
    asked = [value for name, value in query if name == "identifier"]
    held = [f"{one.get('system', '')}|{one.get('value')}" for one in resource.get("identifier", [])]
    return bool(asked) and all(set(value.split(",")) & set(held) for value in asked)


@dataclass
class Racy:
    """As Azure's server (#1382): conditional create is a search and then an insert, without a lock.

    The first transactions that would make an Endpoint wait for each other between the two, until so many are there or
    none has come for a while. `between` is done once, between the two, for a transaction that makes an ImagingStudy.
    """

    at_once: int = 1
    patience_seconds: float = 0.5
    waiting: int = 0
    between: Callable[[], object] | None = None
    is_open: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        entries, missing = [], set()
        for entry in request.writes:
            asked = entry["request"]
            query = asked.get("ifNoneExist")
            if query and not pass_on(Request("GET", f"/{asked['url']}?{query}")).found:
                missing.add(asked["url"])
                asked = {name: asked[name] for name in asked if name != "ifNoneExist"}
            entries.append({**entry, "request": asked})
        if "Endpoint" in missing:
            self._meet()
        if "ImagingStudy" in missing and self.between:
            between, self.between = self.between, None
            between()
        return pass_on(request.with_writes(entries) if entries else request)

    def _meet(self) -> None:
        with self.lock:
            self.waiting += 1
            if self.waiting >= self.at_once:
                self.is_open.set()
        self.is_open.wait(self.patience_seconds)
        self.is_open.set()


# What is kept of `meta`


def source_dropped(request: Request, pass_on: PassOn) -> Answer:
    """As HAPI's Docker image: `meta.source` is not stored; the answer to a write echoes it."""
    return pass_on(_with_meta(request, lambda meta: {name: meta[name] for name in meta if name != "source"}))


def source_with_request_id(request: Request, pass_on: PassOn) -> Answer:
    """As HAPI where it stores `meta.source`: it appends the id of the request."""
    return pass_on(
        _with_meta(
            request,
            lambda meta: meta | ({"source": f"{meta['source'].split('#')[0]}#GjERQ2DQ"} if "source" in meta else {}),
        )
    )


def _with_meta(request: Request, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Request:
    entries = []
    for entry in request.writes:
        resource = entry.get("resource", {})
        if "meta" in resource:
            meta = edit(resource["meta"])
            resource = {name: value for name, value in resource.items() if name != "meta"} | (
                {"meta": meta} if meta else {}
            )
        entries.append({**entry, "resource": resource} if resource else entry)
    return request.with_writes(entries) if entries else request


# One study's own fault


@dataclass
class Failing:
    """A transaction that speaks of `text` is answered so each time, as Azure's server does for a fault of content."""

    text: str
    status: int

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if self.text in repr(request.writes):
            return refusal(self.status, "The request could not be processed.", "exception")
        return pass_on(request)


@dataclass
class Refusing:
    """While `is_on`, a transaction of which an entry fits `strikes` is answered so."""

    strikes: Callable[[Mapping[str, Any]], bool]
    status: int
    is_on: bool = True

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if self.is_on and request.is_transaction and any(map(self.strikes, request.writes)):
            return refusal(self.status, "The request could not be processed.", "exception")
        return pass_on(request)


@dataclass
class Firewall:
    """A web application firewall before the server: 403 to what has the word in its URL or body, and no more said."""

    word: str

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        return Answer(403) if self.word in f"{request.path} {request.body}" else pass_on(request)


def newest_first(request: Request, pass_on: PassOn) -> Answer:
    """R4 promises no order of what a search finds; the real server gives the oldest first."""
    answer = pass_on(request)
    return answer.with_found(answer.found[::-1]) if len(answer.found) > 1 else answer


# Pages


@dataclass
class Paged:
    """Searches are answered in pages of two; `link` makes the URL of the next of a token: it is opaque to a client.

    `inner` is the base that the CapabilityStatement names instead of the URL that clients know.
    """

    link: Callable[[str], str]
    inner: str = ""
    held: dict[str, Request] = field(default_factory=dict)
    is_endless: bool = False

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if request.is_statement and self.inner:
            answer = pass_on(request)
            return replace(answer, body={**answer.body, "implementation": {"url": self.inner, "description": "inner"}})
        if request.method == "GET" and (token := dict(request.query).get("_getpages")):
            is_here = request.names in ([], ["Observation"]) and token in self.held
            return self._page(self.held[token], pass_on) if is_here else refusal(404, "no page is here")
        if not request.is_search:
            return pass_on(request)
        path = f"/{request.names[0]}?{'&'.join(f'{name}={quote(value)}' for name, value in request.query if name != '_count')}"
        return self._page(Request("GET", f"{path}&_count=2", request.headers), pass_on)

    def _page(self, asked: Request, pass_on: PassOn) -> Answer:
        answer = pass_on(asked)
        offset = int(dict(asked.query).get("_offset", "0"))
        is_endless = self.is_endless and asked.names == ["Observation"]
        is_last = not is_endless and offset + 2 >= answer.body.get("total", 0)
        links = (
            [] if is_last or not answer.found else [{"relation": "next", "url": self.link(self._token(asked, offset))}]
        )
        return replace(answer, body={**answer.body, "link": links})

    def _token(self, asked: Request, offset: int) -> str:
        token = f"t{len(self.held)}"
        path = asked.path.split("&_offset=")[0] + ("" if self.is_endless else f"&_offset={offset + 2}")
        self.held[token] = replace(asked, path=path)
        return token
