"""The watermark's row: DICOM Cast's own, so that an existing deployment's storage account can be handed over."""

from dataclasses import replace
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import UpdateMode

from shared.clients.tables import Tables, int64, number, storage_faults
from shared.errors import LeaseLostError
from shared.model import StoredWatermark, Watermark

TABLE = "SyncStateTable"
PARTITION_KEY = "SyncStatePartitionKey"
ROW_KEY = "SyncStateRowKey"


class TableWatermarkStore:
    """`SyncedSequence` is the original's column, the others are ours; the ETag guards against a second host."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> StoredWatermark:
        """Sequence 0, without an ETag, where there is no row yet."""
        with storage_faults():
            try:
                row = self._tables[TABLE].get_entity(PARTITION_KEY, ROW_KEY)
            except ResourceNotFoundError:
                return StoredWatermark(Watermark(), None, Watermark())
        watermark = Watermark(number(row["SyncedSequence"]), row.get("SyncedTimestamp") or None)
        read_through = watermark
        if number(row.get("ReadFromSequence", -1)) == watermark.sequence:
            read_through = Watermark(number(row["ReadSequence"]), row.get("ReadTimestamp") or None)
        # The original's row does not say how far failures were recorded: up to where it stands there may be some.
        failed_through = number(row.get("FailedThrough", watermark.sequence))
        return StoredWatermark(watermark, row.metadata["etag"], read_through, failed_through)

    def write(self, stored: StoredWatermark) -> StoredWatermark:
        """Raises LeaseLostError where the row is not the one that was read."""
        with storage_faults():
            try:
                if stored.etag is None:
                    answer = self._tables[TABLE].create_entity(_row(stored))
                else:
                    answer = self._tables[TABLE].update_entity(
                        _row(stored), UpdateMode.MERGE, etag=stored.etag, match_condition=MatchConditions.IfNotModified
                    )
            except (ResourceExistsError, ResourceModifiedError) as error:
                raise LeaseLostError("another host moved the watermark") from error
        return replace(stored, etag=answer["etag"])


def _row(stored: StoredWatermark) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": ROW_KEY,
        "SyncedSequence": int64(stored.watermark.sequence),
        "SyncedTimestamp": stored.watermark.timestamp or "",
        # Said of this SyncedSequence alone: an operator who sets that one has set where reading begins.
        "ReadFromSequence": int64(stored.watermark.sequence),
        "ReadSequence": int64(stored.read_through.sequence),
        "ReadTimestamp": stored.read_through.timestamp or "",
        "FailedThrough": int64(stored.failed_through),
    }
