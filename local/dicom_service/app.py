"""The service's routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from local.dicom_service import admin, bulk_update, change_feed, partitions, studies
from local.dicom_service.database import Database

_STUDY = "/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"

_BULK_UPDATE = "/studies/$bulkUpdate"  # must come before the routes of a study, which would match it


def _in_partitions(service: list[Route]) -> list[BaseRoute]:
    """The routes for the default partition, the same for a named one, and the route of all partitions."""
    return [
        *service,
        Route("/partitions", partitions.all_partitions),
        Mount("/partitions/{partition}", routes=service),
    ]


_STUDIES_SERVICE = [
    Route("/studies", studies.search_studies, methods=["GET"]),
    Route("/studies", studies.store_instances, methods=["POST"]),
    Route(_STUDY, studies.store_instances, methods=["POST"]),
    Route(f"{_STUDY}/series", studies.search_series),
    *(Route(f"{path}/instances", studies.search_instances) for path in (_STUDY, _SERIES)),
    *(Route(f"{path}/metadata", studies.retrieve_metadata) for path in (_STUDY, _SERIES, _INSTANCE)),
    *(Route(path, studies.delete, methods=["DELETE"]) for path in (_STUDY, _SERIES, _INSTANCE)),
]
_STUDIES_SERVICE_V1 = [Route(_BULK_UPDATE, bulk_update.not_in_v1, methods=["POST"]), *_STUDIES_SERVICE]
_STUDIES_SERVICE_V2 = [Route(_BULK_UPDATE, bulk_update.update_studies, methods=["POST"]), *_STUDIES_SERVICE]
_V1 = [
    *_in_partitions(_STUDIES_SERVICE_V1),
    Route("/operations/{operation}", bulk_update.operation_v1),
    Route("/changefeed", change_feed.read_v1),
    Route("/changefeed/latest", change_feed.latest_v1),
]
_V2 = [
    *_in_partitions(_STUDIES_SERVICE_V2),
    Route("/operations/{operation}", bulk_update.operation_v2),
    Route("/changefeed", change_feed.read_v2),
    Route("/changefeed/latest", change_feed.latest_v2),
]
_ADMIN = [
    Route("/holes", admin.leave_hole, methods=["POST"]),
    Route("/reserve", admin.reserve, methods=["POST"]),
    Route("/reserve/{sequence:int}/studies", admin.store_reserved, methods=["POST"]),
]


def create_app(database: str | None) -> Starlette:
    """The service, with its data in a SQLite file; in memory if `database` is None.

    Raises:
        FileNotFoundError: the file cannot be opened.
        ValueError: the file was written by a later version of the service.
    """
    opened = Database(database)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        opened.close()

    routes = [
        Route("/health", health),
        Mount("/v1", routes=_V1),
        Mount("/v2", routes=_V2),
        Mount("/admin", routes=_ADMIN),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.database = opened
    return app


def health(_: Request) -> Response:
    """200 as soon as the service takes requests."""
    return JSONResponse({"status": "ok"})
