"""What a batch of the feed leaves behind: failures in their tables, earlier failures resolved."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.failures import ErrorTable, FailedEntry
from shared.model import ChangeFeedEntry, FeedEntry, TornEntry
from shared.sync.record.recorder import not_synced, torn_failures, transient_failures
from shared.sync.record.rows import ErrorRows


class FeedRecorder:
    """A Recorder: what waits for a later tick has a row, by which the feed finds it again."""

    def __init__(self, rows: ErrorRows) -> None:
        self._rows = rows

    def done(self, entries: Sequence[ChangeFeedEntry], failures: Sequence[FailedEntry]) -> int:
        self._keep(entries, failures)
        return not_synced(failures)

    def torn(self, entries: Sequence[TornEntry]) -> int:
        self._keep(entries, torn_failures(entries))
        return len(entries)

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, tries: int = 0, not_before: datetime | None = None
    ) -> None:
        rows = transient_failures(ErrorTable.TRANSIENT_RETRY, entries, reason)
        self._rows.record([replace(row, tries=tries, not_before=not_before) for row in rows])

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        self._keep(entries, transient_failures(ErrorTable.TRANSIENT_FAILURE, entries, reason))
        return len(entries)

    def _keep(self, entries: Sequence[FeedEntry], failures: Sequence[FailedEntry]) -> None:
        self._rows.record(failures)
        self._rows.resolve(entries, failures)
