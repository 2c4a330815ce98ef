"""The form of a row in the error tables: how a failure is written, and how a row is read."""

from datetime import datetime
from typing import Any

from azure.data.tables import TableEntity

from shared.clients.azure.open_row_entity import last_tried
from shared.clients.azure.tables import int64, number
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import ErrorRow, ErrorTable, FailedEntry
from shared.model.stored_text import shortened

MAX_TEXT_BYTES = 60_000  # of UTF-16; a string property holds 64 KiB
HELD_COLUMNS = ["RowKey", "RetryNumber", "FirstSeen", "LastSeen", "LastTried", "ResolvedAt"]
"""Columns of the row that is there already, which `failure_row` reads."""


def failure_row(failure: FailedEntry, held: TableEntity | None, time: datetime) -> dict[str, Any]:
    """The row of a failure. `held`: its row that is there already, which keeps FirstSeen and counts RetryNumber on."""
    now = time.isoformat()
    if held and held.get("ResolvedAt") and failure.table is ErrorTable.TRANSIENT_RETRY:
        held = None  # it was synced since, so its retries begin anew
    retries = failure.attempts - 1 if held is None else held.get("RetryNumber", 0) + failure.attempts
    return {
        "PartitionKey": failure.exception,
        "RowKey": failure.key[1],
        "StudyUid": failure.study_instance_uid,
        "SeriesUid": failure.series_instance_uid,
        "InstanceUid": failure.sop_instance_uid,
        "Partition": failure.partition,
        "ChangeFeedSequence": int64(failure.sequence),
        "Exception": shortened(failure.message, MAX_TEXT_BYTES),
        "RetryNumber": max(0, retries),
        "FirstSeen": now if held is None else held.get("FirstSeen", now),
        "LastSeen": now,
        # An entry that waits for others of its study is seen, not tried: the back-off counts from the last attempt.
        "LastTried": now if failure.attempts else last_tried(held or {}),
        "NotBefore": failure.not_before.isoformat() if failure.not_before else "",
        "ResolvedAt": "",
    }


def error_row_of(table: ErrorTable, row: TableEntity) -> ErrorRow:
    """A row of an error table, also one that DICOM Cast wrote, as the record that is shown."""
    return ErrorRow(
        table=table,
        exception=row["PartitionKey"],
        sequence=number(row["ChangeFeedSequence"]),
        study_instance_uid=row.get("StudyUid") or "",
        series_instance_uid=row.get("SeriesUid") or "",
        sop_instance_uid=row.get("InstanceUid") or "",
        partition=row.get("Partition") or DEFAULT_PARTITION,  # DICOM Cast has no partitions
        message=row.get("Exception") or "",
        retry_number=number(row.get("RetryNumber") or 0),
        first_seen=row.get("FirstSeen"),
        last_seen=row.get("LastSeen"),
        resolved_at=row.get("ResolvedAt") or None,
        key=(row["PartitionKey"], row["RowKey"]),
    )
