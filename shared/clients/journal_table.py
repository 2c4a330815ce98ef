"""What the last tick did, kept for the status: a row of the app's own beside DICOM Cast's tables."""

import json
from dataclasses import asdict
from datetime import datetime

from azure.core.exceptions import ResourceNotFoundError

from shared.clients.tables import Tables, storage_faults
from shared.model import BatchResult, Outcome, TickRecord, Watermark

TABLE = "TickTable"
KEYS = {"PartitionKey": "Tick", "RowKey": "Last"}


class TickTable:
    """One row; the record as JSON, since only this module reads it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> TickRecord | None:
        """None before the first tick."""
        with storage_faults():
            try:
                row = self._tables[TABLE].get_entity(KEYS["PartitionKey"], KEYS["RowKey"])
            except ResourceNotFoundError:
                return None
        stored = json.loads(row["Record"])
        result = stored["result"]
        if result:
            result = BatchResult(
                **result | {"outcome": Outcome(result["outcome"]), "watermark": Watermark(**result["watermark"])}
            )
        return TickRecord(
            **stored
            | {
                "started": datetime.fromisoformat(stored["started"]),
                "outcome": Outcome(stored["outcome"]),
                "result": result,
            }
        )

    def write(self, record: TickRecord) -> None:
        """Replaces the row."""
        text = json.dumps(asdict(record) | {"started": record.started.isoformat()})
        with storage_faults():
            self._tables[TABLE].upsert_entity({**KEYS, "Record": text})
