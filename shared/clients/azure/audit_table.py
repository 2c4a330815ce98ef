"""The rounds of the audit: a table of the app's own, with one row for the current round, and one for each before it.

The current row is written by the host that holds the lease and by requests that begin, stop or confirm a round; its
ETag shows each whether another came first. A request reads row and ETag itself, as threads share the table; the host's
writes follow from the round that it has read as the current one, and from nothing that it looks at in between.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableEntity

from shared.clients.azure.record_column import json_of, record_of
from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import UNCHANGED, Table, Tables, newest_first, unless_another_came_first
from shared.errors import LeaseLostError, RoundUnderWayError
from shared.model.audit import Round, RoundRequest, RoundState

TABLE = "AuditTable"
PARTITION_KEY = "Round"
CURRENT = "!current"  # sorts before all ids, which are hexadecimal
MAX_KEPT = 100
"""Rounds that are kept besides the current one."""


class AuditTable:
    """The rounds. `now`: the clock, of which ids are made too. All methods raise OutageError."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._etag = ""

    def current(self) -> Round | None:
        """The current round; None before the first, or if its row cannot be read: the next round then replaces it.

        This is the round that `write` writes, and for which it finds out whether another came first.
        """
        with storage_faults():
            round_, self._etag = self._read()
        return round_

    def latest(self, count: int) -> list[Round]:
        """The current round and those before it, newest first."""
        with storage_faults():
            current, _ = self._read()
            before = [record_of(Round, TABLE, row) for row in islice(self._ended(), count)]
        return [one for one in (current, *before) if one][:count]

    def create(self, request: RoundRequest, not_before: datetime | None = None) -> Round:
        """A new current round, if the one before has ended or has not begun. Raises RoundUnderWayError."""
        with storage_faults():
            return self._create(request, not_before)

    @unless_another_came_first
    def _create(self, request: RoundRequest, not_before: datetime | None) -> Round:
        before, etag = self._read()
        if before and before.is_under_way and not before.is_waiting:
            raise RoundUnderWayError
        now = self._now()
        new = Round(newest_first(now), request, RoundState.QUEUED, created=now, updated=now, not_before=not_before)
        stored, self._etag = self._replace(new, before if before and not before.is_under_way else None, etag)
        self._delete_old()
        return stored

    def write(self, round_: Round) -> Round:
        """Writes the round that `current` or `create` gave. Returns it, or the stored one if that was cancelled since.

        Raises LeaseLostError if another host has written it.
        """
        with storage_faults():
            try:
                self._etag = self._update(round_, self._etag)
            except (ResourceModifiedError, ResourceNotFoundError):
                current, _ = self._read()
                if current and current.id == round_.id and current.state is RoundState.CANCELLED:
                    return current
                raise LeaseLostError(f"another host works on round {round_.id} of the audit") from None
        return round_

    def cancel(self) -> Round | None:
        """Cancels the current round and returns it; None if none is under way."""
        with storage_faults():
            return self._change(lambda one: replace(one, state=RoundState.CANCELLED) if one.is_under_way else None)

    def confirm(self, round_id: str) -> Round | None:
        """Lets the stopped round of this id go on, with the deletes that it waits with; None if it is not stopped."""

        def confirmed(one: Round) -> Round | None:
            if one.id != round_id or one.state is not RoundState.STOPPED:
                return None
            deletes = one.counts.deleted + one.deletes_waiting
            return replace(one, state=RoundState.RUNNING, deletes_confirmed=deletes, deletes_waiting=0)

        with storage_faults():
            return self._change(confirmed)

    @property
    def _table(self) -> Table:
        return self._tables[TABLE]

    def _ended(self) -> Iterable[TableEntity]:
        return self._table.query_entities(f"PartitionKey eq '{PARTITION_KEY}' and RowKey gt '{CURRENT}'")

    @unless_another_came_first
    def _change(self, change: Callable[[Round], Round | None]) -> Round | None:
        """Writes the current round as `change` returns it; None if that is None."""
        current, etag = self._read()
        if current is None or (changed := change(current)) is None:
            return None
        changed = replace(changed, updated=self._now(), waiting_for=None, failing_since=None)
        self._update(changed, etag)
        return changed

    def _read(self) -> tuple[Round | None, str]:
        """The current round, None if there is none or it cannot be read, and its row's ETag, empty without a row."""
        try:
            row = self._table.get_entity(PARTITION_KEY, CURRENT)
        except ResourceNotFoundError:
            return None, ""
        return record_of(Round, TABLE, row), str(row.metadata["etag"])

    def _update(self, round_: Round, etag: str) -> str:
        """The ETag of the row that was written."""
        return str(self._table.update_entity(_row(CURRENT, round_), etag=etag, **UNCHANGED)["etag"])

    def _replace(self, new: Round, before: Round | None, etag: str) -> tuple[Round, str]:
        """The round that stands there now, which another may have changed already, and its ETag.

        `before` is kept besides; `etag`: of the row that is replaced.
        """
        if not etag:
            return new, str(self._table.create_entity(_row(CURRENT, new))["etag"])
        if before is None:
            return new, self._update(new, etag)
        kept = ("upsert", _row(before.id, before))
        self._table.submit_transaction([kept, ("update", _row(CURRENT, new), {**UNCHANGED, "etag": etag})])
        stored, etag = self._read()  # a transaction does not return the ETag
        return stored or new, etag

    def _delete_old(self) -> None:
        for row in list(islice(self._ended(), MAX_KEPT, None)):
            self._table.delete_entity(row)


def _row(key: str, round_: Round) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": key,
        "State": round_.state.value,
        "Record": json_of(round_),
    }
