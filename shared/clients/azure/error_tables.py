"""DICOM Cast's five error tables. A row's key is made of the failure, so that the same failure is the same row.

As in the original, PartitionKey is the exception's class, and RowKey the sequence, followed by the tag if one is named.
A row that no longer holds is marked as resolved and not deleted, so that an operator sees what went wrong and when it
was mended.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Any

from azure.data.tables import TableEntity, UpdateMode

from shared.clients.azure.error_row import HELD_COLUMNS, error_row_of, failure_row
from shared.clients.azure.open_row_entity import open_query
from shared.clients.azure.open_rows import OpenRows
from shared.clients.azure.row_transactions import write_rows
from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import AFTER, Tables
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

MAX_EXCEPTIONS = 50
NEWEST = 5
_NEAR = 1_000
"""Sequences that are no further apart are read by one query, with the rows between them."""
_ANY = "RowKey ge ''"  # the SDK does not take an empty query


class ErrorTables:
    """The five tables and their index. `ResolvedAt` is empty while a row is open. All methods raise OutageError."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._open = OpenRows(tables)

    def begin(self) -> None:
        """To be called when a tick begins, as another host may have worked since the last one."""
        with storage_faults():
            self._open.begin()

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """Writes a row for each failure. A row that is there already keeps its count of retries, and is open again."""
        with storage_faults():
            keyed = sorted(failures, key=lambda failure: (failure.table, *failure.key))
            for (table, exception), group in groupby(keyed, key=lambda failure: (failure.table, failure.exception)):
                by_key = {failure.key[1]: failure for failure in group}
                held = {row["RowKey"]: row for row in self._held(table, exception, by_key)}
                rows = [failure_row(failure, held.get(key), self._now()) for key, failure in by_key.items()]
                self._open.add(table, rows)
                write_rows(self._tables[table], "upsert", rows, mode=UpdateMode.MERGE)

    def carried(self, most: int) -> list[CarriedEntry]:
        """The open rows of TransientRetryExceptionTable, at most `most`, by sequence."""
        with storage_faults():
            return self._open.carried(most)

    @property
    def is_any_carried(self) -> bool:
        """Whether there is a carried entry, by what was read when the tick began and written since."""
        return self._open.is_any_carried

    def disown(self) -> None:
        """To be called if the last write came after the lease was lost, so that the index is read anew."""
        with storage_faults():
            self._open.disown()

    def open_rows(self, studies: Collection[tuple[str, str]], sequences: Collection[int]) -> list[OpenRow]:
        """The open rows of these studies (data partition, UID), and those of these sequences whose study is unknown."""
        with storage_faults():
            return self._open.of(studies, sequences)

    def torn(self, sequence: int) -> list[OpenRow]:
        """The open rows of this sequence whose study is unknown."""
        with storage_faults():
            return self._open.torn(sequence)

    def close(self, rows: Collection[OpenRow]) -> None:
        """Marks the rows as resolved."""
        ordered = sorted(rows, key=_class_of)
        with storage_faults():
            for (table, exception), group in groupby(ordered, key=_class_of):
                marks = {"PartitionKey": exception, "ResolvedAt": self._now().isoformat()}
                marked = [{**marks, "RowKey": row.key[1]} for row in group]
                write_rows(self._tables[table], "update", marked, mode=UpdateMode.MERGE)
            self._open.remove(ordered)

    def open_errors(self) -> OpenErrors:
        """Counts to 1,000 by table, and the five rows that were seen last, by at most two requests a table."""
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
                error_row_of(table, self._tables[table].get_entity(partition, key))
                for _, table, partition, key in sorted(seen, reverse=True)[:NEWEST]
            ]
        return OpenErrors(counts, newest)

    def page(self, query: ErrorQuery, size: int, after: tuple[str, str] | None = None) -> list[ErrorRow]:
        """At most `size` rows, by PartitionKey and RowKey; `after` is the key of the last row of the page before."""
        odata, parameters = _odata(query)
        if after:
            odata += f" and {AFTER}"
            parameters |= {"partition": after[0], "row": after[1]}
        with storage_faults():
            rows = self._tables[query.table].query_entities(odata, parameters=parameters, results_per_page=size)
            return [error_row_of(query.table, row) for row in islice(rows, size)]

    def count(self, query: ErrorQuery) -> ErrorCount:
        """How many rows match the query, to 1,000, and which exceptions its table has. Only keys are read."""
        odata, parameters = _odata(query)
        keys = ["PartitionKey", "RowKey"]
        with storage_faults():
            rows = self._tables[query.table].query_entities(odata, parameters=parameters, select=keys)
            count = sum(1 for _ in islice(rows, MAX_COUNT))
            return ErrorCount(count, list(islice(self._exceptions(query.table), MAX_EXCEPTIONS)))

    def _exceptions(self, table: ErrorTable) -> Iterator[str]:
        """The PartitionKeys of a table, by a request each for the first row behind the one before."""
        found = ""
        while row := next(
            self._tables[table].query_entities(
                "PartitionKey gt @found", parameters={"found": found}, select=["PartitionKey"], results_per_page=1
            ),
            None,
        ):
            found = row["PartitionKey"]
            yield found

    def _held(self, table: str, exception: str, keys: Iterable[str]) -> Iterator[TableEntity]:
        """The rows that are there already, and others between them."""
        query = "PartitionKey eq @exception and RowKey ge @first and RowKey le @last"
        for first, last in _runs(sorted(keys)):
            parameters = {"exception": exception, "first": first, "last": last}
            yield from self._tables[table].query_entities(query, parameters=parameters, select=HELD_COLUMNS)


def _odata(query: ErrorQuery) -> tuple[str, dict[str, Any]]:
    """The query in OData, and its parameters."""
    conditions = [
        open_query(query.table) if query.only_open else _ANY,
        "StudyUid eq @study" if query.study_instance_uid else "",
        "PartitionKey eq @exception" if query.exception else "",
    ]
    parameters = {"study": query.study_instance_uid, "exception": query.exception}
    return " and ".join(one for one in conditions if one), parameters


def _runs(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The first and the last key of each run of keys that are near each other: between runs may be 100,000 rows."""
    first = last = keys[0]
    for key in keys[1:]:
        if int(key[:20]) - int(last[:20]) > _NEAR:
            yield first, last
            first = key
        last = key
    yield first, last


def _class_of(row: OpenRow) -> tuple[ErrorTable, str]:
    return row.table, row.key[0]
