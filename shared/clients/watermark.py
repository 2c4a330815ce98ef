"""The watermark's row: DICOM Cast's own, so that an existing deployment's storage account can be handed over."""

from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, UpdateMode

from shared.clients.tables import Tables, storage_faults
from shared.errors import LeaseLostError
from shared.model import StoredWatermark, Watermark

TABLE = "SyncStateTable"
PARTITION_KEY = "SyncStatePartitionKey"
ROW_KEY = "SyncStateRowKey"


class TableWatermarkStore:
    """`SyncedSequence` is the original's column, `SyncedTimestamp` ours; the ETag guards against a second host."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> StoredWatermark:
        """Sequence 0, without an ETag, where there is no row yet."""
        with storage_faults():
            try:
                row = self._tables[TABLE].get_entity(PARTITION_KEY, ROW_KEY)
            except ResourceNotFoundError:
                return StoredWatermark(Watermark(), None)
        sequence = row["SyncedSequence"]
        number = sequence.value if isinstance(sequence, EntityProperty) else sequence
        return StoredWatermark(Watermark(int(number), row.get("SyncedTimestamp") or None), row.metadata["etag"])

    def move(self, stored: StoredWatermark, to: Watermark) -> StoredWatermark:
        """Raises LeaseLostError where the row is not the one that was read."""
        row: dict[str, Any] = {
            "PartitionKey": PARTITION_KEY,
            "RowKey": ROW_KEY,
            "SyncedSequence": EntityProperty(to.sequence, EdmType.INT64),
            "SyncedTimestamp": to.timestamp or "",
        }
        with storage_faults():
            try:
                if stored.etag is None:
                    answer = self._tables[TABLE].create_entity(row)
                else:
                    answer = self._tables[TABLE].update_entity(
                        row, UpdateMode.MERGE, etag=stored.etag, match_condition=MatchConditions.IfNotModified
                    )
            except (ResourceExistsError, ResourceModifiedError) as error:
                raise LeaseLostError("another host moved the watermark") from error
        return StoredWatermark(to, answer["etag"])
