"""Bounds of one HTTP request: until when its whole answer must be there, and how large that may be.

A socket's own time-out starts anew with each byte: a server that drips one a second is never given up by it. So each
read from the socket, of headers and chunks too, heeds one end for all of them.
"""

import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

BUFFER_BYTES = 2**16
PIECE_BYTES = 2**17
_AT_LEAST_SECONDS = 0.001
"""A time-out of 0 would mean: do not wait at all."""
_PRECISION_SECONDS = 0.01


class OverlongError(OSError):
    """The answer is larger than it may be; `most` in bytes."""

    def __init__(self, most: float) -> None:
        self.most = most
        super().__init__(f"more than {most:.0f} bytes")


@dataclass(slots=True)
class Bounds:
    """`end` by the monotonic clock, never beyond `last`; `most_bytes` of the body, both as sent and as unpacked."""

    end: float = math.inf
    last: float = math.inf
    most_bytes: float = math.inf

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether time was what ended the request, to a hundredth of a second: so well do sockets keep it."""
        return self.left <= _PRECISION_SECONDS

    def renew(self, seconds: float) -> None:
        """So long from now on, but not beyond the last."""
        self.end = min(time.monotonic() + seconds, self.last)


_NONE = Bounds()
_IN_FORCE: ContextVar[Bounds] = ContextVar("bounds", default=_NONE)


@contextmanager
def bounded(seconds: float, most_bytes: float, last: float = math.inf) -> Iterator[Bounds]:
    """Of the requests that this thread sends meanwhile: they end in so many seconds, and at the latest in `last`.

    Within another's, as a token is asked for, they end no later than that one.
    """
    bounds = Bounds(last=min(time.monotonic() + last, _IN_FORCE.get().end), most_bytes=most_bytes)
    bounds.renew(seconds)
    token = _IN_FORCE.set(bounds)
    try:
        yield bounds
    finally:
        _IN_FORCE.reset(token)


def pieces_of(response: requests.Response, bounds: Bounds) -> Iterator[bytes]:
    """The body, unpacked, in pieces of at most 128 KiB. Raises OverlongError before it holds more than it may.

    A piece is unpacked when it is asked for: what a few megabytes of gzip unpack to would else be there at once.
    """
    taken = 0
    for piece in response.iter_content(PIECE_BYTES):
        taken += len(piece)
        if taken > bounds.most_bytes:
            raise OverlongError(bounds.most_bytes)
        yield piece


def body_of(response: requests.Response, bounds: Bounds) -> bytes:
    """The whole body, unpacked. Raises OverlongError before it holds more than it may.

    One that is not packed comes in one piece, a quarter of the work: what comes from the socket has the same bound.
    """
    if response.headers.get("Content-Encoding"):
        return b"".join(pieces_of(response, bounds))
    body = b"".join(response.iter_content(None))
    if len(body) > bounds.most_bytes:
        raise OverlongError(bounds.most_bytes)
    return body


class BoundedAdapter(HTTPAdapter):
    """Sends requests within the bounds in force."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Reader(io.RawIOBase):
    """What comes from a socket, as long and as much as the bounds allow; `raw` is the socket's own reader."""

    def __init__(self, sock: socket.socket, bounds: Bounds) -> None:
        self._sock = sock
        self._bounds = bounds
        self._raw = sock.makefile("rb", buffering=0)
        self._taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left, timeout = self._bounds.left, self._sock.gettimeout()
        if left <= 0:
            raise TimeoutError("the time for the whole answer is over")
        if timeout is None or left < timeout:
            self._sock.settimeout(max(left, _AT_LEAST_SECONDS))
        count = self._raw.readinto(buffer)
        self._taken += count or 0
        if self._taken > self._bounds.most_bytes + BUFFER_BYTES:  # which a header may have
            raise OverlongError(self._bounds.most_bytes)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """A socket as `http.client` reads of one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, _IN_FORCE.get()), BUFFER_BYTES)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Source(sock), *args, **kwargs)  # type: ignore[arg-type]


class _Sends:
    """What a connection sends has the request's time, where else it would be that of connecting."""

    response_class = _Response
    sock: Any

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        left = _IN_FORCE.get().left
        if left < math.inf:
            self.sock.settimeout(max(left, _AT_LEAST_SECONDS))
        super().send(data)  # type: ignore[misc]


class _Connection(_Sends, HTTPConnection):  # type: ignore[misc]
    pass


class _TlsConnection(_Sends, HTTPSConnection):  # type: ignore[misc]
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
