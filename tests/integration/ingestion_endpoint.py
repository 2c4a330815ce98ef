"""Application Insights for the tests: takes what the exporters send, and keeps it in plain text."""

import gzip
import json
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class IngestionEndpoint:
    """`bodies` is all that came in, live metrics too; `url` is where it is served, to be set by whoever serves it."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[str] = []
        routes = [
            Route("/v2.1/track", self._track, methods=["POST"]),
            Route("/{rest:path}", self._live, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes)

    @property
    def settings(self) -> dict[str, str]:
        """App settings that turn telemetry on and send it here, soon and whole."""
        return {
            "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={uuid4()};IngestionEndpoint={self.url}/;LiveEndpoint={self.url}/"
            ),
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
            "OTEL_TRACES_SAMPLER_ARG": "1.0",
            # What the SDK tells of itself goes elsewhere; it has no place here.
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
            "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
        }

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The `baseData` and tags of all telemetry of one kind: MetricData, RemoteDependencyData, MessageData, ..."""
        lines = [line for body in self.bodies for line in body.splitlines() if '"baseType"' in line]
        items = [item for line in lines for item in _items(line) if item["data"]["baseType"] == kind]
        return [item["data"]["baseData"] | item["tags"] for item in items]

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """The points of a metric, each with its `properties`."""
        points = [one | one["metrics"][0] for one in self.items("MetricData")]
        return [point for point in points if point["name"] == name]

    async def _track(self, request: Request) -> JSONResponse:
        count = len([line for line in (await self._kept(request)).splitlines() if line.strip()])
        return JSONResponse({"itemsReceived": count, "itemsAccepted": count, "errors": []})

    async def _live(self, request: Request) -> JSONResponse:
        await self._kept(request)
        return JSONResponse({}, headers={"x-ms-qps-subscribed": "true"})

    async def _kept(self, request: Request) -> str:
        body = await request.body()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.bodies.append(body.decode())
        return self.bodies[-1]


def _items(line: str) -> list[dict[str, Any]]:
    said = json.loads(line)
    return said if isinstance(said, list) else [said]
