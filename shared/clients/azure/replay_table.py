"""Replays: a table of the app's own, with a row for each replay, newest first.

A row is written by the host that holds the lease and by a request that cancels the replay; its ETag shows each whether
the other came first. One more row is written together with each new replay, so that the same request twice at the same
time makes one replay.
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
from shared.errors import LeaseLostError, TooManyReplaysError
from shared.model.replay import Replay, ReplayRequest, ReplayState

TABLE = "ReplayTable"
PARTITION_KEY = "Replay"
CREATION = "~creation"  # sorts behind all ids, which are hexadecimal
MAX_UNDER_WAY = 10
MAX_KEPT = 100
"""Replays that are kept; older ones are deleted if they have ended."""


class ReplayTable:
    """The replays. `now`: the clock, of which ids are made too. All methods raise OutageError."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._now = now
        self._etags: dict[str, str] = {}

    def create(self, request: ReplayRequest) -> Replay:
        """A new replay, or the one that is under way for the same request. Raises TooManyReplaysError."""
        with storage_faults():
            return self._create(request)

    @unless_another_came_first
    def _create(self, request: ReplayRequest) -> Replay:
        creation = next(iter(self._rows(f"RowKey eq '{CREATION}'")), None)
        under_way = self.under_way()
        if same := next((one for one in under_way if one.request == request), None):
            return same
        if len(under_way) >= MAX_UNDER_WAY:
            raise TooManyReplaysError(MAX_UNDER_WAY)
        now = self._now()
        replay = Replay(newest_first(now), request, ReplayState.QUEUED, created=now, updated=now)
        self._table.submit_transaction([_creation_write(creation, replay.id), ("create", _row(replay))])
        self._delete_old()
        return replay

    def read(self, replay_id: str) -> Replay | None:
        """The replay of this id; None if there is none, or its row cannot be read."""
        with storage_faults():
            try:
                row = self._table.get_entity(PARTITION_KEY, replay_id)
            except ResourceNotFoundError:
                return None
        return self._replay_of(row)

    def latest(self, count: int) -> list[Replay]:
        """The latest replays, newest first."""
        with storage_faults():
            replays = map(self._replay_of, self._rows(f"RowKey lt '{CREATION}'"))
            return list(islice(filter(None, replays), count))

    def under_way(self) -> list[Replay]:
        """The replays that have not ended, oldest first."""
        states = f"State eq '{ReplayState.QUEUED}' or State eq '{ReplayState.RUNNING}'"
        with storage_faults():
            return [one for row in self._rows(states) if (one := self._replay_of(row))][::-1]

    def write(self, replay: Replay) -> Replay:
        """Writes a replay that was read before. Returns it, or the stored one if that was cancelled meanwhile.

        Raises LeaseLostError if another host has written it.
        """
        with storage_faults():
            try:
                answer = self._table.update_entity(_row(replay), etag=self._etags[replay.id], **UNCHANGED)
            except (ResourceModifiedError, ResourceNotFoundError):
                current = self.read(replay.id)
                if current and current.state is ReplayState.CANCELLED:
                    return current
                raise LeaseLostError(f"another host works on replay {replay.id}") from None
        self._etags[replay.id] = str(answer["etag"])
        return replay

    def cancel(self, replay_id: str) -> Replay | None:
        """Cancels a replay and returns it; None if there is none of this id. One that has ended stays as it is."""
        with storage_faults():
            return self._cancel(replay_id)

    @unless_another_came_first
    def _cancel(self, replay_id: str) -> Replay | None:
        replay = self.read(replay_id)
        if replay is None or not replay.is_under_way:
            return replay
        cancelled = replace(replay, state=ReplayState.CANCELLED, updated=self._now(), waiting_for=None)
        self._table.update_entity(_row(cancelled), etag=self._etags[replay_id], **UNCHANGED)
        return cancelled

    @property
    def _table(self) -> Table:
        return self._tables[TABLE]

    def _rows(self, query: str) -> Iterable[TableEntity]:
        return self._table.query_entities(f"PartitionKey eq '{PARTITION_KEY}' and ({query})")

    def _replay_of(self, row: TableEntity) -> Replay | None:
        """The replay in a row, whose ETag is kept; None if the row cannot be read, or holds a replay of another id."""
        self._etags[row["RowKey"]] = str(row.metadata["etag"])
        replay = record_of(Replay, TABLE, row)
        return replay if replay and replay.id == row["RowKey"] else None

    def _delete_old(self) -> None:
        old = islice(self._rows(f"RowKey lt '{CREATION}'"), MAX_KEPT, None)
        for row in [row for row in old if not ((replay := record_of(Replay, TABLE, row)) and replay.is_under_way)]:
            self._table.delete_entity(row)


def _row(replay: Replay) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": replay.id,
        "State": replay.state.value,
        "Record": json_of(replay),
    }


def _creation_write(creation: TableEntity | None, replay_id: str) -> tuple[Any, ...]:
    """The write of the extra row, which fails if another replay was created since it was read."""
    row = {"PartitionKey": PARTITION_KEY, "RowKey": CREATION, "Latest": replay_id}
    if creation is None:
        return ("create", row)
    return ("update", row, {**UNCHANGED, "etag": creation.metadata["etag"]})
