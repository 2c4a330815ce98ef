"""DICOM Cast's five error tables. A row's key is made of the failure, so that the same failure is one row.

PartitionKey is the exception's class, as in the original; RowKey the sequence, and the tag where one is named. A row is
marked resolved, not removed, once its entry is synced: an operator sees what went wrong, and when it was mended.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from azure.data.tables import TableEntity, UpdateMode

from shared.clients.tables import Tables, int64, number, storage_faults
from shared.failures import CarriedEntry, ErrorQuery, ErrorRow, ErrorTable, FailedEntry, OpenErrors
from shared.model import DEFAULT_PARTITION

MAX_TEXT = 32_000  # characters; a string property holds 32 Ki
MAX_ROWS = 100  # in one entity group transaction
MAX_COUNT = 1_000
NEWEST = 5
_OPEN = "not (ResolvedAt gt '')"
"""Also of the original's rows, which have no such column."""
_ANY = "RowKey ge ''"  # the SDK takes no empty query


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

    def carried(self, most: int) -> list[CarriedEntry]:
        """The open rows of TransientRetryExceptionTable, by sequence: the first `most` of them."""
        columns = ["ChangeFeedSequence", "StudyUid", "Partition", "RetryNumber", "FirstSeen", "LastSeen", "LastTried"]
        query = _open(ErrorTable.TRANSIENT_RETRY)
        with storage_faults():
            table = self._tables[ErrorTable.TRANSIENT_RETRY]
            rows = list(islice(table.query_entities(query, select=[*columns, "NotBefore"]), most))
        return sorted(map(_carried, rows), key=lambda entry: entry.sequence)

    def open_errors(self) -> OpenErrors:
        """Counts to 1,000 by table, and the five rows that were seen last; two requests a table at most."""
        counts, seen = {}, []
        with storage_faults():
            for table in ErrorTable:
                rows = self._tables[table].query_entities(_open(table), select=["PartitionKey", "RowKey", "LastSeen"])
                found = list(islice(rows, MAX_COUNT))
                counts[table] = len(found)
                seen += [(row.get("LastSeen") or "", table, row["PartitionKey"], row["RowKey"]) for row in found]
            newest = [
                _told(table, self._tables[table].get_entity(partition, key))
                for _, table, partition, key in sorted(seen, reverse=True)[:NEWEST]
            ]
        return OpenErrors(counts, newest)

    def page(self, query: ErrorQuery, size: int, after: tuple[str, str] | None = None) -> list[ErrorRow]:
        """At most `size` rows, by PartitionKey and RowKey; `after` is the key of the last row of the page before."""
        given: dict[str, Any] = {"study": query.study_instance_uid, "exception": query.exception}
        asked = [
            _open(query.table) if query.only_open else _ANY,
            "StudyUid eq @study" if query.study_instance_uid else "",
            "PartitionKey eq @exception" if query.exception else "",
        ]
        if after:
            # The SDK finds a parameter by the blanks around it.
            asked.append("( PartitionKey gt @partition or ( PartitionKey eq @partition and RowKey gt @row ) )")
            given |= {"partition": after[0], "row": after[1]}
        said = " and ".join(one for one in asked if one)
        with storage_faults():
            rows = self._tables[query.table].query_entities(said, parameters=given, results_per_page=size)
            return [_told(query.table, row) for row in islice(rows, size)]

    def resolve(self, sequences: Collection[int], kept: Collection[tuple[ErrorTable, int]] = ()) -> None:
        """Marks the open rows of these entries, in all tables but those that are to be kept, as resolved."""
        if not sequences:
            return
        with storage_faults():
            for table in ErrorTable:
                columns = ["PartitionKey", "RowKey", "ChangeFeedSequence", "ResolvedAt"]
                found = self._between(table, min(sequences), max(sequences), columns)
                wanted = {sequence for sequence in sequences if (table, sequence) not in kept}
                rows = [
                    row for row in found if not row.get("ResolvedAt") and number(row["ChangeFeedSequence"]) in wanted
                ]
                for _, group in groupby(sorted(rows, key=_partition), key=_partition):
                    keys = [{name: row[name] for name in ("PartitionKey", "RowKey")} for row in group]
                    self._upsert(table, [row | {"ResolvedAt": self._now().isoformat()} for row in keys])

    def _held(self, table: str, exception: str, keys: Iterable[str]) -> Iterable[TableEntity]:
        ordered = sorted(keys)
        query = "PartitionKey eq @exception and RowKey ge @first and RowKey le @last"
        parameters = {"exception": exception, "first": ordered[0], "last": ordered[-1]}
        columns = ["RowKey", "RetryNumber", "FirstSeen", "LastSeen", "LastTried"]
        return self._tables[table].query_entities(query, parameters=parameters, select=columns)

    def _between(self, table: str, first: int, last: int, columns: list[str]) -> Iterable[TableEntity]:
        query = f"ChangeFeedSequence ge {first}L and ChangeFeedSequence le {last}L"
        return self._tables[table].query_entities(query, select=columns)

    def _row(self, failure: FailedEntry, key: str, held: TableEntity | None) -> dict[str, Any]:
        now = self._now().isoformat()
        # What waits for others of its study is seen, and not tried: the back-off counts from the last try.
        tried = now if failure.tries else _last_tried(held)
        return {
            "PartitionKey": failure.exception,
            "RowKey": key,
            "StudyUid": failure.study_instance_uid,
            "SeriesUid": failure.series_instance_uid,
            "InstanceUid": failure.sop_instance_uid,
            "Partition": failure.partition,
            "ChangeFeedSequence": int64(failure.sequence),
            "Exception": failure.message[:MAX_TEXT],
            "RetryNumber": max(0, failure.tries - 1) if held is None else held.get("RetryNumber", 0) + failure.tries,
            "FirstSeen": now if held is None else held.get("FirstSeen", now),
            "LastSeen": now,
            "LastTried": tried,
            "NotBefore": failure.not_before.isoformat() if failure.not_before else "",
            "ResolvedAt": "",
        }

    def _upsert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        for start in range(0, len(rows), MAX_ROWS):
            upserts = [("upsert", row, {"mode": UpdateMode.MERGE}) for row in rows[start : start + MAX_ROWS]]
            self._tables[table].submit_transaction(upserts)


def _open(table: ErrorTable) -> str:
    """The query for rows that say how it still is.

    A retry that DICOM Cast noted (it has no FirstSeen) is history: what it had not finished is behind its watermark.
    """
    return f"FirstSeen gt '' and {_OPEN}" if table is ErrorTable.TRANSIENT_RETRY else _OPEN


def _row_key(failure: FailedEntry) -> str:
    key = f"{failure.sequence:020d}"
    # "(0010,0030) PatientBirthDate (DA): ...": several tags of one entry are several rows.
    if failure.table is not ErrorTable.INVALID_TAG:
        return key
    return f"{key}-{failure.message.split(' ', 1)[0].strip('()')}"


def _last_tried(row: TableEntity | None) -> str:
    """Empty where it never was; rows of before say only when they were seen."""
    return str(row.get("LastTried", row.get("LastSeen", ""))) if row else ""


def _carried(row: TableEntity) -> CarriedEntry:
    return CarriedEntry(
        number(row["ChangeFeedSequence"]),
        row["StudyUid"],
        row["RetryNumber"],
        datetime.fromisoformat(row["FirstSeen"]),
        datetime.fromisoformat(tried) if (tried := _last_tried(row)) else None,
        datetime.fromisoformat(row["NotBefore"]) if row.get("NotBefore") else None,
        row.get("Partition") or DEFAULT_PARTITION,
    )


def _told(table: ErrorTable, row: TableEntity) -> ErrorRow:
    return ErrorRow(
        table=table,
        exception=row["PartitionKey"],
        sequence=number(row["ChangeFeedSequence"]),
        study_instance_uid=row.get("StudyUid") or "",
        series_instance_uid=row.get("SeriesUid") or "",
        sop_instance_uid=row.get("InstanceUid") or "",
        partition=row.get("Partition") or DEFAULT_PARTITION,  # DICOM Cast knew no other
        message=row.get("Exception") or "",
        retry_number=number(row.get("RetryNumber") or 0),
        first_seen=row.get("FirstSeen"),
        last_seen=row.get("LastSeen"),
        resolved_at=row.get("ResolvedAt") or None,
        key=(row["PartitionKey"], row["RowKey"]),
    )


def _partition(row: TableEntity) -> str:
    return str(row["PartitionKey"])
