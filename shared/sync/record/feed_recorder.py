"""Records what became of a batch of the feed: failures get rows, and rows of earlier failures are resolved."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.model.change_feed import ChangeFeedEntry, FeedEntry, TornEntry
from shared.model.failures import CarriedEntry, ErrorTable, FailedEntry
from shared.sync.record.recorder import GONE, not_synced, torn_failures, transient_failures
from shared.sync.record.resolving import DoneStudy, of_entries
from shared.sync.record.rows import ErrorRows


class FeedRecorder:
    """A Recorder. A carried entry has a row, by which a later tick finds it again."""

    def __init__(self, rows: ErrorRows) -> None:
        self._rows = rows
        self._done: list[DoneStudy] = []

    def done(self, study: DoneStudy) -> int:
        self._done.append(study)
        return not_synced(study.failures)

    def flush(self) -> None:
        resolved = self._rows.to_resolve(self._done)
        self._rows.record([failure for study in self._done for failure in study.failures])
        self._rows.resolve(resolved)
        self._done = []  # last: if storage fails, the studies are still to be recorded

    def torn(self, entries: Sequence[TornEntry]) -> int:
        return self._keep(entries, torn_failures(entries))

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, attempts: int = 0, not_before: datetime | None = None
    ) -> None:
        rows = transient_failures(ErrorTable.TRANSIENT_RETRY, entries, reason)
        self._keep(entries, [replace(row, attempts=attempts, not_before=not_before) for row in rows])

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        return self._keep(entries, transient_failures(ErrorTable.TRANSIENT_FAILURE, entries, reason))

    def gone(self, entries: Sequence[CarriedEntry]) -> int:
        """Records carried entries that the feed no longer has, and that no tick can try again; returns how many."""
        torn = [TornEntry(one.sequence, None, GONE, *one.instance[1:], one.partition) for one in entries]
        return self._keep(torn, transient_failures(ErrorTable.TRANSIENT_FAILURE, torn, GONE))

    def _keep(self, entries: Sequence[FeedEntry], failures: Sequence[FailedEntry]) -> int:
        self._rows.record(failures)
        if entries:
            self._rows.resolve(of_entries(self._rows.open_of(entries), entries, failures))
        return len(entries)
