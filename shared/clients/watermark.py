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
    """`SyncedSequence` is the original's column, the others are ours; the ETag guards against a second host."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> StoredWatermark:
        """Sequence 0, without an ETag, where there is no row yet."""
        with storage_faults():
            try:
                row = self._tables[TABLE].get_entity(PARTITION_KEY, ROW_KEY)
            except ResourceNotFoundError:
                return StoredWatermark(Watermark(), None)
        sequence = _number(row["SyncedSequence"])
        # The original's row does not say how far failures were recorded: up to where it stands there may be some.
        failed_through = _number(row.get("FailedThrough", sequence))
        return StoredWatermark(
            Watermark(sequence, row.get("SyncedTimestamp") or None), row.metadata["etag"], failed_through
        )

    def move(self, stored: StoredWatermark, to: Watermark, failed_through: int) -> StoredWatermark:
        """Raises LeaseLostError where the row is not the one that was read."""
        row: dict[str, Any] = {
            "PartitionKey": PARTITION_KEY,
            "RowKey": ROW_KEY,
            "SyncedSequence": EntityProperty(to.sequence, EdmType.INT64),
            "SyncedTimestamp": to.timestamp or "",
            "FailedThrough": EntityProperty(failed_through, EdmType.INT64),
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
        return StoredWatermark(to, answer["etag"], failed_through)


def _number(value: Any) -> int:
    """Int64 comes as an EntityProperty."""
    return int(value.value if isinstance(value, EntityProperty) else value)
