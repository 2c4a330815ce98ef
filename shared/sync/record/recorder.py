"""What a queue of studies tells whoever keeps the record of it: the feed's batch, or a replay."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from shared.errors import TornEntryError, TransientError
from shared.model.change_feed import ChangeFeedEntry, FeedEntry, TornEntry
from shared.model.failures import ErrorTable, FailedEntry
from shared.sync.record.past import DoneStudy

GONE = "the feed has the entry no more; replay its study instead"


class Recorder(Protocol):
    """Raises LeaseLostError where the lease is no longer ours, OutageError where storage is down."""

    def done(self, study: DoneStudy) -> int:
        """A study is done; how many of its entries are not synced. `flush` writes it down."""
        ...

    def flush(self) -> None:
        """Writes down what is done: rows of many studies cost storage as much as one study's."""
        ...

    def torn(self, entries: Sequence[TornEntry]) -> int:
        """Entries of the feed cannot be read; how many they were."""
        ...

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, attempts: int = 0, not_before: datetime | None = None
    ) -> None:
        """A study waits; `attempts` failed in this tick."""
        ...

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        """A study was tried for too long; how many entries that were."""
        ...


def not_synced(failures: Sequence[FailedEntry]) -> int:
    """How many entries the failures keep out of FHIR."""
    return len({failure.sequence for failure in failures if failure.is_final})


def torn_failures(entries: Sequence[TornEntry]) -> list[FailedEntry]:
    """The rows of entries that cannot be read."""
    name = TornEntryError.__name__
    return [FailedEntry.of(entry, TornEntryError.table, name, entry.message) for entry in entries]


def transient_failures(table: ErrorTable, entries: Sequence[FeedEntry], reason: str) -> list[FailedEntry]:
    """The rows of a study with a passing fault.

    One class for all of them: an entry that fails now in one way, now in another, is one row.
    """
    return [FailedEntry.of(entry, table, TransientError.__name__, reason) for entry in entries]
