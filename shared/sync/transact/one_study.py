"""One study by itself, written as far as the FHIR server takes it; the entry to blame for a refusal is found."""

from dataclasses import replace

from shared.errors import (
    ConflictError,
    DeleteRefusedError,
    EntryError,
    FhirRefusedError,
    PagingError,
    StudyTooLargeError,
    TransientError,
    UnforeseenError,
)
from shared.mapping.merge_study import RemovedInstance
from shared.mapping.transaction import Write
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.failures import ErrorTable, FailedEntry
from shared.sync.bulkhead import Bulkhead
from shared.sync.map.mapped_entries import Changes, failed
from shared.sync.ports import Ports
from shared.sync.transact.parts import Parts
from shared.sync.transact.task import StudyOutcome, StudyResult, Task
from shared.sync.transact.transact import transact

MAX_CONFLICTS = 5
"""How often in one attempt a study is read and merged again because somebody else wrote first."""
SUSPECT_STATUSES = frozenset({408, 409, 412, 500})
"""Transient faults, with which servers also answer a bundle that they never take (fhir-server #5582, #5541)."""
_PAUSE_SECONDS = 1


class OneStudy:
    """`is_suspect`: it keeps failing in one way while other studies succeed: the same fault is now a refusal."""

    def __init__(self, ports: Ports, task: Task, *, is_suspect: bool = False) -> None:
        self._ports = ports
        self._task = task
        self._merger = task.merger
        self._is_suspect = is_suspect

    def run(self) -> StudyOutcome:
        """The outcome of the study. Raises OutageError, LeaseLostError."""
        if self._task.changes is None:
            return StudyResult(wrote=False, failures=self._task.failures)
        try:
            wrote, refused = self._write_what_is_taken(self._task.changes)
        except TransientError as error:
            return error
        return self._task.result(wrote, tuple(refused))

    def _write_what_is_taken(self, study: Changes) -> tuple[bool, list[FailedEntry]]:
        """Whether anything had to be written, and the failures of the entries to blame if the server refused a bundle.

        A refused study is halved until the entry to blame stands alone: for one bad entry among n that takes about
        2 log2(n) bundles. One that is too large is first tried with its instances counted, not listed.
        """
        try:
            with Bulkhead():
                return self._write(study), []
        except DeleteRefusedError as error:
            return True, [failed(_last_removed(study), error)]
        except StudyTooLargeError as error:
            refusal: EntryError = error
            if counted := self._write_counted(study, error):
                return counted
        except (FhirRefusedError, PagingError, UnforeseenError) as error:
            refusal = error
        except EntryError as error:
            return False, _blamed(study, error)
        if len(study.changes) <= 1:
            return False, _blamed(study, refusal)
        halves = [self._write_what_is_taken(half) for half in study.halves()]
        return any(wrote for wrote, _ in halves), [failure for _, refused in halves for failure in refused]

    def _write_counted(self, study: Changes, error: StudyTooLargeError) -> tuple[bool, list[FailedEntry]] | None:
        """The same without the lists of instances; None if the server does not take that either."""
        if not study.changes:
            return None
        try:
            wrote = self._write(replace(study, counts_only=True))
        except FhirRefusedError:
            return None
        return wrote, [_instances_left_out(study, error)]

    def _write(self, study: Changes) -> bool:
        """Whether anything had to be written. If it takes several transactions, the study is merged before each."""
        parts, conflicts = Parts(self._ports.fhir), 0
        while writes := self._merger.writes(study):
            part = parts.first(writes)
            is_last = len(part) == len(writes)
            try:
                self._transact(part)
            except (ConflictError, FhirRefusedError) as error:
                if parts.can_be_smaller(part, error):
                    continue
                if not self._is_conflict(study, writes, error, conflicts):
                    raise
                conflicts += 1
            except TransientError:
                self._merger.forget(study)
                raise
            else:
                parts.taken(part, is_last=is_last)
                if is_last:
                    return True
        # The last conflict may have been about a conditional create, whose transaction has written all the rest.
        return parts.written > 0 or conflicts > 0

    def _is_conflict(
        self, study: Changes, writes: list[Write], error: ConflictError | FhirRefusedError, before: int
    ) -> bool:
        """Whether the study is to be read and merged again; `before`: how often it already was.

        Some servers answer a lost race with a refusal: it was one if a second reading wants other writes.
        """
        if isinstance(error, ConflictError):
            self._merger.forget(study)
            return before + 1 < MAX_CONFLICTS
        if before or study.left_out or isinstance(error, DeleteRefusedError):
            return False
        self._merger.forget(study)
        return self._merger.writes(study) != writes

    def _transact(self, writes: list[Write]) -> None:
        """One transaction. A suspect's is tried once more after a pause, and then raises FhirRefusedError."""
        try:
            transact(self._ports.fhir, self._ports.lease, self._ports.cache, writes)
        except TransientError as error:
            if not self._is_suspect or error.status not in SUSPECT_STATUSES:
                raise
            self._ports.sleep(_PAUSE_SECONDS)
            try:
                transact(self._ports.fhir, self._ports.lease, self._ports.cache, writes)
            except TransientError as again:
                if again.status != error.status:
                    raise
                raise FhirRefusedError(f"{error}, again and again, while others are written") from again


def _blamed(study: Changes, error: EntryError) -> list[FailedEntry]:
    return [failed(change.entry, error) for change in study.changes] or [failed(_last_removed(study), error)]


def _last_removed(study: Changes) -> ChangeFeedEntry:
    """The entry to record if a delete was refused: the last that takes something out; a rebuild may have none."""
    removed = [change for change in study.changes if isinstance(change, RemovedInstance)]
    for change in reversed(removed or study.changes):
        return change.entry
    return ChangeFeedEntry(0, study.study_instance_uid, "", "", Action.DELETE, State.DELETED, timestamp="")


def _instances_left_out(study: Changes, error: StudyTooLargeError) -> FailedEntry:
    """The row that says that the study is synced without its list of instances."""
    message = f"ImagingStudy.series.instance: left out, the series keep their counts; {error}"
    return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, type(error).__name__, message)
