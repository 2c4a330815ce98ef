"""Writes many rows of a table by few transactions (entity group transactions), some of these at once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from azure.data.tables import TableTransactionError

from shared.clients.azure.tables import Table

MAX_ROWS, MAX_BYTES = 100, 3_500_000  # in one transaction, which may have 4 MiB
TRANSACTIONS_AT_ONCE = 4
_OPERATION_BYTES = 1_000
"""The headers of one operation."""


def write_rows(table: Table, verb: str, rows: Sequence[Mapping[str, Any]], **options: Any) -> None:
    """Does `verb` ("upsert", "update" or "delete") to rows that all have the same PartitionKey.

    A row that is to be updated or deleted and does not exist is passed over. If a transaction fails, the others are
    sent nevertheless, and then its error is raised.
    """

    def write(part: Sequence[Mapping[str, Any]]) -> None:
        try:
            table.submit_transaction([(verb, row, options) for row in part])
        except TableTransactionError as error:
            if error.status_code != HTTPStatus.NOT_FOUND or verb == "upsert":
                raise
            for row in part:  # someone has deleted rows by hand: the others are written one by one
                table.one_if_there(verb, row, **options)

    parts = list(_parts(rows))
    with ThreadPoolExecutor(min(TRANSACTIONS_AT_ONCE, len(parts)) or 1) as threads:
        sent = [threads.submit(write, part) for part in parts]
    for one in sent:
        one.result()


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The rows in parts that each fit one transaction, by their number and by their bytes."""
    part: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        row_bytes = _OPERATION_BYTES + len(json.dumps(row, default=str))
        if part and (len(part) == MAX_ROWS or size + row_bytes > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += row_bytes
    if part:
        yield part
