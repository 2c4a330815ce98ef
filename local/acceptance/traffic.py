"""Records the app's requests to the FHIR server: counts writes, and notes in the ledger what they create."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from local.acceptance.ledger import Ledger
from local.acceptance.server import BAD_REQUEST, Resource, created, reference_of
from shared.app import App
from shared.clients.http import HttpService

_CREATE = "POST"


@dataclass(frozen=True, slots=True)
class SentWrite:
    """A transaction, or a single write. `size`: bytes of the body; `status`: of the answer."""

    entries: int
    size: int
    status: int


class Traffic:
    """The requests of all hosts of a run. Threads may share it. `calls`: how many requests were sent."""

    def __init__(self, ledger: Ledger) -> None:
        self.calls = 0
        self.writes: list[SentWrite] = []
        self.touched: dict[str, None] = {}
        """`Type/id` of resources that were updated or deleted; an ordered set."""
        self._ledger = ledger
        self._lock = threading.Lock()
        self._pending_act: tuple[bytes, Callable[[], None]] | None = None

    def watch(self, app: App) -> None:
        """Records what the app sends from now on."""
        service = getattr(app.ports.fhir, "service", None)
        assert isinstance(service, HttpService)
        session: requests.Session = service._session  # noqa: SLF001 the only place where all requests pass
        session.hooks["response"].append(self._record)

    def act_after_read(self, text: str, act: Callable[[], None]) -> None:
        """Calls `act` once, after the next read whose answer has the text, before the app gets that answer."""
        self._pending_act = text.encode(), act

    @property
    def has_acted(self) -> bool:
        """Whether `act` was called."""
        return self._pending_act is None

    def _record(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Records a request, in the thread that sent it, and calls `act` if this is the answer that it waits for."""
        entries = _written(response.request)
        with self._lock:
            self.calls += 1
            if entries:
                size = len(response.request.body or b"")
                self.writes.append(SentWrite(len(entries), size, response.status_code))
                self.touched |= dict.fromkeys(filter(None, map(_touched, entries)))
        if entries:
            if response.status_code < BAD_REQUEST:
                self._ledger.was_made(_created_in(response))
            return
        with self._lock:
            wanted, act = self._pending_act or (None, None)
            if wanted is None or wanted not in response.content:
                return
            self._pending_act = None
        assert act
        act()


def _written(request: requests.PreparedRequest) -> list[Resource]:
    """The entries of a transaction or batch that write; of another request that writes, one entry like these."""
    path = (request.path_url or "").partition("?")[0]
    if request.method in (None, "GET", "HEAD") or path.endswith("/_search"):
        return []
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        body = {}
    if request.method == _CREATE and body.get("resourceType") == "Bundle":
        return [one for one in body.get("entry", []) if one.get("request", {}).get("method") != "GET"]
    return [{"request": {"method": request.method, "url": path}}]


def _touched(entry: Resource) -> str | None:
    request = entry.get("request", {})
    return None if request.get("method") == _CREATE else reference_of(str(request.get("url", "")).partition("?")[0])


def _created_in(response: requests.Response) -> list[str]:
    try:
        answer = response.json()
    except ValueError:
        return []
    entries = answer.get("entry", []) if isinstance(answer, dict) else []
    return [one for one in map(created, entries) if one]
