"""Bulk update: new values for patient and study attributes and for UIDs, and the operations that report its result.

It follows Azure's documentation ("Update DICOM files"; microsoft/dicom-server: docs/concepts/bulk-update.md) and, for
what that leaves open, StoreController, UpdateRequestValidator, UpdateCheckpoint and the UpdateInstanceTests. Only API
v2 has it; v1 answers 404. Azure runs the operation after the answer, one at a time. Here it has ended before the 202 is
sent, so that an operation is never running, and none is refused because another runs.
"""

import json
import logging
import sqlite3
import uuid
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.dicom_service import partitions, store, timestamps
from local.dicom_service.change_dataset import RefusedChangesError, read_changes
from local.dicom_service.database import Database
from local.dicom_service.metadata import Attribute
from local.dicom_service.parameters import Parameters, bad_request
from local.dicom_service.store import RefusedUpdateError, ResourcePath
from local.dicom_service.update_scope import check_uids, read_scope

log = logging.getLogger(__name__)


async def update_studies(request: Request) -> Response:
    """`POST /studies/$bulkUpdate`: 202 with the operation's id and href; 400 with what is wrong, by attribute.

    A study that does not exist is not an error: it counts as processed, but not as updated. If an instance has the new
    UIDs already, or several series would get one SeriesInstanceUID, the operation fails, not the request.
    """
    Parameters(request)
    partition = await run_in_threadpool(partitions.existing, request)
    specification = _json_object(request.headers.get("content-type"), await request.body())
    paths = read_scope(specification, partition)
    try:
        changes = read_changes(_change_dataset(specification))
    except RefusedChangesError as refused:
        return JSONResponse(_failed_attributes(refused.faults), 400)
    check_uids(paths, changes)
    operation_id = await run_in_threadpool(_run, request.app.state.database, paths, changes)
    reference = {"id": operation_id, "href": f"{request.base_url}v2/operations/{operation_id}"}
    return JSONResponse(reference, 202)


def not_in_v1(_: Request) -> Response:
    """404, since API v1 has no bulk update."""
    raise HTTPException(404, "bulk update needs API v2")


def operation_v1(request: Request) -> Response:
    """`GET /operations/{id}` as v2 has it, but v1 says `completed` for `succeeded`."""
    return JSONResponse(_state(_operation(request), "completed"))


def operation_v2(request: Request) -> Response:
    """`GET /operations/{id}`: 200 with the state of the operation, 404 if there is none."""
    return JSONResponse(_state(_operation(request), "succeeded"))


def _run(database: Database, paths: list[ResourcePath], changes: dict[str, Attribute]) -> str:
    """Updates one study after the other, and stores the result. Returns the operation's id."""
    operation_id = uuid.uuid4().hex
    created_at = timestamps.now()
    updated, errors = [], []
    for path in paths:
        try:
            updated.append(store.update(database, path, changes))
        except RefusedUpdateError as refused:
            errors.append(f"Failed to update instances for study {path.study}: {refused}")
    results: dict[str, Any] = {
        "studyProcessed": len(paths),
        "studyUpdated": sum(bool(count) for count in updated),
        "studyFailed": len(errors),
        "instanceUpdated": sum(updated),
    }
    if errors:
        results["errors"] = errors
    with database.transaction() as connection:
        row = (operation_id, created_at, timestamps.now(), json.dumps(results))
        connection.execute("INSERT INTO operation VALUES (?, ?, ?, ?)", row)
    log.info("updated %d instances of %d studies", results["instanceUpdated"], results["studyUpdated"])
    return operation_id


def _operation(request: Request) -> sqlite3.Row:
    Parameters(request)
    sql = "SELECT * FROM operation WHERE operation_id = ?"
    rows: list[sqlite3.Row] = request.app.state.database.rows(sql, (request.path_params["operation"].replace("-", ""),))
    if not rows:
        raise HTTPException(404, "no such operation")
    return rows[0]


def _state(operation: sqlite3.Row, succeeded: str) -> dict[str, Any]:
    results = json.loads(operation["results"])
    return {
        "operationId": operation["operation_id"],
        "type": "update",
        "createdTime": _utc(operation["created_at"]),
        "lastUpdatedTime": _utc(operation["last_updated_at"]),
        "status": "failed" if results["studyFailed"] else succeeded,
        "percentComplete": 100,
        "results": results,
    }


def _utc(ticks: int) -> str:
    return f"{timestamps.iso_format(ticks).removesuffix('+00:00')}Z"


def _json_object(content_type: str | None, body: bytes) -> dict[str, Any]:
    media_type, _ = parse_options_header(content_type)
    if media_type not in (b"", b"application/json"):
        raise HTTPException(415, "Content-Type must be application/json")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is not JSON") from error
    if not isinstance(document, dict):
        raise bad_request("the body is not a JSON object with studyInstanceUids and changeDataset")
    return document


def _change_dataset(specification: dict[str, Any]) -> dict[str, Any]:
    change_dataset = specification.get("changeDataset")
    if not isinstance(change_dataset, dict):
        raise bad_request("changeDataset must be an object of the DICOM JSON model")
    return change_dataset


def _failed_attributes(faults: list[str]) -> dict[str, Any]:
    """The body of a 400: FailedAttributesSequence with an ErrorComment for each fault."""
    items = [{"00000902": {"vr": "LO", "Value": [f"DICOM100: {fault}"]}} for fault in faults]
    return {"00741048": {"vr": "SQ", "Value": items}}
