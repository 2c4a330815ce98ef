"""What a replay leaves behind: as a batch does, but what waits stays with the replay, and a dry run leaves nothing."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from shared.failures import ErrorQuery, ErrorRow, ErrorTable, FailedEntry
from shared.model import ChangeFeedEntry, FeedEntry, StoredWatermark, Watermark
from shared.replay import ReplayError, ReplayRequest, StudyRebuild
from shared.sync.books import Books
from shared.sync.ports import ErrorStore, Ports

ROWS_AT_ONCE = 1_000


class ReplayBooks(Books):
    """`errors` are those met; `waiting` is why a study could not be finished, and `left` the sequences of such studies.

    Entries that do not come from the feed have the sequence 0: there is no row for them in the error tables.
    """

    def __init__(self, ports: Ports, stored: StoredWatermark, through: Watermark, request: ReplayRequest) -> None:
        super().__init__(ports, stored, through)
        self._request = request
        self.errors: list[ReplayError] = []
        self.waiting: str | None = None
        self.left: set[int] = set()

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, tries: int = 0, not_before: datetime | None = None
    ) -> None:
        """Nothing is written: the replay comes back to it."""
        _ = tries, not_before
        self.waiting = reason
        self.left |= {entry.sequence for entry in entries} or {0}

    def _record(self, failures: Sequence[FailedEntry]) -> None:
        self.errors += [ReplayError(one.sequence or None, one.sop_instance_uid, one.message) for one in failures]
        if not self._request.dry_run:
            super()._record([failure for failure in failures if failure.sequence])

    def _resolve_earlier(self, entries: Sequence[FeedEntry], failures: Collection[FailedEntry]) -> None:
        if self._request.dry_run:
            return
        if not isinstance(self._request.target, StudyRebuild):
            super()._resolve_earlier(entries, failures)
            return
        # What the archive holds, and what it holds no more, is in FHIR now: whichever entry of the feed told of it.
        failed = {failure.sop_instance_uid for failure in failures}
        study, partition = self._request.target.study_instance_uid, self._request.target.partition
        queries = (ErrorQuery(table, study_instance_uid=study) for table in ErrorTable)
        rows = [row for query in queries for row in rows_of(self._ports.errors, query) if row.partition == partition]
        self._ports.errors.resolve({row.sequence for row in rows if row.sop_instance_uid not in failed})


def rows_of(errors: ErrorStore, query: ErrorQuery) -> Iterator[ErrorRow]:
    """All rows that fit, page by page."""
    after = None
    while page := errors.page(query, ROWS_AT_ONCE, after):
        yield from page
        after = page[-1].key
