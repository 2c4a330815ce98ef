"""The journal of the ticks: a table of the app's own. One row has the journal, others the slots of the past week."""

from dataclasses import replace
from datetime import datetime

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from shared.clients.azure.record_column import json_of, record_of
from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import Tables
from shared.model.journal import Journal, Slot
from shared.model.stored_text import stored_bytes

TABLE = "TickTable"
PARTITION_KEY = "Tick"
ROW_KEY = "Journal"
MAX_BYTES = 64_000  # a string property holds 64 KiB


class JournalTable:
    """The journal. Rows hold JSON, as only this module reads them. All methods raise OutageError."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> Journal:
        """The journal; an empty one before the first tick, or if the row cannot be read: the next tick replaces it."""
        with storage_faults():
            try:
                row = self._tables[TABLE].get_entity(PARTITION_KEY, ROW_KEY)
            except ResourceNotFoundError:
                return Journal()
        return record_of(Journal, TABLE, row) or Journal()

    def write(self, journal: Journal) -> None:
        """Writes the journal, and the slot of its last tick, in one transaction."""
        rows = [(ROW_KEY, _fitting(journal))]
        if journal.slot:
            rows.append((f"Slot-{journal.slot.number:04d}", json_of(journal.slot)))
        entities = [{"PartitionKey": PARTITION_KEY, "RowKey": key, "Record": json} for key, json in rows]
        with storage_faults():
            self._tables[TABLE].submit_transaction(
                [("upsert", entity, {"mode": UpdateMode.REPLACE}) for entity in entities]
            )

    def history(self, since: datetime) -> list[Slot]:
        """The slots that began at `since` or later, oldest first."""
        query = "PartitionKey eq @partition and RowKey ge 'Slot-' and RowKey lt 'Slot-A'"
        with storage_faults():
            rows = self._tables[TABLE].query_entities(query, parameters={"partition": PARTITION_KEY})
            slots = [record_of(Slot, TABLE, row) for row in rows]
        return sorted((slot for slot in slots if slot and slot.start >= since), key=lambda slot: slot.start)


def _fitting(journal: Journal) -> str:
    """The journal as JSON. If its texts are too long for a row, the oldest ticks are left out."""
    while stored_bytes(json := json_of(journal)) > MAX_BYTES and journal.recent:
        journal = replace(journal, recent=journal.recent[:-1])
    return json
