"""DICOM Cast's five error tables. A row's key is made of the failure, so that the same failure is one row.

PartitionKey is the exception's class, as in the original; RowKey the sequence, and the tag where one is named. A row is
marked resolved, not removed, once it is true no more: an operator sees what went wrong, and when it was mended.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from azure.data.tables import TableEntity, UpdateMode

from shared.clients.azure.open_rows import AFTER, OpenRows, in_turns, last_tried, open_query
from shared.clients.azure.tables import Tables, int64, number, storage_faults
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import (
    MAX_COUNT,
    CarriedEntry,
    ErrorCount,
    ErrorQuery,
    ErrorRow,
    ErrorTable,
    FailedEntry,
    OpenErrors,
    OpenRow,
)
from shared.model.stored_text import shortened

MAX_TEXT_BYTES = 60_000  # of UTF-16; a string property holds 64 KiB
MAX_EXCEPTIONS = 50
NEWEST = 5
_NEAR = 1_000
"""Sequences that lie no further apart are looked up with all that is between them."""
_ANY = "RowKey ge ''"  # the SDK takes no empty query


class ErrorTables:
    """`RetryNumber` counts how often a failure came again; `ResolvedAt` is empty while it is open."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._open = OpenRows(tables)

    def begin(self) -> None:
        """A tick begins: another host may have worked since the last."""
        with storage_faults():
            self._open.begin()

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """One row per failure; one that is there counts on, and is open again."""
        with storage_faults():
            keyed = sorted(failures, key=lambda failure: (failure.table, *failure.key))
            for (table, exception), group in groupby(keyed, key=lambda failure: (failure.table, failure.exception)):
                again = {failure.key[1]: failure for failure in group}
                held = {row["RowKey"]: row for row in self._held(table, exception, again)}
                rows = [self._row(failure, held.get(key)) for key, failure in again.items()]
                self._open.add(table, rows)
                in_turns(self._tables[table], "upsert", rows, mode=UpdateMode.MERGE)

    def carried(self, most: int) -> list[CarriedEntry]:
        """What is open in TransientRetryExceptionTable, by sequence: so many at most."""
        with storage_faults():
            return self._open.carried(most)

    @property
    def is_any_carried(self) -> bool:
        """Whether there is any, as the index was read when the tick began, and written since."""
        return self._open.is_any_carried

    def disown(self) -> None:
        """What was written last came too late: another host's next tick reads the index anew."""
        with storage_faults():
            self._open.disown()

    def open_rows(self, studies: Collection[tuple[str, str]], sequences: Collection[int]) -> list[OpenRow]:
        """Those of these studies (data partition, UID), and those of no study of these sequences."""
        with storage_faults():
            return self._open.of(studies, sequences)

    def torn(self, sequence: int) -> list[OpenRow]:
        """Those of a sequence of which no study is known."""
        with storage_faults():
            return self._open.torn(sequence)

    def close(self, rows: Collection[OpenRow]) -> None:
        """Marks them as resolved."""
        ordered = sorted(rows, key=_class_of)
        with storage_faults():
            for (table, exception), group in groupby(ordered, key=_class_of):
                marks = {"PartitionKey": exception, "ResolvedAt": self._now().isoformat()}
                marked = [{**marks, "RowKey": row.key[1]} for row in group]
                in_turns(self._tables[table], "update", marked, mode=UpdateMode.MERGE)
            self._open.remove(ordered)

    def open_errors(self) -> OpenErrors:
        """Counts to 1,000 by table, and the five rows that were seen last; two requests a table at most."""
        counts, seen = {}, []
        with storage_faults():
            for table in ErrorTable:
                rows = self._tables[table].query_entities(
                    open_query(table), select=["PartitionKey", "RowKey", "LastSeen"]
                )
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
        said, given = _asked(query)
        if after:
            said += f" and {AFTER}"
            given |= {"partition": after[0], "row": after[1]}
        with storage_faults():
            rows = self._tables[query.table].query_entities(said, parameters=given, results_per_page=size)
            return [_told(query.table, row) for row in islice(rows, size)]

    def count(self, query: ErrorQuery) -> ErrorCount:
        """Keys alone are read: of the rows that are asked for, and of each class in the table one."""
        said, given = _asked(query)
        with storage_faults():
            rows = self._tables[query.table].query_entities(said, parameters=given, select=["PartitionKey", "RowKey"])
            count = sum(1 for _ in islice(rows, MAX_COUNT))
            return ErrorCount(count, list(islice(self._exceptions(query.table), MAX_EXCEPTIONS)))

    def _exceptions(self, table: ErrorTable) -> Iterator[str]:
        """Each is found behind the one before it, so that the rows between are not read."""
        found = ""
        while row := next(
            self._tables[table].query_entities(
                "PartitionKey gt @found", parameters={"found": found}, select=["PartitionKey"], results_per_page=1
            ),
            None,
        ):
            found = row["PartitionKey"]
            yield found

    def _held(self, table: str, exception: str, failures: Iterable[str]) -> Iterator[TableEntity]:
        columns = ["RowKey", "RetryNumber", "FirstSeen", "LastSeen", "LastTried", "ResolvedAt"]
        query = "PartitionKey eq @exception and RowKey ge @first and RowKey le @last"
        for first, last in _runs(sorted(failures)):
            parameters = {"exception": exception, "first": first, "last": last}
            yield from self._tables[table].query_entities(query, parameters=parameters, select=columns)

    def _row(self, failure: FailedEntry, held: TableEntity | None) -> dict[str, Any]:
        now = self._now().isoformat()
        if held and held.get("ResolvedAt") and failure.table is ErrorTable.TRANSIENT_RETRY:
            held = None  # what was synced since is tried anew for as long as any
        # What waits for others of its study is seen, and not tried: the back-off counts from the last attempt.
        tried = now if failure.attempts else last_tried(held or {})
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
            "LastTried": tried,
            "NotBefore": failure.not_before.isoformat() if failure.not_before else "",
            "ResolvedAt": "",
        }


def _asked(query: ErrorQuery) -> tuple[str, dict[str, Any]]:
    """The query in OData, and its parameters."""
    asked = [
        open_query(query.table) if query.only_open else _ANY,
        "StudyUid eq @study" if query.study_instance_uid else "",
        "PartitionKey eq @exception" if query.exception else "",
    ]
    said = " and ".join(one for one in asked if one)
    return said, {"study": query.study_instance_uid, "exception": query.exception}


def _runs(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """First and last of those that lie near each other: between two that do not there may be 100,000 others."""
    first = last = keys[0]
    for key in keys[1:]:
        if int(key[:20]) - int(last[:20]) > _NEAR:
            yield first, last
            first = key
        last = key
    yield first, last


def _class_of(row: OpenRow) -> tuple[ErrorTable, str]:
    return row.table, row.key[0]


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
