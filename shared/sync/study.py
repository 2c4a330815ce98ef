"""Studies of a batch: map their entries, merge them with what FHIR holds, send transactions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.errors import (
    ConflictError,
    DeleteRefusedError,
    EntryError,
    FhirRefusedError,
    StudyTooLargeError,
    ThrottledError,
    TransientError,
)
from shared.failures import ErrorTable, FailedEntry
from shared.mapping.converters import MappingOptions
from shared.mapping.merge_study import RemovedInstance
from shared.mapping.transaction import Write
from shared.sync.mapped_entries import Change, Changes, failed, map_entries
from shared.sync.merging import StudyMerger
from shared.sync.parts import Parts
from shared.sync.plan import Study
from shared.sync.ports import Ports
from shared.sync.transact import Size, together, transact

MAX_CONFLICTS = 5
"""How often a study is read and merged again because somebody else wrote first, before it waits for the next tick."""
PATIENT_ID = "(0010,0020) PatientID (LO)"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded."""

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()


StudyOutcome = StudyResult | TransientError
"""Of a study with a TransientError nothing counts as done."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One study, mapped; `changes` None: there is nothing to do."""

    merger: StudyMerger
    changes: Changes | None
    failures: tuple[FailedEntry, ...]


class StudySync:
    """Syncs studies; each data partition has a merger of its own. Threads may share it."""

    def __init__(self, ports: Ports, options: MappingOptions) -> None:
        self._ports = ports
        self._options = options
        self._mergers: dict[str, StudyMerger] = {}

    def run_all(self, studies: Sequence[Study]) -> list[StudyOutcome]:
        """Studies of different patients: read at once, and written in as few transactions as they fit.

        A transaction that fails falls apart into the studies, so that one harms itself alone. Raises OutageError,
        LeaseLostError.
        """
        tasks = [self._mapped(study) for study in studies]
        try:
            self._read_ahead(tasks)
        except ThrottledError as error:
            return [error] * len(tasks)
        except TransientError:
            return [self._alone(task) for task in tasks]
        return [self._alone(tasks[0])] if len(tasks) == 1 else self._together(tasks)

    def _mapped(self, study: Study) -> _Task:
        uid, partition = study.whole or (study.entries[0].study_instance_uid, study.entries[0].partition)
        if partition not in self._mergers:
            self._mergers[partition] = StudyMerger(self._ports, self._options, partition)
        merger = self._mergers[partition]
        changes, reports, failures = map_entries(study.entries, merger.options, self._ports.archive)
        if study.whole:
            held = frozenset(entry.sop_instance_uid for entry in study.entries)
            return _Task(merger, Changes(uid, changes, reports, held), tuple(failures))
        return _Task(merger, Changes(uid, changes, reports) if changes else None, tuple(failures))

    def _read_ahead(self, tasks: Sequence[_Task]) -> None:
        for merger in {id(task.merger): task.merger for task in tasks}.values():
            changes = [task.changes for task in tasks if task.merger is merger and task.changes]
            merger.read_ahead([search for one in changes for search in merger.searches(one)])

    def _together(self, tasks: Sequence[_Task], *, is_again: bool = False) -> list[StudyOutcome]:
        outcomes: dict[int, StudyOutcome] = {}
        transaction: dict[int, list[Write]] = {}
        size = Size()
        for position, task in enumerate(tasks):
            try:
                writes = task.merger.writes(task.changes) if task.changes else []
            except (EntryError, TransientError):
                outcomes[position] = self._alone(task)
                continue
            size += Size.of(writes)
            if transaction and not size.is_fit(self._ports.fhir):
                outcomes |= self._written(tasks, transaction, is_again=is_again)
                transaction, size = {}, Size.of(writes)
            transaction[position] = writes
        outcomes |= self._written(tasks, transaction, is_again=is_again)
        return [outcomes[position] for position in range(len(tasks))]

    def _written(
        self, tasks: Sequence[_Task], wanted: dict[int, list[Write]], *, is_again: bool
    ) -> dict[int, StudyOutcome]:
        """The outcome of each task of one transaction, which falls apart where it fails."""
        writes = together(wanted.values())
        try:
            if writes:
                self._transact(writes)
        except ThrottledError as error:
            return dict.fromkeys(wanted, error)
        except ConflictError:
            part = [tasks[position] for position in wanted]
            if not is_again:  # a Patient, it may be, whom another lane has just made
                return dict(zip(wanted, self._once_more(part), strict=True))
            writes = None
        except DeleteRefusedError:
            writes = None
        except FhirRefusedError as error:
            if len(wanted) > 1:
                return self._halved(tasks, wanted, Size.of(writes or ()), error)
            writes = None
        except (EntryError, TransientError):
            writes = None
        if writes is None:
            return {position: self._alone(tasks[position]) for position in wanted}
        # What a conflict was about is told once more: the rest of that transaction was written.
        return {
            position: StudyResult(bool(some) or is_again, (*tasks[position].failures, *self._doubles(tasks[position])))
            for position, some in wanted.items()
        }

    def _halved(
        self, tasks: Sequence[_Task], wanted: dict[int, list[Write]], size: Size, error: FhirRefusedError
    ) -> dict[int, StudyOutcome]:
        """A refused transaction of several studies in two: one of them is at fault, or it was larger than is taken.

        Where all parts are taken it was too large, and the next groups are smaller.
        """
        positions = list(wanted)
        half = len(positions) // 2
        outcomes: dict[int, StudyOutcome] = {}
        for part in (positions[:half], positions[half:]):
            outcomes |= self._written(tasks, {position: wanted[position] for position in part}, is_again=False)
        written = [one for one in outcomes.values() if isinstance(one, StudyResult)]
        if error.may_be_limit and len(written) == len(wanted) and not any(map(_is_refused, written)):
            self._ports.fhir.too_many_entries(size.writes, conditional=size.conditional)
        return outcomes

    def _once_more(self, tasks: Sequence[_Task]) -> list[StudyOutcome]:
        """Read and merged again, after somebody else wrote first."""
        for task in tasks:
            if task.changes:
                task.merger.forget(task.changes)
        try:
            self._read_ahead(tasks)
        except TransientError:
            return [self._alone(task) for task in tasks]
        return self._together(tasks, is_again=True)

    def _alone(self, task: _Task) -> StudyOutcome:
        if task.changes is None:
            return StudyResult(wrote=False, failures=task.failures)
        try:
            wrote, refused = self._write_what_is_taken(task.merger, task.changes)
        except TransientError as error:
            return error
        return StudyResult(wrote, (*task.failures, *refused, *self._doubles(task)))

    def _doubles(self, task: _Task) -> list[FailedEntry]:
        """A row that tells of Patients that are there twice: the study is synced, and somebody has to look."""
        if task.changes is None or not (told := task.merger.doubles(task.changes)):
            return []
        entry = task.changes.changes[-1].entry
        return [FailedEntry.of(entry, ErrorTable.INVALID_TAG, "DoubledPatient", f"{PATIENT_ID}: {'; '.join(told)}")]

    def _write_what_is_taken(self, merger: StudyMerger, study: Changes) -> tuple[bool, list[FailedEntry]]:
        """Whether anything had to be written, and the entries to blame where the server refused a bundle.

        A refused bundle is halved until the entry to blame stands alone: twice the logarithm of the study's entries in
        bundles for one bad entry. One that is too large goes again first with its instances counted, not listed.
        """
        try:
            return self._write(merger, study), []
        except DeleteRefusedError as error:
            return True, [failed(_last_removed(study).entry, error)]
        except StudyTooLargeError as error:
            refusal: EntryError = error
            if counted := self._write_counted(merger, study, error):
                return counted
        except FhirRefusedError as error:
            refusal = error
        except EntryError as error:
            return False, [failed(change.entry, error) for change in study.changes]
        if len(study.changes) <= 1:
            return False, [failed(change.entry, refusal) for change in study.changes]
        halves = [self._write_what_is_taken(merger, half) for half in study.halves()]
        return any(wrote for wrote, _ in halves), [failure for _, refused in halves for failure in refused]

    def _write_counted(
        self, merger: StudyMerger, study: Changes, error: StudyTooLargeError
    ) -> tuple[bool, list[FailedEntry]] | None:
        """The same without the lists of instances; None where the server does not take that either."""
        if not study.changes:
            return None
        try:
            wrote = self._write(merger, replace(study, counts_only=True))
        except FhirRefusedError:
            return None
        return wrote, [_counted_only(study, error)]

    def _write(self, merger: StudyMerger, study: Changes) -> bool:
        """Whether anything had to be written. What one transaction does not take goes with the next, merged anew."""
        wrote, again = False, 0
        parts = Parts(self._ports.fhir)
        while writes := merger.writes(study):
            part = parts.first(writes)
            try:
                self._transact(part)
            except ConflictError:
                merger.forget(study)
                again += 1
                if again == MAX_CONFLICTS:
                    raise
            except FhirRefusedError as error:
                if not parts.are_smaller(part, error):
                    if again or not self._is_race(merger, study, writes, error):
                        raise
                    again += 1
            except TransientError:
                merger.forget(study)
                raise
            else:
                wrote = True
                parts.taken(part, is_last=len(part) == len(writes))
                if len(part) == len(writes):
                    break
        return wrote or again > 0  # a conditional create that found something wrote the rest

    @staticmethod
    def _is_race(merger: StudyMerger, study: Changes, writes: list[Write], error: FhirRefusedError) -> bool:
        """Whether what was read, or remembered, is true no more: some servers tell a lost race as a refusal."""
        if study.is_part or isinstance(error, DeleteRefusedError):
            return False
        merger.forget(study)
        return merger.writes(study) != writes

    def _transact(self, writes: Sequence[Write]) -> None:
        transact(self._ports.fhir, self._ports.lease, self._ports.known, writes)


def _last_removed(study: Changes) -> Change:
    """The change to tell of where a delete was refused: the last that takes something out."""
    removed = [change for change in study.changes if isinstance(change, RemovedInstance)]
    return removed[-1] if removed else study.changes[-1]


def _is_refused(result: StudyResult) -> bool:
    return any(failure.table is ErrorTable.FHIR for failure in result.failures)


def _counted_only(study: Changes, error: StudyTooLargeError) -> FailedEntry:
    """The row that says what was left out of a study that is synced."""
    message = f"ImagingStudy.series.instance: left out, the series keep their counts; {error}"
    return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, type(error).__name__, message)
