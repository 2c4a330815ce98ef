"""Bounds of one HTTP request: the time by which its whole answer must be there, and how large that may be.

A socket's own timeout begins anew with each byte, so a server that sends one a second would never time out. Here all
reads from the socket, also of headers and chunks, share one end.
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
"""A timeout of 0 would mean not to wait at all."""
_PRECISION_SECONDS = 0.01


class OverlongError(OSError):
    """The answer is larger than `most` bytes."""

    def __init__(self, most: float) -> None:
        self.most = most
        super().__init__(f"more than {most:.0f} bytes")


@dataclass(slots=True)
class Bounds:
    """The bounds of one request. `end`, which is never after `last`, is a time of the monotonic clock.

    `most_bytes`: the largest body, as sent and as unpacked.
    """

    end: float = math.inf
    last: float = math.inf
    most_bytes: float = math.inf

    @property
    def left(self) -> float:
        """The seconds until the end."""
        return self.end - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the end has come, give or take a hundredth of a second, which is how exact sockets' timeouts are."""
        return self.left <= _PRECISION_SECONDS

    def renew(self, seconds: float) -> None:
        """Sets the end to so many seconds from now, but not after the last."""
        self.end = min(time.monotonic() + seconds, self.last)


_NONE = Bounds()
_IN_FORCE: ContextVar[Bounds] = ContextVar("bounds", default=_NONE)


@contextmanager
def bounded(seconds: float, most_bytes: float, last: float = math.inf) -> Iterator[Bounds]:
    """Bounds the requests that this thread sends within the block: they end in `seconds`, at the latest in `last`.

    A block within another, as for a token that a request needs, ends no later than the outer one.
    """
    bounds = Bounds(last=min(time.monotonic() + last, _IN_FORCE.get().end), most_bytes=most_bytes)
    bounds.renew(seconds)
    token = _IN_FORCE.set(bounds)
    try:
        yield bounds
    finally:
        _IN_FORCE.reset(token)


def pieces_of(response: requests.Response, bounds: Bounds) -> Iterator[bytes]:
    """The unpacked body in pieces of at most 128 KiB. Raises OverlongError before it yields more than the bound.

    Each piece is unpacked only when it is asked for, as a few megabytes of gzip may unpack to very much.
    """
    taken = 0
    for piece in response.iter_content(PIECE_BYTES):
        taken += len(piece)
        if taken > bounds.most_bytes:
            raise OverlongError(bounds.most_bytes)
        yield piece


def body_of(response: requests.Response, bounds: Bounds) -> bytes:
    """The whole body, unpacked. Raises OverlongError before it holds more than the bound.

    A body that is not compressed is read in one piece, which is four times as fast; its reader has the same bound.
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
    """Reads from a socket within the bounds."""

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
        if self._taken > self._bounds.most_bytes + BUFFER_BYTES:  # the headers come on top of the body
            raise OverlongError(self._bounds.most_bytes)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """A socket in the form in which `http.client` reads from it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, _IN_FORCE.get()), BUFFER_BYTES)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Source(sock), *args, **kwargs)  # type: ignore[arg-type]


class _Sends:
    """Gives sending the time of the whole request; without it, the timeout of connecting would apply."""

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
