"""A proxy that passes requests on to a real server, but for those that a fault is planted for."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from local.processes import free_port

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}


@dataclass
class Fault:
    """Strikes the next `times` requests whose method and path fit.

    `status`: answered in the server's place, with `headers`. `after`: the server gets the request first, so that it is
    applied although its answer is lost. `torn`: the connection is closed amid the answer. `delay`: the server gets the
    request after so many seconds. None of these: the connection is closed without an answer. `action`: of a lease.
    `body`: stands in what is sent.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    torn: bool = False
    delay: float = 0.0
    action: str = ""
    body: bytes = b""

    def strikes(self, method: str, path: str, action: str, body: bytes) -> bool:
        fits = method in self.method.split("|") and self.path in path and self.action in ("", action)
        fits = fits and self.body in body
        if self.times > 0 and fits:
            self.times -= 1
            return True
        return False


class Seen(NamedTuple):
    """A request that was answered, with 0 where the connection was closed. Times are of the monotonic clock."""

    method: str
    path: str
    action: str
    status: int
    began: float
    ended: float


class OnSocketError(Exception):
    """In place of an answer: what is done with the connection, which is closed after it."""

    def __init__(self, script: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self.script = script


class Proxy(ThreadingHTTPServer):
    """Serves on a free port; `faults` may be planted at any time. `seen` grows with each answer."""

    daemon_threads = True

    def __init__(self, upstream: str, handler: type["Handler"] | None = None) -> None:
        port = free_port()  # no earlier proxy's: the FHIR server keeps what an app wrote under that one's URL
        super().__init__(("127.0.0.1", port), handler or Handler)
        self.upstream = upstream
        self.url = f"http://127.0.0.1:{port}"
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.accepts: Callable[[str | None], bool] = lambda authorization: True
        """Which `Authorization` is let through; the others are answered 401."""
        self.takes: Callable[[bytes], bool] = lambda body: True
        """Which bodies are let through; the others are answered 400."""
        self.rewrite: Callable[[bytes], bytes] = lambda content: content
        """What becomes of an answer's content on its way."""
        self.headers: dict[str, str] = {}
        """Laid over those of every answer."""


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the content of each answer waits 40 ms for its headers to be acknowledged
    server: Proxy

    def _serve(self) -> None:
        try:
            self._serve_one()
        except OnSocketError as odd:
            with suppress(OSError):
                odd.script(self.connection)
            self._close()

    def _serve_one(self) -> None:
        self.began, self.action = time.monotonic(), self.headers.get("x-ms-lease-action", "")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            refusal = 0 if self.server.takes(body) else 400
            refusal = refusal if self.server.accepts(self.headers.get("Authorization")) else 401
            asked = (self.command, self.path, self.action, body)
            fault = next((one for one in self.server.faults if one.strikes(*asked)), None)
        if refusal:
            return self._answer(refusal, {}, b"")
        if fault and fault.delay:
            time.sleep(fault.delay)
            fault = None
        if fault and fault.status and not fault.after:
            return self._answer(fault.status, {**fault.headers}, b"")
        if fault and not fault.after and not fault.torn:
            return self._close()
        status, headers, content = self.passed_on(body)
        if fault and fault.after and fault.status:
            return self._answer(fault.status, {**fault.headers}, b"")
        if fault and fault.after:
            return self._close()
        headers = {name: value for name, value in headers.items() if name.title() not in self.server.headers}
        headers |= self.server.headers
        return self._answer(status, headers, self.server.rewrite(content), torn=bool(fault and fault.torn))

    def passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer of the real server: its status, headers and content."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        # The signature of a storage request covers its path, so the path must arrive as it was sent.
        answer = requests.request(
            self.command,
            self.server.upstream + self.path,
            data=body,
            headers=headers,
            timeout=60,
            allow_redirects=False,
        )
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        return answer.status_code, passed, answer.content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, torn: bool = False) -> None:
        self._saw(status)
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if torn else content)
        if torn:
            self._break()

    def _close(self) -> None:
        self._saw(0)
        self._break()

    def _saw(self, status: int) -> None:
        self.server.seen.append(Seen(self.command, self.path, self.action, status, self.began, time.monotonic()))

    def _break(self) -> None:
        self.close_connection = True
        self.connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_MERGE = _serve  # noqa: N815 http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
        """Quiet."""


@contextmanager
def frozen(proxy: Proxy) -> Iterator[None]:
    """It accepts connections and never answers; afterwards it breaks them, so that no tick waits for them any more."""
    thawed, answered = threading.Event(), proxy.rewrite

    def never(_content: bytes) -> bytes:
        thawed.wait()
        raise OnSocketError(lambda _connection: None)

    proxy.rewrite = never
    try:
        yield
    finally:
        proxy.rewrite = answered
        thawed.set()


def origin(url: str) -> str:
    """The URL's scheme, host and port: what a proxy stands before."""
    return url.removesuffix(urlsplit(url).path)


Served = TypeVar("Served", bound=Proxy)


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """A running proxy."""
    with serving(Proxy(upstream)) as server:
        yield server


@contextmanager
def serving(server: Served) -> Iterator[Served]:
    """The proxy, running."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
