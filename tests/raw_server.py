"""A server of raw sockets: it hangs, drips, and sends what no HTTP library would."""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Script = Callable[[socket.socket], None]
"""What is done with a connection whose request has been read."""


class RawServer:
    """Serves each connection in a thread of its own; `requests` counts them, `seen` has the heads of all."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def requests(self) -> int:
        return len(self.seen)

    def close(self) -> None:
        for one in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while head := _request(connection):
                self.seen.append(head)
                self.script(connection)


def _request(connection: socket.socket) -> bytes:
    """The head; its body is read too, where its length is told."""
    read = b""
    while b"\r\n\r\n" not in read:
        if not (some := connection.recv(65536)):
            return b""
        read += some
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = (int(lengths[0].split(b":")[1]) if lengths else 0) - len(body)
    while left > 0 and (some := connection.recv(65536)):
        left -= len(some)
    return head


@contextlib.contextmanager
def raw_server(script: Script) -> Iterator[RawServer]:
    """Closed at the end, whatever it was doing."""
    server = RawServer(script)
    try:
        yield server
    finally:
        server.close()


def whole(body: bytes, head: bytes = HEAD) -> Script:
    """An answer as it should be."""
    return lambda connection: connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def silent(connection: socket.socket) -> None:
    """No byte, until the other side gives up."""
    connection.recv(1)


def dripping(head: bytes, pause: float = 0.02) -> Script:
    """The head, then a byte at a time for ever."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b" ")
            time.sleep(pause)

    return drip


def endless(head: bytes, piece: bytes = b" " * 65536) -> Script:
    """The head, then as much as is taken."""

    def pour(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return pour


def bomb(megabytes: int) -> bytes:
    """A gzip file of so many megabytes of blanks, in a thousandth of that."""
    return gzip.compress(b" " * (megabytes * 2**20), compresslevel=9)
