"""DICOM Cast's five error tables. A row's key is made of the failure, so that the same failure is one row.

PartitionKey is the exception's class, as in the original; RowKey the sequence, and the tag where one is named. A row is
marked resolved, not removed, once its entry is synced: an operator sees what went wrong, and when it was mended.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from azure.data.tables import EdmType, EntityProperty, TableEntity, UpdateMode

from shared.clients.tables import Tables, storage_faults
from shared.model import ErrorTable, FailedEntry

MAX_TEXT = 32_000  # characters; a string property holds 32 Ki
MAX_ROWS = 100  # in one entity group transaction


class ErrorTables:
    """`RetryNumber` counts how often a failure came again; `ResolvedAt` is empty while it is open."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """One row per failure; one that is there counts on, and is open again."""
        with storage_faults():
            keyed = sorted(failures, key=lambda failure: (failure.table, failure.exception, _row_key(failure)))
            for (table, exception), group in groupby(keyed, key=lambda failure: (failure.table, failure.exception)):
                again = {_row_key(failure): failure for failure in group}
                held = {row["RowKey"]: row for row in self._held(table, exception, again.keys())}
                rows = [self._row(failure, key, held.get(key)) for key, failure in again.items()]
                self._upsert(table, rows)

    def resolve(self, sequences: Collection[int]) -> None:
        """Marks the open rows of these entries, in all tables, as resolved."""
        if not sequences:
            return
        with storage_faults():
            for table in ErrorTable:
                rows = [
                    row for row in self._between(table, min(sequences), max(sequences)) if not row.get("ResolvedAt")
                ]
                ours = sorted(
                    (row for row in rows if _sequence(row) in sequences), key=lambda row: str(row["PartitionKey"])
                )
                for _, group in groupby(ours, key=lambda row: str(row["PartitionKey"])):
                    keys = [{name: row[name] for name in ("PartitionKey", "RowKey")} for row in group]
                    self._upsert(table, [row | {"ResolvedAt": self._now().isoformat()} for row in keys])

    def _held(self, table: str, exception: str, keys: Iterable[str]) -> Iterable[TableEntity]:
        ordered = sorted(keys)
        query = "PartitionKey eq @exception and RowKey ge @first and RowKey le @last"
        parameters = {"exception": exception, "first": ordered[0], "last": ordered[-1]}
        columns = ["RowKey", "RetryNumber", "FirstSeen"]
        return self._tables[table].query_entities(query, parameters=parameters, select=columns)

    def _between(self, table: str, first: int, last: int) -> Iterable[TableEntity]:
        query = f"ChangeFeedSequence ge {first}L and ChangeFeedSequence le {last}L"
        columns = ["PartitionKey", "RowKey", "ChangeFeedSequence", "ResolvedAt"]
        return self._tables[table].query_entities(query, select=columns)

    def _row(self, failure: FailedEntry, key: str, held: TableEntity | None) -> dict[str, Any]:
        now = self._now().isoformat()
        return {
            "PartitionKey": failure.exception,
            "RowKey": key,
            "StudyUid": failure.study_instance_uid,
            "SeriesUid": failure.series_instance_uid,
            "InstanceUid": failure.sop_instance_uid,
            "ChangeFeedSequence": EntityProperty(failure.sequence, EdmType.INT64),
            "Exception": failure.message[:MAX_TEXT],
            "RetryNumber": 0 if held is None else held.get("RetryNumber", 0) + 1,
            "FirstSeen": now if held is None else held.get("FirstSeen", now),
            "LastSeen": now,
            "ResolvedAt": "",
        }

    def _upsert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), MAX_ROWS):
            upserts = [("upsert", row, {"mode": UpdateMode.MERGE}) for row in rows[start : start + MAX_ROWS]]
            self._tables[table].submit_transaction(upserts)


def _row_key(failure: FailedEntry) -> str:
    key = f"{failure.sequence:020d}"
    # "(0010,0030) PatientBirthDate (DA): ...": several tags of one entry are several rows.
    return key if failure.is_final else f"{key}-{failure.message.split(' ', 1)[0].strip('()')}"


def _sequence(row: TableEntity) -> int:
    """Int64 comes as an EntityProperty; the original wrote the same type."""
    value = row["ChangeFeedSequence"]
    return int(value.value if isinstance(value, EntityProperty) else value)
