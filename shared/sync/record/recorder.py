"""The Protocol by which a queue of studies has its outcomes recorded: for the feed's batch, or for a replay."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from shared.errors import TornEntryError, TransientError
from shared.model.change_feed import ChangeFeedEntry, FeedEntry, TornEntry
from shared.model.failures import ErrorTable, FailedEntry
from shared.sync.record.resolving import DoneStudy

GONE = "the feed has the entry no more; replay its study instead"


class Recorder(Protocol):
    """Its methods raise LeaseLostError if this host no longer holds the lease, OutageError if storage is down."""

    def done(self, study: DoneStudy) -> int:
        """Takes a study that is done, for `flush` to record; returns how many of its entries are not synced."""
        ...

    def flush(self) -> None:
        """Records the studies that are done, together: rows of many studies take storage no longer than one study's."""
        ...

    def torn(self, entries: Sequence[TornEntry]) -> int:
        """Records entries of the feed that cannot be read; returns how many."""
        ...

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, attempts: int = 0, not_before: datetime | None = None
    ) -> None:
        """Records that a study is carried to a later tick; `attempts` have failed in this one."""
        ...

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        """Records that a study was tried for too long; returns the number of entries."""
        ...


def not_synced(failures: Sequence[FailedEntry]) -> int:
    """How many entries are not in FHIR because of these failures."""
    return len({failure.sequence for failure in failures if failure.is_final})


def torn_failures(entries: Sequence[TornEntry]) -> list[FailedEntry]:
    """The rows of entries that cannot be read."""
    name = TornEntryError.__name__
    return [FailedEntry.of(entry, TornEntryError.table, name, entry.message) for entry in entries]


def transient_failures(table: ErrorTable, entries: Sequence[FeedEntry], reason: str) -> list[FailedEntry]:
    """The rows of a study with a transient fault.

    All have the same exception class, so that an entry that fails in several ways has one row.
    """
    return [FailedEntry.of(entry, table, TransientError.__name__, reason) for entry in entries]
