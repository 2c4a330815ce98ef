"""A proxy before the real FHIR server that gives it the manners of others.

A manner sees each request with its parsed content, and may answer itself, change the request or change the answer:
`manner(request, pass_on) -> Answer`, where `pass_on(request)` asks the next manner, the last of them the real server.
A batch comes apart into its searches, each of which goes through the manners too.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from tests.integration.faults.proxy import HOP_BY_HOP, Handler, Proxy, serving

BASE = "/fhir"
FHIR_JSON = "application/fhir+json"
REASONS = {200: "200 OK", 400: "400 Bad Request", 404: "404 Not Found"}


@dataclass(frozen=True)
class Request:
    """`path` is below the base, with its query; the names of `headers` are lower case; `body` is JSON or form text.

    `size` is in bytes; `is_inner`: of a batch, or a manner's own.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    size: int = 0
    is_inner: bool = True

    @property
    def names(self) -> list[str]:
        return [name for name in urlsplit(self.path).path.split("/") if name]

    @property
    def query(self) -> list[tuple[str, str]]:
        form = self.body if isinstance(self.body, str) else ""
        return parse_qsl(urlsplit(self.path).query, keep_blank_values=True) + parse_qsl(form, keep_blank_values=True)

    @property
    def is_statement(self) -> bool:
        return self.names == ["metadata"]

    @property
    def is_search(self) -> bool:
        if self.method == "POST":
            return self.names[1:] == ["_search"]
        return self.method == "GET" and len(self.names) == 1 and not self.is_statement

    @property
    def is_read(self) -> bool:
        return self.method == "GET" and len(self.names) == 2

    @property
    def is_batch(self) -> bool:
        return self._is_bundle("batch")

    @property
    def is_transaction(self) -> bool:
        return self._is_bundle("transaction")

    @property
    def writes(self) -> list[dict[str, Any]]:
        """The entries of a transaction; one like them for a create, update or delete by itself."""
        if self.is_transaction:
            return list(self.body.get("entry", []))
        if self.method not in ("POST", "PUT", "DELETE") or self.is_batch or self.is_search:
            return []
        asked = {"method": self.method, "url": self.path.lstrip("/")}
        asked |= {name: self.headers[header] for name, header in _CONDITIONS.items() if header in self.headers}
        return [{"request": asked} | ({"resource": self.body} if isinstance(self.body, dict) else {})]

    def with_writes(self, entries: Sequence[Mapping[str, Any]]) -> "Request":
        if self.is_transaction:
            return replace(self, body={**self.body, "entry": list(entries)})
        if not entries:
            return self
        (entry,) = entries
        asked = entry["request"]
        headers = {name: value for name, value in self.headers.items() if name not in _CONDITIONS.values()}
        headers |= {header: asked[name] for name, header in _CONDITIONS.items() if name in asked}
        return replace(self, path=f"/{asked['url']}", headers=headers, body=entry.get("resource"))

    def _is_bundle(self, kind: str) -> bool:
        return self.method == "POST" and not self.names and isinstance(self.body, dict) and self.body["type"] == kind


_CONDITIONS = {"ifMatch": "if-match", "ifNoneExist": "if-none-exist"}


@dataclass(frozen=True)
class Answer:
    """`body` is JSON; text where the server did not answer JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return self.status < 400

    @property
    def is_searchset(self) -> bool:
        return self.is_good and isinstance(self.body, dict) and self.body.get("type") == "searchset"

    @property
    def found(self) -> list[dict[str, Any]]:
        """The resources that a search found."""
        return [entry["resource"] for entry in self.body.get("entry", [])] if self.is_searchset else []

    def with_found(self, found: Sequence[Mapping[str, Any]]) -> "Answer":
        entries = [{"resource": one, "search": {"mode": "match"}} for one in found]
        return replace(self, body={**self.body, "entry": entries, "total": len(entries)})

    def with_responses(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> "Answer":
        """`edit` makes of each entry of a transaction's answer another."""
        if not self.is_good or not isinstance(self.body, dict) or self.body.get("type") != "transaction-response":
            return self
        return replace(self, body={**self.body, "entry": [edit(entry) for entry in self.body["entry"]]})


PassOn = Callable[[Request], Answer]
Manner = Callable[[Request, PassOn], Answer]


def refusal(status: int, diagnostics: str, code: str = "processing") -> Answer:
    """With an OperationOutcome, which has neither location nor expression."""
    issue = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return Answer(status, {"resourceType": "OperationOutcome", "issue": [issue]})


class ManneredProxy(Proxy):
    """`asked` grows with each request from outside, and what became of it. `before` sees each as it arrives."""

    def __init__(self, upstream: str, manners: Sequence[Manner]) -> None:
        super().__init__(upstream, _ManneredHandler)
        self.manners = list(manners)
        self.asked: list[tuple[Request, Answer]] = []
        self.before: Callable[[Request], None] = lambda request: None
        self._real = _RealServer(f"{upstream}{BASE}", self)

    def answer(self, request: Request) -> Answer:
        self.before(request)
        answer = self._through(0, request)
        self.asked.append((request, answer))
        return answer

    def transactions(self) -> list[tuple[Request, Answer]]:
        return [one for one in self.asked if one[0].is_transaction]

    def _through(self, position: int, request: Request) -> Answer:
        if position < len(self.manners):
            return self.manners[position](request, lambda changed: self._through(position + 1, changed))
        if request.is_batch:
            return Answer(
                200, {**_BATCH_RESPONSE, "entry": [self._of_batch(request, one) for one in _entries(request)]}
            )
        return self._real(request)

    def _of_batch(self, batch: Request, entry: Mapping[str, Any]) -> dict[str, Any]:
        asked = entry["request"]
        answer = self._through(0, Request(asked["method"], f"/{asked['url']}", batch.headers))
        response = {"status": REASONS.get(answer.status, str(answer.status))}
        return {"response": response} | ({"resource": answer.body} if answer.is_good else {})


_BATCH_RESPONSE = {"resourceType": "Bundle", "type": "batch-response"}


def _entries(request: Request) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = request.body.get("entry", [])
    return entries


class _RealServer:
    """The server upstream, as if its base were the proxy's: it writes its own into locations and links."""

    def __init__(self, base: str, proxy: Proxy) -> None:
        self._base, self._proxy_base = base, f"{proxy.url}{BASE}"
        self._of_thread = threading.local()

    def __call__(self, request: Request) -> Answer:
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
        body = request.body if isinstance(request.body, str) else json.dumps(request.body)
        response = self._of_thread.session.request(
            request.method,
            self._base + request.path,
            data=None if request.body is None else body.replace(self._proxy_base, self._base).encode(),
            headers={name: value for name, value in request.headers.items() if name not in HOP_BY_HOP},
            timeout=60,
        )
        headers = {
            name.lower(): value.replace(self._base, self._proxy_base) for name, value in response.headers.items()
        }
        return Answer(response.status_code, _parsed(response.text.replace(self._base, self._proxy_base)), headers)


class _ManneredHandler(Handler):
    server: ManneredProxy

    def passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = re.sub(rf"^{BASE}(?=[/?]|$)", "", self.path)
        if path == self.path:
            answer = refusal(404, "nothing is served here")
            self.server.asked.append((Request(self.command, self.path, headers), answer))
        else:
            answer = self.server.answer(
                Request(self.command, path, headers, _parsed(body.decode()), len(body), is_inner=False)
            )
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        if answer.body is None or isinstance(answer.body, str):
            return answer.status, passed, (answer.body or "").encode()
        return answer.status, passed | {"content-type": FHIR_JSON}, json.dumps(answer.body).encode()


def _parsed(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextmanager
def mannered_proxy(upstream: str, manners: Sequence[Manner]) -> Iterator[ManneredProxy]:
    """A running proxy with these manners, the outermost first."""
    with serving(ManneredProxy(upstream, manners)) as server:
        yield server
