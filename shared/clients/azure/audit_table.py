"""The rounds of the audit: a table of the app's own, in which one row is the current round, the others those before.

The current row is written by the host that holds the lease, and by whoever begins, stops or confirms a round; its ETag
tells one that the other came first.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableEntity
from pydantic import TypeAdapter

from shared.clients.azure.tables import (
    UNCHANGED,
    Table,
    Tables,
    newest_first,
    record_of,
    storage_faults,
    unless_another_came_first,
)
from shared.errors import LeaseLostError, RoundUnderWayError
from shared.model.audit import Round, RoundRequest, RoundState

TABLE = "AuditTable"
PARTITION_KEY = "Round"
CURRENT = "!current"  # sorts before all ids, which are hexadecimal
MAX_KEPT = 100
"""So many rounds are kept besides the current one."""
_ROUND = TypeAdapter(Round)


class AuditTable:
    """`now` is the clock that ids are made of."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._etag = ""

    def current(self) -> Round | None:
        """None before the first, and where the row cannot be read: the next round is written over it."""
        with storage_faults():
            try:
                row = self._table.get_entity(PARTITION_KEY, CURRENT)
            except ResourceNotFoundError:
                self._etag = ""
                return None
        self._etag = str(row.metadata["etag"])
        return record_of(_ROUND, TABLE, row)

    def latest(self, count: int) -> list[Round]:
        """The current one first, then the newest."""
        current = self.current()
        with storage_faults():
            before = [record_of(_ROUND, TABLE, row) for row in islice(self._ended(), count)]
        return [one for one in (current, *before) if one][:count]

    def create(self, request: RoundRequest, not_before: datetime | None = None) -> Round:
        """A new current round, in place of one that has ended or only waits for its time. Raises RoundUnderWayError."""
        with storage_faults():
            return self._create(request, not_before)

    @unless_another_came_first
    def _create(self, request: RoundRequest, not_before: datetime | None) -> Round:
        before = self.current()
        if before and before.is_under_way and not before.not_before:
            raise RoundUnderWayError
        now = self._now()
        new = Round(newest_first(now), request, RoundState.QUEUED, created=now, updated=now, not_before=not_before)
        self._replace(new, before if before and not before.is_under_way else None)
        self._let_go_of_old()
        return new

    def write(self, round_: Round) -> Round:
        """The round, or as it was cancelled meanwhile. Raises LeaseLostError where another host has written it."""
        with storage_faults():
            try:
                self._update(round_)
            except (ResourceModifiedError, ResourceNotFoundError):
                current = self.current()
                if current and current.id == round_.id and current.state is RoundState.CANCELLED:
                    return current
                raise LeaseLostError(f"another host works on round {round_.id} of the audit") from None
        return round_

    def cancel(self) -> Round | None:
        """The current round, cancelled; None where none is under way."""
        return self._changed(lambda one: replace(one, state=RoundState.CANCELLED) if one.is_under_way else None)

    def confirm(self, round_id: str) -> Round | None:
        """The stopped round of this id, which goes on with the deletes that it told; None where it is not that."""

        def confirmed(one: Round) -> Round | None:
            if one.id != round_id or one.state is not RoundState.STOPPED:
                return None
            word = one.counts.deleted + one.deletes_waiting
            return replace(one, state=RoundState.RUNNING, deletes_confirmed=word, deletes_waiting=0)

        return self._changed(confirmed)

    @property
    def _table(self) -> Table:
        return self._tables[TABLE]

    def _ended(self) -> Iterable[TableEntity]:
        return self._table.query_entities(f"PartitionKey eq '{PARTITION_KEY}' and RowKey gt '{CURRENT}'")

    def _changed(self, change: Callable[[Round], Round | None]) -> Round | None:
        while (current := self.current()) and (changed := change(current)):
            changed = replace(changed, updated=self._now(), waiting_for=None, failing_since=None)
            with storage_faults():
                try:
                    self._update(changed)
                except ResourceModifiedError:  # the host that works on it has just written
                    continue
            return changed
        return None

    def _update(self, round_: Round) -> None:
        answer = self._table.update_entity(_row(CURRENT, round_), etag=self._etag, **UNCHANGED)
        self._etag = str(answer["etag"])

    def _replace(self, new: Round, before: Round | None) -> None:
        if not self._etag:
            self._etag = str(self._table.create_entity(_row(CURRENT, new))["etag"])
        elif before is None:
            self._update(new)
        else:
            kept = ("upsert", _row(before.id, before))
            current = ("update", _row(CURRENT, new), {**UNCHANGED, "etag": self._etag})
            self._table.submit_transaction([kept, current])
            self.current()  # a transaction tells no ETag

    def _let_go_of_old(self) -> None:
        for row in list(islice(self._ended(), MAX_KEPT, None)):
            self._table.delete_entity(row)


def _row(key: str, round_: Round) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": key,
        "State": round_.state.value,
        "Record": _ROUND.dump_json(round_).decode(),
    }
