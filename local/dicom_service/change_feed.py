"""The change feed of API v1 and v2. An entry's State and Metadata are those of the instance when the feed is read."""

import json
import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from local.dicom_service import timestamps
from local.dicom_service.parameters import MAX_INTEGER, Parameters, bad_request

_MIN_TIME = timestamps.parse_iso("0001-01-01T00:00:00Z")
_MAX_TIME = timestamps.parse_iso("9999-12-31T23:59:59.9999999Z")

_ENTRIES = """
    SELECT change.*,
           CASE coalesce(instance.version, moved.version)
                WHEN change.version THEN 'current'
                ELSE iif(coalesce(instance.version, moved.version) IS NULL, 'deleted', 'replaced') END AS state,
           CASE WHEN :include_metadata THEN CAST(coalesce(instance.metadata, moved.metadata) AS BLOB) END AS metadata
    FROM change
    LEFT JOIN instance USING (partition_name, study_instance_uid, series_instance_uid, sop_instance_uid)
    LEFT JOIN moved USING (partition_name, study_instance_uid, series_instance_uid, sop_instance_uid)
"""
_WINDOW_OF_SEQUENCES = f"{_ENTRIES} WHERE sequence > :offset AND sequence <= :last ORDER BY sequence"
_WINDOW_OF_TIME = f"""{_ENTRIES} WHERE timestamp >= :start AND timestamp < :end
    ORDER BY timestamp, sequence LIMIT :limit OFFSET :offset"""
_LATEST_BY_SEQUENCE = f"{_ENTRIES} ORDER BY sequence DESC LIMIT 1"
_LATEST_BY_TIME = f"{_ENTRIES} ORDER BY timestamp DESC, sequence DESC LIMIT 1"


def read_v1(request: Request) -> Response:
    """`GET /changefeed`, v1: the entries with offset < Sequence <= offset + limit."""
    query = Parameters(request, "offset", "limit", "includeMetadata")
    offset = query.integer("offset", default=0, least=0)
    limit = query.integer("limit", default=10, least=1, most=100)
    window = {"offset": offset, "last": min(offset + limit, MAX_INTEGER)}
    return _entries(request, _WINDOW_OF_SEQUENCES, window | _include_metadata(query))


def read_v2(request: Request) -> Response:
    """`GET /changefeed`, v2: the entries with startTime <= Timestamp < endTime, after the first `offset` of them."""
    query = Parameters(request, "startTime", "endTime", "offset", "limit", "includeMetadata")
    start = query.ticks("startTime", default=_MIN_TIME)
    end = query.ticks("endTime", default=_MAX_TIME)
    if start >= end:
        raise bad_request("startTime is not before endTime")
    window = {
        "start": start,
        "end": end,
        "offset": query.integer("offset", default=0, least=0),
        "limit": query.integer("limit", default=100, least=1, most=200),
    }
    return _entries(request, _WINDOW_OF_TIME, window | _include_metadata(query))


def latest_v1(request: Request) -> Response:
    """`GET /changefeed/latest`, v1: the entry with the highest sequence number; 204 if there is none."""
    return _latest(request, _LATEST_BY_SEQUENCE)


def latest_v2(request: Request) -> Response:
    """`GET /changefeed/latest`, v2: the entry with the latest time; 204 if there is none."""
    return _latest(request, _LATEST_BY_TIME)


def _latest(request: Request, sql: str) -> Response:
    rows = request.app.state.database.rows(sql, _include_metadata(Parameters(request, "includeMetadata")))
    return _json(_entry(rows[0])) if rows else Response(status_code=204)


def _entries(request: Request, sql: str, parameters: dict[str, int]) -> Response:
    return _json(b"[%b]" % b",".join([_entry(row) for row in request.app.state.database.rows(sql, parameters)]))


def _include_metadata(query: Parameters) -> dict[str, int]:
    return {"include_metadata": query.boolean("includeMetadata", default=True)}


def _entry(row: sqlite3.Row) -> bytes:
    """One entry as JSON. The stored metadata is JSON already, and is inserted as it is."""
    entry = json.dumps(
        {
            "Sequence": row["sequence"],
            "StudyInstanceUid": row["study_instance_uid"],
            "SeriesInstanceUid": row["series_instance_uid"],
            "SopInstanceUid": row["sop_instance_uid"],
            "Action": row["action"],
            "Timestamp": timestamps.iso_format(row["timestamp"]),
            "State": row["state"],
            "PartitionName": row["partition_name"],
        }
    ).encode()
    return entry if row["metadata"] is None else b'%b, "Metadata": %b}' % (entry[:-1], row["metadata"])


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
