"""Records what became of a replay's entries, as for a batch; but what is unfinished stays with the replay."""

from collections.abc import Sequence
from datetime import datetime

from shared.errors import TransientError
from shared.model.change_feed import ChangeFeedEntry, FeedEntry, TornEntry
from shared.model.failures import ErrorTable, FailedEntry, OpenRow
from shared.model.replay import ReplayError, ReplayRequest, StudyRebuild
from shared.sync.ports import Ports
from shared.sync.record.recorder import not_synced, torn_failures, transient_failures
from shared.sync.record.resolving import DoneStudy, after_rebuild, of_entries
from shared.sync.record.rows import ErrorRows


class ReplayRecorder:
    """A Recorder; for a dry run it writes nothing.

    `errors`: those met. `unfinished`: the sequences of entries that are to be tried again, `reason` why. `whole`: the
    study that is rebuilt, None if entries of the feed are run again. Instances of a rebuild have the sequence 0, and no
    rows in the error tables; but a study whose rebuild is given up has one.
    """

    def __init__(self, ports: Ports, rows: ErrorRows, request: ReplayRequest, whole: StudyRebuild | None) -> None:
        self._ports = ports
        self._rows = rows
        self._request = request
        self._whole = whole
        self.errors: list[ReplayError] = []
        self.reason: str | None = None
        self.unfinished: set[int] = set()
        self._done: list[DoneStudy] = []

    def done(self, study: DoneStudy) -> int:
        self.errors += map(_error_of, study.failures)
        self._done.append(study)
        return not_synced(study.failures)

    def flush(self) -> None:
        if not self._request.dry_run:
            resolved = self._to_resolve(self._done)
            self._record([failure for study in self._done for failure in study.failures])
            self._rows.resolve(resolved)
        self._done = []

    def torn(self, entries: Sequence[TornEntry]) -> int:
        return self._keep(entries, torn_failures(entries))

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, attempts: int = 0, not_before: datetime | None = None
    ) -> None:
        """Writes nothing: the replay tries these again."""
        _ = attempts, not_before
        self.reason = reason
        self.unfinished |= {entry.sequence for entry in entries} or {0}

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        """Records that the replay has given up a study. Entries that the feed carries go on being tried by later ticks.

        A study to rebuild may have no entries at all: it cannot be read, or the archive no longer has it.
        """
        if self._whole:
            self._not_rebuilt(self._whole, reason)
            return max(1, len(entries))
        failures = transient_failures(ErrorTable.TRANSIENT_FAILURE, entries, reason)
        rows = self._rows.open_of(entries)
        carried = {row.sequence for row in rows if row.table is ErrorTable.TRANSIENT_RETRY}
        self.errors += [_error_of(one) for one in failures if one.sequence in carried]
        rest = [entry for entry in entries if entry.sequence not in carried]
        self._keep(rest, [one for one in failures if one.sequence not in carried])
        return len(entries)

    def _to_resolve(self, done: Sequence[DoneStudy]) -> list[OpenRow]:
        if not self._whole:
            return self._rows.to_resolve(done)
        rows = self._open_of(self._whole)
        return [row for study in done for row in after_rebuild(rows, study.failures)]

    def _open_of(self, study: StudyRebuild) -> list[OpenRow]:
        return self._ports.errors.open_rows([(study.partition, study.study_instance_uid)], ())

    def _not_rebuilt(self, study: StudyRebuild, reason: str) -> None:
        """Records a row for the whole study, unless the feed carries entries of it."""
        uids = (study.study_instance_uid, "", "")
        name, message = TransientError.__name__, f"a rebuild of the study was given up: {reason}"
        failure = FailedEntry(ErrorTable.TRANSIENT_FAILURE, 0, *uids, name, message, partition=study.partition)
        self.errors.append(_error_of(failure))
        is_carried = any(row.table is ErrorTable.TRANSIENT_RETRY for row in self._open_of(study))
        if not is_carried and not self._request.dry_run:
            self._rows.record([failure])

    def _keep(self, entries: Sequence[FeedEntry], failures: Sequence[FailedEntry]) -> int:
        self.errors += map(_error_of, failures)
        numbered = [entry for entry in entries if entry.sequence]
        if not self._request.dry_run:
            self._record(failures)
            self._rows.resolve(of_entries(self._rows.open_of(numbered), numbered, failures) if numbered else ())
        return len(entries)

    def _record(self, failures: Sequence[FailedEntry]) -> None:
        self._rows.record([failure for failure in failures if failure.sequence or not self._whole])


def _error_of(failure: FailedEntry) -> ReplayError:
    return ReplayError(failure.sequence or None, failure.sop_instance_uid, failure.message)
