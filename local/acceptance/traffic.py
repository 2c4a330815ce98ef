"""What the app says to the FHIR server, seen where it leaves the app: writes are counted, what they make is noted."""

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
    """A transaction, or a write by itself, of so many entries and bytes."""

    entries: int
    size: int
    status: int


class Traffic:
    """Of all hosts of a run. Their threads share it."""

    def __init__(self, ledger: Ledger) -> None:
        self.calls = 0
        self.writes: list[SentWrite] = []
        self.touched: dict[str, None] = {}
        """`Type/id` of what was updated or deleted."""
        self._ledger = ledger
        self._lock = threading.Lock()
        self._between: tuple[bytes, Callable[[], None]] | None = None

    def watch(self, app: App) -> None:
        """Sees from now on what the app's ticks send, as they send it."""
        service = getattr(app.ports.fhir, "service", None)
        assert isinstance(service, HttpService)
        session: requests.Session = service._session  # noqa: SLF001 what leaves the app is seen nowhere else
        session.hooks["response"].append(self._saw)

    def between(self, text: str, act: Callable[[], None]) -> None:
        """Has `act` happen once: after the next read whose answer has the text, before the app goes on."""
        self._between = text.encode(), act

    @property
    def came_between(self) -> bool:
        """Whether that has happened."""
        return self._between is None

    def _saw(self, response: requests.Response, *_: Any, **__: Any) -> None:
        entries = _written(response.request)
        with self._lock:
            self.calls += 1
            if entries:
                size = len(response.request.body or b"")
                self.writes.append(SentWrite(len(entries), size, response.status_code))
                self.touched |= dict.fromkeys(filter(None, map(_touched, entries)))
        if entries:
            if response.status_code < BAD_REQUEST:
                self._ledger.was_made(_made(response))
            return
        with self._lock:
            wanted, act = self._between or (None, None)
            if wanted is None or wanted not in response.content:
                return
            self._between = None
        assert act
        act()


def _written(request: requests.PreparedRequest) -> list[Resource]:
    """The entries that write: of a transaction or batch, or the request by itself."""
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


def _made(response: requests.Response) -> list[str]:
    try:
        answer = response.json()
    except ValueError:
        return []
    entries = answer.get("entry", []) if isinstance(answer, dict) else []
    return [one for one in map(created, entries) if one]
