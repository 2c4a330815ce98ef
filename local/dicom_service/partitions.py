"""Data partitions: the same UIDs may exist in each of them, and none sees another's.

As Azure documents them ("Enable data partitioning"; microsoft/dicom-server: docs/concepts/data-partitions.md and
PartitionNameValidator), but for one thing. A service there has partitions or has not, for good: where it has, it
refuses a studies path without a partition, where it has not, one with a partition. This service serves both side by
side, so that clients of either kind can be tried: a path without a partition is one of `Microsoft.Default`.
"""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.dicom_service import timestamps
from local.dicom_service.parameters import Parameters, bad_request
from local.dicom_service.store import DEFAULT_PARTITION

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def all_partitions(request: Request) -> Response:
    """`GET /partitions`: each with key, name and when it was created."""
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
    """The partition of the path; 400 where there is none of that name, as in Azure's service."""
    name = _named(request)
    if not request.app.state.database.rows("SELECT 1 FROM partition WHERE partition_name = ?", (name,)):
        raise bad_request(f"partition {name} does not exist; the first STOW-RS into it creates it")
    return name


def created(request: Request) -> str:
    """The partition of the path, which exists from now on: STOW-RS alone creates partitions."""
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
