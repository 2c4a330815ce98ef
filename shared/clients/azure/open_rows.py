"""The index of open rows, beside DICOM Cast's five error tables: what is open of a study is found by its key.

PartitionKey is `carried` for what is tried again, `open` for all else. RowKey is all that an OpenRow says: digests of
the study (of the sequence where none is known) and of the instance, table and sequence, PartitionKey and RowKey of the
row. The keys are kept in memory, so that looking for open rows costs no request; a host that takes over reads them all
once. A row stands here before it stands in its table, and until it is marked there: never the other way.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from itertools import groupby, islice
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableEntity, TableTransactionError, UpdateMode

from shared.clients.azure.tables import Table, Tables, int64, number
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import CarriedEntry, ErrorTable, OpenRow, digest, digest_of_study

TABLE = "OpenRowTable"
OPEN, CARRIED = "open", "carried"
_UNRESOLVED = "not (ResolvedAt gt '')"
"""Also of the original's rows, which have no such column."""
AFTER = "( PartitionKey gt @partition or ( PartitionKey eq @partition and RowKey gt @row ) )"
"""What comes behind a row; the SDK finds a parameter by the blanks around it."""
MAX_ROWS, MAX_BYTES = 100, 3_500_000  # in one entity group transaction, which has 4 MiB
TRANSACTIONS_AT_ONCE = 4
_OF_AN_OPERATION = 1_000  # bytes of its headers
PAGE = 1_000
_HEAD = ("head", "head")
_DONE = "done"
_DIGEST = 16
_TABLES = list(ErrorTable)
_COPIED = ("StudyUid", "SeriesUid", "InstanceUid", "Partition", "ChangeFeedSequence")
_OF_CARRIED = ("RetryNumber", "FirstSeen", "LastTried", "NotBefore")
_READ = ("PartitionKey", "RowKey", "LastSeen", *_COPIED, *_OF_CARRIED)
Filed = tuple[str, str]
"""PartitionKey and RowKey of the index."""
_Known = dict[str, dict[str, set[str]]]
"""RowKeys of the index, by PartitionKey and the study's digest."""


class OpenRows:
    """Of the host that holds the lease, but for `carried`, `torn` and `remove`. Use it inside `storage_faults`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._host = secrets.token_hex(8)
        self._known: _Known | None = None

    def begin(self) -> None:
        """A tick begins: the index is made once of the rows of before, and read where another host has worked since."""
        head = self._head()
        if head.get("Host") == self._host and self._known is not None:
            return
        if head.get("Made") != _DONE:
            self._make(head.get("Made"))
        known: _Known = {OPEN: {}, CARRIED: {}}
        for key, rows in known.items():
            for row in self._table.query_entities(f"PartitionKey eq '{key}'", select=["PartitionKey", "RowKey"]):
                rows.setdefault(row["RowKey"][:_DIGEST], set()).add(row["RowKey"])
        self._known = known
        self._write_head(_DONE)

    def add(self, table: ErrorTable, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of an error table that are about to be written there."""
        known = self._begun()
        entities = [entity_of(table, row) for row in rows]
        self._upsert(entities)
        for one in entities:
            known[one["PartitionKey"]].setdefault(one["RowKey"][:_DIGEST], set()).add(one["RowKey"])

    def of(self, studies: Iterable[tuple[str, str]], sequences: Iterable[int]) -> list[OpenRow]:
        """The open rows of these studies (data partition, UID), and those of no study of these sequences."""
        known = self._begun()
        wanted = {digest(*study) for study in studies}
        wanted.update(digest_of_study("", "", sequence) for sequence in sequences)
        return [
            _open_row((key, row))
            for key, rows in known.items()
            for one in sorted(wanted & rows.keys())
            for row in sorted(rows[one])
        ]

    def torn(self, sequence: int) -> list[OpenRow]:
        """The open rows of a sequence of which no study is known."""
        begins = digest_of_study("", "", sequence)
        return [
            _open_row((key, row["RowKey"]))
            for key in (OPEN, CARRIED)
            for row in self._table.query_entities(
                f"PartitionKey eq '{key}' and RowKey ge '{begins}|' and RowKey lt '{begins}}}'", select=["RowKey"]
            )
        ]

    def remove(self, rows: Sequence[OpenRow]) -> None:
        """They are marked in their tables."""
        filed = sorted(row.filed for row in rows)
        for key, group in groupby(filed, key=lambda one: one[0]):
            in_turns(self._table, "delete", [{"PartitionKey": key, "RowKey": row} for _, row in group])
        for key, row in filed:
            if self._known and (held := self._known[key].get(row[:_DIGEST])):
                held.discard(row)
                if not held:
                    del self._known[key][row[:_DIGEST]]

    def carried(self, most: int) -> list[CarriedEntry]:
        """What is tried again: so many at most, by sequence."""
        rows = self._table.query_entities(f"PartitionKey eq '{CARRIED}'")
        return sorted((_carried(row) for row in islice(rows, most)), key=lambda entry: entry.sequence)

    @property
    def is_any_carried(self) -> bool:
        return bool(self._begun()[CARRIED])

    def disown(self) -> None:
        """Rows were written after another host took the lease: it does not know them."""
        self._known = None
        self._write_head(_DONE, host="")

    def _begun(self) -> _Known:
        if self._known is None:
            self.begin()
        assert self._known is not None
        return self._known

    def _make(self, place: str | None) -> None:
        """Of all open rows there are. Killed in its midst it goes on where it was: `place` is the last row's."""
        first, *after = json.loads(place) if place else (0,)
        for position, table in list(enumerate(ErrorTable))[first:]:
            while rows := self._page(table, after):
                self._upsert([entity_of(table, row) for row in rows])
                after = [rows[-1]["PartitionKey"], rows[-1]["RowKey"]]
                self._write_head(json.dumps([position, *after]))
            after = []

    def _page(self, table: ErrorTable, after: Sequence[str]) -> list[TableEntity]:
        query, given = open_query(table), {}
        if after:
            query += f" and {AFTER}"
            given = {"partition": after[0], "row": after[1]}
        rows = self._tables[table].query_entities(query, parameters=given, select=list(_READ), results_per_page=PAGE)
        return list(islice(rows, PAGE))

    def _upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        ordered = sorted(entities, key=lambda one: str(one["PartitionKey"]))
        for _, group in groupby(ordered, key=lambda one: str(one["PartitionKey"])):
            in_turns(self._table, "upsert", list(group), mode=UpdateMode.REPLACE)

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


def open_query(table: ErrorTable) -> str:
    """The query for rows that say how it still is.

    A retry that DICOM Cast noted (it has no FirstSeen) is history: what it had not finished is behind its watermark.
    """
    return f"FirstSeen gt '' and {_UNRESOLVED}" if table is ErrorTable.TRANSIENT_RETRY else _UNRESOLVED


def last_tried(row: Mapping[str, Any]) -> str:
    """Empty where it never was; rows of before say only when they were seen."""
    return str(row.get("LastTried", row.get("LastSeen", "")))


def in_turns(table: Table, verb: str, rows: Sequence[Mapping[str, Any]], **options: Any) -> None:
    """Rows of one PartitionKey, in as few transactions as they fit, some of these at once.

    What is to be changed and is not there is left. A transaction that fails keeps none of the others from being sent.
    """

    def write(part: Sequence[Mapping[str, Any]]) -> None:
        try:
            table.submit_transaction([(verb, row, options) for row in part])
        except TableTransactionError as error:
            if error.status_code != HTTPStatus.NOT_FOUND or verb == "upsert":
                raise
            for row in part:  # somebody has taken rows out by hand: the rest is done one by one
                table.one_if_there(verb, row, **options)

    parts = list(_parts(rows))
    with ThreadPoolExecutor(min(TRANSACTIONS_AT_ONCE, len(parts)) or 1) as threads:
        sent = [threads.submit(write, part) for part in parts]
    for one in sent:
        one.result()


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """As storage takes them at once: so many rows, and so many bytes."""
    part: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        takes = _OF_AN_OPERATION + len(json.dumps(row, default=str))
        if part and (len(part) == MAX_ROWS or size + takes > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += takes
    if part:
        yield part


def entity_of(table: ErrorTable, row: Mapping[str, Any]) -> dict[str, Any]:
    """The index's row of a row of an error table."""
    sequence, study = number(row["ChangeFeedSequence"]), row.get("StudyUid") or ""
    partition = row.get("Partition") or DEFAULT_PARTITION  # DICOM Cast knew no other
    instance = digest(partition, study, row.get("SeriesUid") or "", row.get("InstanceUid") or "")
    place = digest_of_study(partition, study, sequence), instance, str(_TABLES.index(table)), str(sequence)
    is_carried = table is ErrorTable.TRANSIENT_RETRY
    entity = {
        "PartitionKey": CARRIED if is_carried else OPEN,
        "RowKey": "|".join([*place, row["PartitionKey"], row["RowKey"]]),
        "Table": table.value,
        "StudyUid": study,
        "SeriesUid": row.get("SeriesUid") or "",
        "InstanceUid": row.get("InstanceUid") or "",
        "Partition": partition,
        "ChangeFeedSequence": int64(sequence),
    }
    if not is_carried:
        return entity
    of_carried = {"RetryNumber": row.get("RetryNumber") or 0, "FirstSeen": row["FirstSeen"]}
    return entity | of_carried | {"LastTried": last_tried(row), "NotBefore": row.get("NotBefore") or ""}


def _open_row(filed: Filed) -> OpenRow:
    study, instance, table, sequence, exception, row = filed[1].split("|", 5)
    return OpenRow(_TABLES[int(table)], (exception, row), int(sequence), study, instance, filed)


def _carried(row: TableEntity) -> CarriedEntry:
    return CarriedEntry(
        number(row["ChangeFeedSequence"]),
        row["StudyUid"],
        number(row["RetryNumber"]),
        datetime.fromisoformat(row["FirstSeen"]),
        datetime.fromisoformat(row["LastTried"]) if row["LastTried"] else None,
        datetime.fromisoformat(row["NotBefore"]) if row["NotBefore"] else None,
        row["Partition"],
        row["SeriesUid"],
        row["InstanceUid"],
    )
