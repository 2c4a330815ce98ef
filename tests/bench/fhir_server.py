"""A FHIR server under a meter: `python -m tests.bench.fhir_server --kind memory|sekmet --port N`.

The meter counts calls and bytes, adds latency to every call, and takes the CPU time of the server. It sits in the server's
own process, so that no proxy stands between. `/bench`: GET tells, POST counts from zero, PUT sets the latency, DELETE
empties the server. `/bench/kept`: PUT keeps the transactions from now on, GET tells them.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn

from tests.bench.memory_fhir import MemoryFhir

BASE = "/fhir"
OK = 200


@dataclass
class Meter:
    """Bytes are of bodies; CPU seconds of the process, at the beginning."""

    cpu_before: float
    calls: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Metered:
    """An ASGI application around the server's."""

    def __init__(self, app: Any, empty: Callable[[], None]) -> None:
        self._app = app
        self._empty = empty
        self._latency = 0.0
        self._kept: list[str] | None = None
        self.meter = Meter(time.process_time())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if scope["path"] == "/bench":
            await self._steer(scope["method"], body, send)
            return
        if scope["path"] == "/bench/kept":
            await _tell(self._keep(scope["method"]), send)
            return
        self.meter.calls += 1
        self.meter.bytes_in += len(body)
        if self._latency:
            await asyncio.sleep(self._latency)
        answered: list[Any] = []
        await self._app(scope, _once(body), _into(answered))
        self.meter.bytes_out += sum(len(message.get("body", b"")) for message in answered)
        if self._kept is not None and b'"transaction"' in body and answered[0]["status"] == OK:
            self._kept.append(body.decode())
        for message in answered:
            await send(message)

    async def _steer(self, method: str, body: bytes, send: Any) -> None:
        if method == "PUT":
            self._latency = json.loads(body)["latency"]
        elif method == "DELETE":
            self._empty()
        if method in ("POST", "DELETE"):
            self.meter = Meter(time.process_time())
        await _tell({**asdict(self.meter), "cpu_seconds": time.process_time() - self.meter.cpu_before}, send)

    def _keep(self, method: str) -> list[str]:
        if method == "PUT":
            self._kept = []
        return self._kept or []


async def _tell(told: Any, send: Any) -> None:
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": OK, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _once(body: bytes) -> Any:
    """Gives the body, then nothing ever: the client is not gone."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    return receive


def _into(answered: list[Any]) -> Any:
    async def send(message: Any) -> None:
        answered.append(message)

    return send


def _memory() -> Metered:
    server = MemoryFhir()

    async def at_base(scope: Any, receive: Any, send: Any) -> None:
        await server({**scope, "path": scope["path"].removeprefix(BASE)}, receive, send)

    return Metered(at_base, server.empty)


def _sekmet(port: int) -> Metered:
    from sekmet.config import Settings  # noqa: PLC0415 the other server starts in a second, and these take three
    from sekmet.main import create_app  # noqa: PLC0415

    told = {"base_url": f"http://127.0.0.1:{port}{BASE}", "db_path": ":memory:", "log_inbound": False}
    app = create_app(Settings.model_validate({**told, "simulator": {"enabled": False}}))
    return Metered(app, app.state.ctx.store.reset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("memory", "sekmet"), required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    app = _memory() if arguments.kind == "memory" else _sekmet(arguments.port)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
