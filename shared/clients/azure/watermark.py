"""The watermark's row. It is DICOM Cast's own, so that the app can take over the storage account of a deployment."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import UpdateMode

from shared.clients.azure.record_column import json_of, parsed
from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import Tables, int64, number
from shared.errors import LeaseLostError, WatermarkError
from shared.model.watermark import Hole, Marks, StoredWatermark, Watermark

TABLE = "SyncStateTable"
PARTITION_KEY = "SyncStatePartitionKey"
ROW_KEY = "SyncStateRowKey"
_Holes = tuple[Hole, ...]


class TableWatermarkStore:
    """The stored watermark. `SyncedSequence` and `SyncedTimestamp` are the original's columns, the others ours."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> StoredWatermark:
        """The watermark; sequence 0, without an ETag, if there is no row yet. Raises WatermarkError, OutageError."""
        with storage_faults():
            try:
                row = self._tables[TABLE].get_entity(PARTITION_KEY, ROW_KEY)
            except ResourceNotFoundError:
                return StoredWatermark(Watermark(), None, Watermark())
        watermark = Watermark(_sequence(row, "SyncedSequence"), _timestamp(row, "SyncedTimestamp"))
        read_through: Watermark = watermark
        holes: tuple[Hole, ...] = ()
        beyond: Marks | None = None
        if _sequence(row, "ReadFromSequence", -1) == watermark.sequence:
            read_through = Watermark(_sequence(row, "ReadSequence"), _timestamp(row, "ReadTimestamp"))
            holes, beyond = _holes(row), _beyond(row)
        # A row of an earlier release has no FurthestSequence. ReadSequence stays if someone sets SyncedSequence back.
        furthest = max(_sequence(row, "FurthestSequence", 0), _sequence(row, "ReadSequence", 0), watermark.sequence)
        is_by_time = "Order" not in row and watermark.timestamp is not None
        return StoredWatermark(watermark, row.metadata["etag"], read_through, holes, furthest, beyond, is_by_time)

    def write(self, stored: StoredWatermark) -> StoredWatermark:
        """Writes the row, and returns it with its new ETag.

        Raises LeaseLostError if the row was written or deleted since it was read, as by a second host; OutageError.
        """
        guard: dict[str, Any] = {"etag": stored.etag, "match_condition": MatchConditions.IfNotModified}
        with storage_faults():
            try:
                if stored.etag is None:
                    answer = self._tables[TABLE].create_entity(_row(stored))
                else:
                    answer = self._tables[TABLE].update_entity(_row(stored), mode=UpdateMode.MERGE, **guard)
            except (ResourceExistsError, ResourceModifiedError) as error:
                raise LeaseLostError("another host moved the watermark") from error
            except ResourceNotFoundError as error:
                raise LeaseLostError("the watermark's row was deleted: the next tick begins at its start") from error
        return replace(stored, etag=answer["etag"])


def _sequence(row: Mapping[str, Any], column: str, default: int | None = None) -> int:
    try:
        value = default if default is not None and column not in row else number(row[column])
    except (KeyError, TypeError, ValueError):
        raise _malformed(column, "a whole number, 0 or more") from None
    if value < 0 and value != default:
        raise _malformed(column, "a whole number, 0 or more")
    return value


def _timestamp(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    if not value:
        return None
    try:
        is_whole = datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        is_whole = False
    if not is_whole:
        raise _malformed(column, "empty, or a time as ISO 8601 has it, with an offset")
    return str(value)


def _holes(row: Mapping[str, Any]) -> tuple[Hole, ...]:
    try:
        return parsed(_Holes, row["Holes"]) if row.get("Holes") else ()
    except (TypeError, ValueError):
        raise _malformed("Holes", "empty, or a list of first, last and until") from None


def _beyond(row: Mapping[str, Any]) -> Marks | None:
    try:
        return parsed(Marks, row["Beyond"]) if row.get("Beyond") else None
    except (TypeError, ValueError):
        raise _malformed("Beyond", "empty, or a watermark and read_through, each with sequence and timestamp") from None


def _malformed(column: str, wanted: str) -> WatermarkError:
    return WatermarkError(
        f"the watermark's row ({TABLE}, {PARTITION_KEY}, {ROW_KEY}) cannot be read: {column} must be {wanted}; "
        "docs/runbook.md, 'The watermark cannot be read'"
    )


def _row(stored: StoredWatermark) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": ROW_KEY,
        "SyncedSequence": int64(stored.watermark.sequence),
        "SyncedTimestamp": stored.watermark.timestamp or "",
        # ReadSequence holds only while this equals SyncedSequence: if an operator sets that one, reading starts there.
        "ReadFromSequence": int64(stored.watermark.sequence),
        "ReadSequence": int64(stored.read_through.sequence),
        "ReadTimestamp": stored.read_through.timestamp or "",
        "FurthestSequence": int64(stored.furthest),
        "Order": "sequence",
        # Shown in the status; a host that starts does not use it, nor does an older release, which does not know it.
        "Beyond": json_of(stored.beyond) if stored.beyond else "",
        "Holes": json_of(stored.holes) if stored.holes else "",
    }
