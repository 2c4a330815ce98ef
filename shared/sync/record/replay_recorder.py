"""What a replay leaves behind: as a batch does, but what waits stays with the replay, and a dry run leaves nothing."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from shared.failures import ErrorQuery, ErrorRow, ErrorTable, FailedEntry
from shared.model import ChangeFeedEntry, FeedEntry, TornEntry
from shared.replay import ReplayError, ReplayRequest, StudyRebuild
from shared.sync.ports import ErrorStore, Ports
from shared.sync.record.recorder import not_synced, torn_failures, transient_failures
from shared.sync.record.rows import ErrorRows

ROWS_AT_ONCE = 1_000


class ReplayRecorder:
    """A Recorder. `errors` are those met; `waiting` is why a study could not be finished, `left` their sequences.

    Entries that do not come from the feed have the sequence 0: there is no row for them in the error tables.
    """

    def __init__(self, ports: Ports, rows: ErrorRows, request: ReplayRequest) -> None:
        self._ports = ports
        self._rows = rows
        self._request = request
        self.errors: list[ReplayError] = []
        self.waiting: str | None = None
        self.left: set[int] = set()

    def done(self, entries: Sequence[ChangeFeedEntry], failures: Sequence[FailedEntry]) -> int:
        """A rebuild resolves by instance; one that waits, or is given up, has mended nothing, and resolves nothing."""
        self._keep(entries, failures)
        target = self._request.target
        if isinstance(target, StudyRebuild) and not self._request.dry_run:
            self._resolve_study(target, failures)
        return not_synced(failures)

    def torn(self, entries: Sequence[TornEntry]) -> int:
        self._keep(entries, torn_failures(entries))
        return len(entries)

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, tries: int = 0, not_before: datetime | None = None
    ) -> None:
        """Nothing is written: the replay comes back to it."""
        _ = tries, not_before
        self.waiting = reason
        self.left |= {entry.sequence for entry in entries} or {0}

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        self._keep(entries, transient_failures(ErrorTable.TRANSIENT_FAILURE, entries, reason))
        return len(entries)

    def _keep(self, entries: Sequence[FeedEntry], failures: Sequence[FailedEntry]) -> None:
        self.errors += [ReplayError(one.sequence or None, one.sop_instance_uid, one.message) for one in failures]
        if self._request.dry_run:
            return
        self._rows.record([failure for failure in failures if failure.sequence])
        if not isinstance(self._request.target, StudyRebuild):
            self._rows.resolve(entries, failures)

    def _resolve_study(self, target: StudyRebuild, failures: Collection[FailedEntry]) -> None:
        """What the archive holds, and what it holds no more, is in FHIR now: whichever entry of the feed told of it."""
        failed = {(failure.series_instance_uid, failure.sop_instance_uid) for failure in failures}
        if ("", "") in failed:  # the study as a whole
            return
        queries = (ErrorQuery(table, study_instance_uid=target.study_instance_uid) for table in ErrorTable)
        rows = [row for query in queries for row in rows_of(self._ports.errors, query)]
        mended = {
            row.sequence
            for row in rows
            if row.partition == target.partition and (row.series_instance_uid, row.sop_instance_uid) not in failed
        }
        if mended:
            self._ports.lease.ensure_held()
            self._ports.errors.resolve(mended)


def rows_of(errors: ErrorStore, query: ErrorQuery) -> Iterator[ErrorRow]:
    """All rows that fit, page by page."""
    after = None
    while page := errors.page(query, ROWS_AT_ONCE, after):
        yield from page
        after = page[-1].key
