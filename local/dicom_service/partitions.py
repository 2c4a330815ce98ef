"""Data partitions, which share no data: the same UIDs may exist in each.

They follow Azure's documentation ("Enable data partitioning"; microsoft/dicom-server: docs/concepts/data-partitions.md
and PartitionNameValidator), with one difference. Azure's service either has partitions, and refuses a studies path
without one, or has none, and refuses a path with one. This service takes both, so that clients of either kind can be
tried: a path without a partition means `Microsoft.Default`.
"""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.dicom_service import timestamps
from local.dicom_service.parameters import Parameters, bad_request
from local.dicom_service.store import DEFAULT_PARTITION

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def all_partitions(request: Request) -> Response:
    """`GET /partitions`: the key, name and creation time of each."""
    Parameters(request)
    rows = request.app.state.database.rows("SELECT * FROM partition ORDER BY partition_key")
    return JSONResponse(
        [
            {
                "PartitionKey": row["partition_key"],
                "PartitionName": row["partition_name"],
                "CreatedDate": timestamps.iso_format(row["created_at"]),
            }
            for row in rows
        ]
    )


def existing(request: Request) -> str:
    """The name of the path's partition. Raises HTTPException 400 if it does not exist, as in Azure's service."""
    name = _named(request)
    if not request.app.state.database.rows("SELECT 1 FROM partition WHERE partition_name = ?", (name,)):
        raise bad_request(f"partition {name} does not exist; the first STOW-RS into it creates it")
    return name


def created(request: Request) -> str:
    """The name of the path's partition, which is created if it does not exist; only STOW-RS does that."""
    name = _named(request)
    with request.app.state.database.transaction() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO partition (partition_name, created_at) VALUES (?, ?)", (name, timestamps.now())
        )
    return name


def _named(request: Request) -> str:
    name: str = request.path_params.get("partition", DEFAULT_PARTITION)
    if not _NAME.fullmatch(name):
        raise bad_request("the partition's name in the URL is not 1 to 64 letters, digits, '.', '-' and '_'")
    return name
