"""Works through the studies of a batch: each is synced, tried again, carried to a later tick, or given up."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import (
    ConflictError,
    FhirRefusedError,
    OutageError,
    OutOfTimeError,
    ThrottledError,
    TransientError,
    UnreadStudyError,
)
from shared.model.counts import Counts
from shared.model.outcome import STUDIES_OF_AN_OUTAGE
from shared.sync.ports import Ports
from shared.sync.queue.concurrency import GroupRun, WorkerPool
from shared.sync.queue.pending import PendingStudies
from shared.sync.queue.progress import Limits, Progress
from shared.sync.queue.retry import ATTEMPTS_IN_A_TICK, MAX_WAIT_SECONDS, delay_seconds
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.record.recorder import Recorder
from shared.sync.record.resolving import DoneStudy
from shared.sync.transact.one_study import SUSPECT_STATUSES
from shared.sync.transact.task import StudyOutcome, StudyResult

RECORDED_AT_ONCE = 400
"""Studies, or their rows, that are recorded together: as many rows as the transactions hold that are sent at once."""
_OF_ONE_BUNDLE = frozenset({408, 500})
"""Statuses of a transaction that say nothing about other ones, as long as the server's store is well."""
_NO_OUTAGE = (ConflictError, OutOfTimeError, UnreadStudyError)


@dataclass(frozen=True, slots=True)
class _Failed:
    """A study that failed in this tick with a transient fault: how often, and when its next attempt is due."""

    study: Study
    error: TransientError
    attempts: int
    due: datetime


class StudyQueue:
    """Syncs studies, several at once. Those with a transient fault are tried again once the others are done."""

    def __init__(
        self,
        ports: Ports,
        sync: StudySync,
        recorder: Recorder,
        limits: Limits,
        show_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`show_progress` is called with the number of entries that are done, whenever it has grown."""
        self._ports = ports
        self._sync = sync
        self._recorder = recorder
        self._limits = limits
        self._show_progress = show_progress
        self._failed: dict[int, _Failed] = {}
        self._fallen: list[tuple[Study, StudyResult]] = []
        self._done_studies: list[Study] = []
        self._rows = 0
        self._progress = Progress()
        self._probes = 0

    def run(self, studies: Sequence[Study]) -> Progress:
        """Raises LeaseLostError rather than write without the lease; what was done before that is recorded."""
        progress = self._progress
        pending = PendingStudies(studies, self._sync.patients, self._sync.feed_order)
        try:
            self._sync_all(pending)
            self._retry_failed(pending)
            self._count_fallen()
            self._record(pending)
        except OutageError as error:
            progress.outage = error
            with suppress(OutageError):  # of storage: what cannot be recorded is done again by the next tick
                self._record(pending)
            progress.unfinished = [one.study for one in self._failed.values()] + pending.remaining
        else:
            for one in self._failed.values():
                self._carry(one)
            progress.unfinished = pending.remaining
            self._show_progress(progress.done)
        return progress

    def _sync_all(self, pending: PendingStudies) -> None:
        """Makes the first attempt at each study, as many at a time as the limit allows, until the deadline."""
        with WorkerPool(self._ports.concurrency, self._synced) as pool:
            while True:
                while pool.has_room and self._ports.now() < self._limits.deadline:
                    if not (group := pending.next_group(self._ports.concurrency.workers)):
                        break
                    self._ports.lease.ensure_held()
                    pool.start(group)
                if not (ended := pool.ended()):
                    return
                for studies, future, run in ended:
                    self._take_results(pending, studies, future.result(), run)
                if max(len(self._done_studies), self._rows) >= RECORDED_AT_ONCE:
                    self._record(pending)

    def _synced(self, group: Sequence[Study]) -> list[StudyOutcome]:
        uids = " ".join(study.study_instance_uid for study in group)
        with self._ports.telemetry.studies(uids, sum(len(study.entries) for study in group)) as report:
            outcomes = self._sync.run_all(group)
            done = [outcome for outcome in outcomes if isinstance(outcome, StudyResult)]
            failed = sum(failure.is_final for result in done for failure in result.failures)
            report(any(result.wrote for result in done), failed)
        return outcomes

    def _take_results(
        self, pending: PendingStudies, group: Sequence[Study], results: Sequence[StudyOutcome], run: GroupRun
    ) -> None:
        """Takes the results of a group. Raises OutageError if nothing succeeds."""
        for study, result in zip(group, results, strict=True):
            pending.attempted(study)
            if isinstance(result, TransientError):
                pending.remove([study])
                self._put_off(study, result, attempts=1)
            else:
                self._done(study, result)
        if any(isinstance(result, ThrottledError) for result in results):
            self._ports.concurrency.throttled()
        elif not any(isinstance(result, TransientError) for result in results):
            self._ports.concurrency.went_well(run, self._ports.fhir.quickest)

    def _retry_failed(self, pending: PendingStudies) -> None:
        """Tries the failed studies again, each when it is due, as often and as long as one tick may."""
        while ready := [one for one in self._failed.values() if one.attempts < ATTEMPTS_IN_A_TICK]:
            failed = min(ready, key=lambda one: one.due)
            wait = (failed.due - self._ports.now()).total_seconds()
            if wait > MAX_WAIT_SECONDS or failed.due >= self._limits.deadline:
                return
            self._ports.sleep(max(0.0, wait))
            self._ports.lease.ensure_held()
            (result,) = self._synced([failed.study])
            if isinstance(result, TransientError) and self._is_own_fault(failed, result):
                result = self._sync.run_suspect(failed.study)
            if isinstance(result, TransientError):
                self._put_off(failed.study, result, failed.attempts + 1)
            else:
                self._done(failed.study, result)
                self._record(pending)  # at once: if its failures cannot be recorded, it is not done
                del self._failed[id(failed.study)]

    def _is_own_fault(self, failed: _Failed, error: TransientError) -> bool:
        """Whether all attempts have failed in the same way, and the server is well: other studies were written."""
        is_same = error.status in SUSPECT_STATUSES and error.status == failed.error.status
        return is_same and failed.attempts + 1 >= ATTEMPTS_IN_A_TICK and self._progress.counts.studies > 0

    def _put_off(self, study: Study, error: TransientError, attempts: int) -> None:
        """Notes when the next attempt is due. Raises OutageError if it is not the study but the server."""
        delay = delay_seconds(attempts, error.retry_after_seconds, self._limits.total_retry_seconds)
        due = self._ports.now() + timedelta(seconds=delay)
        self._failed[id(study)] = _Failed(study, error, attempts, due)
        self._suspect_outage(error)

    def _done(self, study: Study, result: StudyResult) -> None:
        """Counts the study as done. Studies that made the app fall, or that FHIR forbids, wait until one succeeds.

        So a bad release, or a missing role, makes no error rows.

        Raises OutageError if study after study falls in the same way, or if the FHIR server refuses all it is asked.
        """
        if not self._progress.counts.studies and not result.wrote and _is_refused(result):
            self._ensure_well()
        if not result.is_fallen or self._progress.counts.studies:
            self._count_fallen()
            self._count(study, result)
            return
        self._fallen.append((study, result))
        causes = {failure.exception for _, fallen in self._fallen for failure in fallen.failures}
        if len(self._fallen) >= STUDIES_OF_AN_OUTAGE and len(causes) == 1:
            last = result.failures[0]
            message = f"{last.message}; nothing succeeds, {len(self._fallen)} studies fell"
            raise OutageError("FHIR server" if last.may_befall_all else "the app", message)

    def _count_fallen(self) -> None:
        for study, result in self._fallen:
            self._count(study, result)
        self._fallen.clear()

    def _record(self, pending: PendingStudies) -> None:
        """Writes down what is done. Raises OutageError, LeaseLostError."""
        self._recorder.flush()
        pending.remove(self._done_studies)
        self._done_studies, self._rows = [], 0

    def _count(self, study: Study, result: StudyResult) -> None:
        failed = self._recorder.done(DoneStudy(study.entries, result.failures, result.untrue, result.gone))
        self._done_studies.append(study)
        self._rows += len(result.failures)
        left_out = sum(not failure.is_final for failure in result.failures)
        synced = {"written" if result.wrote else "unchanged": len(study.entries) - failed}
        self._progress.counts += Counts(studies=1, failed=failed, invalid_tags=left_out, **synced)
        self._progress.studies_written += result.wrote
        self._progress.codings_without_system.update(result.codings_without_system)
        self._show_progress(self._progress.done)

    def _suspect_outage(self, error: TransientError) -> None:
        """Raises OutageError if nothing has succeeded yet, and the server's store is down or it is too busy for all.

        It is no outage that somebody else writes first, nor that the archive cannot be asked about a study; nor that
        studies fail with 500, however many, as long as the probe's search and transaction succeed.
        """
        if self._progress.counts.studies or isinstance(error, _NO_OUTAGE):
            return
        self._ensure_well()
        failed = [one for one in self._failed.values() if not _is_studys_own(one.error)]
        # The studies of a group that is throttled share one error: they count once.
        faults = {id(one.error) if isinstance(one.error, ThrottledError) else id(one) for one in failed}
        if len(faults) >= STUDIES_OF_AN_OUTAGE:
            raise OutageError("FHIR server", f"{error}; nothing succeeds, {len(failed)} studies failed")

    def _ensure_well(self) -> None:
        """Raises OutageError unless the FHIR server's store is well. The probe is sent only a few times in a tick."""
        if self._probes < STUDIES_OF_AN_OUTAGE:
            self._ports.fhir.probe()
            self._probes += 1

    def _carry(self, failed: _Failed) -> None:
        """Carries the study's entries to a later tick. Those that were tried for too long are given up instead."""
        study, reason = failed.study, str(failed.error)
        now, total = self._ports.now(), self._limits.total_retry_seconds
        over = [entry for entry in study.entries if study.is_over(entry.sequence, now, total)]
        if over or (not study.entries and study.is_over(0, now, total)):
            self._progress.counts += Counts(failed=self._recorder.given_up(over, reason))
            if len(over) == len(study.entries):
                return
        rest = [entry for entry in study.entries if entry not in over] if over else study.entries
        asked = failed.error.retry_after_seconds
        self._recorder.carried(rest, reason, failed.attempts, failed.due if asked else None)
        self._progress.carry(rest)


def _is_studys_own(error: TransientError) -> bool:
    """Whether the fault concerns this study alone, given that the probe succeeded."""
    return isinstance(error, _NO_OUTAGE) or error.status in _OF_ONE_BUNDLE


def _is_refused(result: StudyResult) -> bool:
    """Whether the FHIR server refused it, or a gateway in its place: one without a server behind it says 404 to all."""
    return any(failure.exception == FhirRefusedError.__name__ for failure in result.failures)
