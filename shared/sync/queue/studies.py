"""The studies of a batch, one by one: done, tried again, carried to a later tick, or given up."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
from shared.model.change_feed import ChangeFeedEntry
from shared.model.counts import Counts
from shared.model.outcome import STUDIES_OF_AN_OUTAGE
from shared.sync.ports import Ports
from shared.sync.queue.concurrency import GroupRun, WorkerPool
from shared.sync.queue.pending import PendingStudies
from shared.sync.queue.retry import ATTEMPTS_IN_A_TICK, MAX_WAIT_SECONDS, delay_seconds
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.record.past import DoneStudy
from shared.sync.record.recorder import Recorder
from shared.sync.transact.one_study import SUSPECT_STATUSES
from shared.sync.transact.task import StudyOutcome, StudyResult

AT_ONCE = 400
"""Studies, or rows, that are recorded together: as many rows as the transactions take that are sent at once."""
_OF_ONE_BUNDLE = frozenset({408, 500})
"""Answers to a transaction that are no word on others, where the server's store is well."""
_NO_OUTAGE = (ConflictError, OutOfTimeError, UnreadStudyError)


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline`: nothing new is begun after it. `total_retry_seconds`: how long a study is tried."""

    deadline: datetime
    total_retry_seconds: float


@dataclass(slots=True)
class Progress:
    """What has been done so far.

    `studies_written` counts studies. `unfinished`: neither synced nor recorded, because of the `outage` or for want of
    time.
    """

    counts: Counts = field(default_factory=Counts)
    studies_written: int = 0
    carried: list[ChangeFeedEntry] = field(default_factory=list)
    unfinished: list[Study] = field(default_factory=list)
    outage: OutageError | None = None

    @property
    def done(self) -> int:
        """Entries that are synced, recorded, or carried to a later tick."""
        return self.counts.ended + self.counts.carried

    def carry(self, entries: Sequence[ChangeFeedEntry]) -> None:
        """Counts entries that are recorded as carried."""
        self.carried += entries
        self.counts += Counts(carried=len(entries))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A study that failed in this tick, and when it is tried again."""

    study: Study
    error: TransientError
    tries: int
    due: datetime


class StudyQueue:
    """Works through studies, several at once; those with a transient fault wait for their turn while others go on."""

    def __init__(
        self,
        ports: Ports,
        sync: StudySync,
        recorder: Recorder,
        limits: Limits,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`tell` is told how many entries are done, whenever it has become more."""
        self._ports = ports
        self._sync = sync
        self._recorder = recorder
        self._limits = limits
        self._tell = tell
        self._waiting: dict[int, _Waiting] = {}
        self._fallen: list[tuple[Study, StudyResult]] = []
        self._done_studies: list[Study] = []
        self._rows = 0
        self._progress = Progress()
        self._probes = 0

    def run(self, studies: Sequence[Study]) -> Progress:
        """Raises LeaseLostError before anything is written without it; what was done before is recorded."""
        progress = self._progress
        pending = PendingStudies(studies, self._sync.patients, self._sync.feed_order)
        try:
            self._work(pending)
            self._retry(pending)
            self._count_fallen()
            self._record(pending)
        except OutageError as error:
            progress.outage = error
            with suppress(OutageError):  # of storage: what is not recorded is done again
                self._record(pending)
            progress.unfinished = [one.study for one in self._waiting.values()] + pending.left
        else:
            for one in self._waiting.values():
                self._carry(one)
            progress.unfinished = pending.left
            self._tell(progress.done)
        return progress

    def _work(self, pending: PendingStudies) -> None:
        """Tries each study once, as many at a time as the limit allows, until the deadline."""
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
                    self._enter(pending, studies, future.result(), run)
                if max(len(self._done_studies), self._rows) >= AT_ONCE:
                    self._record(pending)

    def _synced(self, group: Sequence[Study]) -> list[StudyOutcome]:
        uids = " ".join(study.study_instance_uid for study in group)
        with self._ports.telemetry.studies(uids, sum(len(study.entries) for study in group)) as tell:
            outcomes = self._sync.run_all(group)
            done = [outcome for outcome in outcomes if isinstance(outcome, StudyResult)]
            failed = sum(failure.is_final for result in done for failure in result.failures)
            tell(any(result.wrote for result in done), failed)
        return outcomes

    def _enter(
        self, pending: PendingStudies, group: Sequence[Study], results: Sequence[StudyOutcome], run: GroupRun
    ) -> None:
        """Takes the results of a group. Raises OutageError if nothing succeeds."""
        for study, result in zip(group, results, strict=True):
            pending.tried(study)
            if isinstance(result, TransientError):
                pending.taken_over([study])
                self._wait(study, result, tries=1)
            else:
                self._done(study, result)
        if any(isinstance(result, ThrottledError) for result in results):
            self._ports.concurrency.throttled()
        elif not any(isinstance(result, TransientError) for result in results):
            self._ports.concurrency.went_well(run, self._ports.fhir.quickest)

    def _retry(self, pending: PendingStudies) -> None:
        """Tries again what failed, each when it is due, as often and as long as one tick may."""
        while ready := [one for one in self._waiting.values() if one.tries < ATTEMPTS_IN_A_TICK]:
            waiting = min(ready, key=lambda one: one.due)
            wait = (waiting.due - self._ports.now()).total_seconds()
            if wait > MAX_WAIT_SECONDS or waiting.due >= self._limits.deadline:
                return
            self._ports.sleep(max(0.0, wait))
            self._ports.lease.ensure_held()
            (result,) = self._synced([waiting.study])
            if isinstance(result, TransientError) and self._is_own_fault(waiting, result):
                result = self._sync.run_suspect(waiting.study)
            if isinstance(result, TransientError):
                self._wait(waiting.study, result, waiting.tries + 1)
            else:
                self._done(waiting.study, result)
                self._record(pending)  # not later: where its failures cannot be recorded, it is not done
                del self._waiting[id(waiting.study)]

    def _is_own_fault(self, waiting: _Waiting, error: TransientError) -> bool:
        """Whether it has failed in the same way all the time, and the server is well: others were written."""
        is_same = error.status in SUSPECT_STATUSES and error.status == waiting.error.status
        return is_same and waiting.tries + 1 >= ATTEMPTS_IN_A_TICK and self._progress.counts.studies > 0

    def _wait(self, study: Study, error: TransientError, tries: int) -> None:
        delay = delay_seconds(tries, error.retry_after_seconds, self._limits.total_retry_seconds)
        due = self._ports.now() + timedelta(seconds=delay)
        self._waiting[id(study)] = _Waiting(study, error, tries, due)
        self._suspect_outage(error)

    def _done(self, study: Study, result: StudyResult) -> None:
        """Records the study. Until one succeeds, those wait that the app fell on, or that FHIR forbids.

        A bad release, or a role that is lacking, makes no rows.

        Raises OutageError where the same falls on study after study, or the FHIR server refuses whatever it is asked.
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
            told = f"{last.message}; nothing succeeds, {len(self._fallen)} studies fell"
            raise OutageError("FHIR server" if last.may_befall_all else "the app", told)

    def _count_fallen(self) -> None:
        for study, result in self._fallen:
            self._count(study, result)
        self._fallen.clear()

    def _record(self, pending: PendingStudies) -> None:
        """Writes down what is done."""
        self._recorder.flush()
        pending.taken_over(self._done_studies)
        self._done_studies, self._rows = [], 0

    def _count(self, study: Study, result: StudyResult) -> None:
        failed = self._recorder.done(DoneStudy(study.entries, result.failures, result.untrue, result.gone))
        self._done_studies.append(study)
        self._rows += len(result.failures)
        left_out = sum(not failure.is_final for failure in result.failures)
        synced = {"written" if result.wrote else "unchanged": len(study.entries) - failed}
        self._progress.counts += Counts(studies=1, failed=failed, invalid_tags=left_out, **synced)
        self._progress.studies_written += result.wrote
        self._tell(self._progress.done)

    def _suspect_outage(self, error: TransientError) -> None:
        """Raises OutageError where nothing has succeeded yet, and the server's store is down or it is too busy for all.

        That somebody else writes first is no outage, nor that the archive's account of a study cannot be had; nor are
        studies at 500, however many, where a search and a transaction are answered rightly.
        """
        if self._progress.counts.studies or isinstance(error, _NO_OUTAGE):
            return
        self._ensure_well()
        failed = [one for one in self._waiting.values() if not _is_studys_own(one.error)]
        # A group that is throttled fails but once.
        faults = {id(one.error) if isinstance(one.error, ThrottledError) else id(one) for one in failed}
        if len(faults) >= STUDIES_OF_AN_OUTAGE:
            raise OutageError("FHIR server", f"{error}; nothing succeeds, {len(failed)} studies failed")

    def _ensure_well(self) -> None:
        """Raises OutageError unless the FHIR server's store is well; it is asked some times in a tick."""
        if self._probes < STUDIES_OF_AN_OUTAGE:
            self._ports.fhir.probe()
            self._probes += 1

    def _carry(self, waiting: _Waiting) -> None:
        """Each entry has its own time: those that have had it are given up, the others wait."""
        study, reason, now, total = (
            waiting.study,
            str(waiting.error),
            self._ports.now(),
            self._limits.total_retry_seconds,
        )
        over = [entry for entry in study.entries if study.is_over(entry.sequence, now, total)]
        if over or (not study.entries and study.is_over(0, now, total)):
            self._progress.counts += Counts(failed=self._recorder.given_up(over, reason))
            if len(over) == len(study.entries):
                return
        rest = [entry for entry in study.entries if entry not in over] if over else study.entries
        asked = waiting.error.retry_after_seconds
        self._recorder.carried(rest, reason, waiting.tries, waiting.due if asked else None)
        self._progress.carry(rest)


def _is_studys_own(error: TransientError) -> bool:
    """As the probe was answered rightly."""
    return isinstance(error, _NO_OUTAGE) or error.status in _OF_ONE_BUNDLE


def _is_refused(result: StudyResult) -> bool:
    """By the FHIR server, or by who answers in its place: a gateway without a server behind it says 404 to all."""
    return any(failure.exception == FhirRefusedError.__name__ for failure in result.failures)
