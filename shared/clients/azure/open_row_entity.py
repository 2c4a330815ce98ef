"""The form of a row in the index of open rows (open_rows.py), and which rows of the error tables are open."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from azure.data.tables import TableEntity

from shared.clients.azure.tables import int64, number
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import CarriedEntry, ErrorTable, OpenRow, digest, digest_of_study

OPEN, CARRIED = "open", "carried"
STUDY_DIGITS = 16
"""Characters of a RowKey that are the digest of its study."""
_UNRESOLVED = "not (ResolvedAt gt '')"
"""Includes rows of DICOM Cast, which has no such column."""
_TABLES = list(ErrorTable)
COLUMNS = (
    *("PartitionKey", "RowKey", "LastSeen", "StudyUid", "SeriesUid", "InstanceUid", "Partition"),
    *("ChangeFeedSequence", "RetryNumber", "FirstSeen", "LastTried", "NotBefore"),
)
"""Columns of an error table that `entity_of` reads."""

IndexKey = tuple[str, str]
"""PartitionKey and RowKey of a row of the index."""


def open_query(table: ErrorTable) -> str:
    """The query for the open rows of a table.

    A retry that DICOM Cast recorded (it has no FirstSeen) is not open: what had not succeeded is behind its watermark.
    """
    return f"FirstSeen gt '' and {_UNRESOLVED}" if table is ErrorTable.TRANSIENT_RETRY else _UNRESOLVED


def last_tried(row: Mapping[str, Any]) -> str:
    """The time of the last attempt; empty if there was none. Rows of earlier releases have only LastSeen."""
    return str(row.get("LastTried", row.get("LastSeen", "")))


def entity_of(table: ErrorTable, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of the index for a row of an error table."""
    sequence, study = number(row["ChangeFeedSequence"]), row.get("StudyUid") or ""
    partition = row.get("Partition") or DEFAULT_PARTITION  # DICOM Cast has no partitions
    instance = digest(partition, study, row.get("SeriesUid") or "", row.get("InstanceUid") or "")
    place = digest_of_study(partition, study, sequence), instance, str(_TABLES.index(table)), str(sequence)
    is_carried = table is ErrorTable.TRANSIENT_RETRY
    entity = {
        "PartitionKey": CARRIED if is_carried else OPEN,
        "RowKey": "|".join([*place, row["PartitionKey"], row["RowKey"]]),
        "Table": table.value,
        "StudyUid": study,
        "SeriesUid": row.get("SeriesUid") or "",
        "InstanceUid": row.get("InstanceUid") or "",
        "Partition": partition,
        "ChangeFeedSequence": int64(sequence),
    }
    if not is_carried:
        return entity
    of_carried = {"RetryNumber": row.get("RetryNumber") or 0, "FirstSeen": row["FirstSeen"]}
    return entity | of_carried | {"LastTried": last_tried(row), "NotBefore": row.get("NotBefore") or ""}


def open_row_of(key: IndexKey) -> OpenRow:
    """The open row that a key of the index stands for."""
    study, instance, table, sequence, exception, row = key[1].split("|", 5)
    return OpenRow(_TABLES[int(table)], (exception, row), int(sequence), study, instance, key)


def carried_entry_of(row: TableEntity) -> CarriedEntry:
    """The carried entry out of a row of the index."""
    return CarriedEntry(
        number(row["ChangeFeedSequence"]),
        row["StudyUid"],
        number(row["RetryNumber"]),
        datetime.fromisoformat(row["FirstSeen"]),
        datetime.fromisoformat(row["LastTried"]) if row["LastTried"] else None,
        datetime.fromisoformat(row["NotBefore"]) if row["NotBefore"] else None,
        row["Partition"],
        row["SeriesUid"],
        row["InstanceUid"],
    )
