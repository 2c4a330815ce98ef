"""The index of open rows, a table beside DICOM Cast's five error tables: by it the open rows of a study are found.

PartitionKey is `carried` for rows of TransientRetryExceptionTable, `open` for all others. RowKey is all that an OpenRow
holds: digests of the study (if it is not known, of the sequence) and of the instance, then table, sequence,
PartitionKey and RowKey of the row. The keys are kept in memory, so that a look-up costs no request; a host that takes
over reads them once. A row is written to the index before it is written to its table, and deleted only after it was
resolved there, so that the index never lacks an open row.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableEntity, UpdateMode

from shared.clients.azure.open_row_entity import (
    CARRIED,
    COLUMNS,
    OPEN,
    STUDY_DIGITS,
    carried_entry_of,
    entity_of,
    open_query,
    open_row_of,
)
from shared.clients.azure.row_transactions import write_rows
from shared.clients.azure.tables import AFTER, Table, Tables
from shared.model.failures import CarriedEntry, ErrorTable, OpenRow, digest, digest_of_study

TABLE = "OpenRowTable"
PAGE = 1_000
_HEAD = ("head", "head")
"""The key of a row that says which host has read the index, and how far it has been made."""
_DONE = "done"
_Keys = dict[str, dict[str, set[str]]]
"""RowKeys of the index, by PartitionKey and the study's digest."""


class OpenRows:
    """The index, for the host that holds the lease; `carried`, `torn` and `remove` are for any host.

    Use it inside `storage_faults`.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._host = secrets.token_hex(8)
        self._known: _Keys | None = None

    def begin(self) -> None:
        """To be called when a tick begins.

        If there is no index yet, it is made of all open rows. If another host has worked since the last tick, the index
        is read anew.
        """
        head = self._head()
        if head.get("Host") == self._host and self._known is not None:
            return
        if head.get("Made") != _DONE:
            self._make(head.get("Made"))
        known: _Keys = {OPEN: {}, CARRIED: {}}
        for key, rows in known.items():
            for row in self._table.query_entities(f"PartitionKey eq '{key}'", select=["PartitionKey", "RowKey"]):
                rows.setdefault(row["RowKey"][:STUDY_DIGITS], set()).add(row["RowKey"])
        self._known = known
        self._write_head(_DONE)

    def add(self, table: ErrorTable, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows that are about to be written to an error table."""
        known = self._begun()
        entities = [entity_of(table, row) for row in rows]
        self._upsert(entities)
        for one in entities:
            known[one["PartitionKey"]].setdefault(one["RowKey"][:STUDY_DIGITS], set()).add(one["RowKey"])

    def of(self, studies: Iterable[tuple[str, str]], sequences: Iterable[int]) -> list[OpenRow]:
        """The open rows of these studies (data partition, UID), and those of these sequences whose study is unknown."""
        known = self._begun()
        if not any(known.values()):
            return []
        wanted = {digest(*study) for study in studies}
        wanted.update(digest_of_study("", "", sequence) for sequence in sequences)
        return [
            open_row_of((key, row))
            for key, rows in known.items()
            for one in sorted(wanted & rows.keys())
            for row in sorted(rows[one])
        ]

    def torn(self, sequence: int) -> list[OpenRow]:
        """The open rows of this sequence whose study is unknown."""
        begins = digest_of_study("", "", sequence)
        return [
            open_row_of((key, row["RowKey"]))
            for key in (OPEN, CARRIED)
            for row in self._table.query_entities(
                f"PartitionKey eq '{key}' and RowKey ge '{begins}|' and RowKey lt '{begins}}}'", select=["RowKey"]
            )
        ]

    def remove(self, rows: Sequence[OpenRow]) -> None:
        """Removes rows that have been resolved in their tables."""
        filed = sorted(row.filed for row in rows)
        for key, group in groupby(filed, key=lambda one: one[0]):
            write_rows(self._table, "delete", [{"PartitionKey": key, "RowKey": row} for _, row in group])
        for key, row in filed:
            if self._known and (held := self._known[key].get(row[:STUDY_DIGITS])):
                held.discard(row)
                if not held:
                    del self._known[key][row[:STUDY_DIGITS]]

    def carried(self, most: int) -> list[CarriedEntry]:
        """The carried entries, at most `most`, by sequence."""
        rows = self._table.query_entities(f"PartitionKey eq '{CARRIED}'")
        return sorted((carried_entry_of(row) for row in islice(rows, most)), key=lambda entry: entry.sequence)

    @property
    def is_any_carried(self) -> bool:
        return bool(self._begun()[CARRIED])

    def disown(self) -> None:
        """To be called if rows were written after another host took the lease: its next tick then reads the index."""
        self._known = None
        self._write_head(_DONE, host="")

    def _begun(self) -> _Keys:
        if self._known is None:
            self.begin()
        assert self._known is not None
        return self._known

    def _make(self, place: str | None) -> None:
        """Makes the index of all open rows. `place`: the last row of a run that was killed, which is continued."""
        first, *after = json.loads(place) if place else (0,)
        for position, table in list(enumerate(ErrorTable))[first:]:
            while rows := self._page(table, after):
                self._upsert([entity_of(table, row) for row in rows])
                after = [rows[-1]["PartitionKey"], rows[-1]["RowKey"]]
                self._write_head(json.dumps([position, *after]))
            after = []

    def _page(self, table: ErrorTable, after: Sequence[str]) -> list[TableEntity]:
        query, parameters = open_query(table), {}
        if after:
            query += f" and {AFTER}"
            parameters = {"partition": after[0], "row": after[1]}
        options: dict[str, Any] = {"parameters": parameters, "select": list(COLUMNS), "results_per_page": PAGE}
        return list(islice(self._tables[table].query_entities(query, **options), PAGE))

    def _upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        ordered = sorted(entities, key=lambda one: str(one["PartitionKey"]))
        for _, group in groupby(ordered, key=lambda one: str(one["PartitionKey"])):
            write_rows(self._table, "upsert", list(group), mode=UpdateMode.REPLACE)

    @property
    def _table(self) -> Table:
        return self._tables[TABLE]

    def _head(self) -> Mapping[str, Any]:
        try:
            return self._table.get_entity(*_HEAD)
        except ResourceNotFoundError:
            return {}

    def _write_head(self, made: str, host: str | None = None) -> None:
        head = {"PartitionKey": _HEAD[0], "RowKey": _HEAD[1]}
        self._table.upsert_entity({**head, "Host": self._host if host is None else host, "Made": made})
