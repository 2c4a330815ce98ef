"""One study alone: written as far as the FHIR server takes it, the entry to blame for a refusal narrowed down."""

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
from shared.sync.bulkhead import bulkhead
from shared.sync.map.mapped_entries import Changes, failed
from shared.sync.ports import Ports
from shared.sync.transact.parts import Parts
from shared.sync.transact.task import StudyOutcome, StudyResult, Task
from shared.sync.transact.transact import transact

MAX_CONFLICTS = 5
"""How often a study is read and merged again because somebody else wrote first, before it waits for the next tick."""
SUSPECT_STATUSES = frozenset({408, 409, 412, 500})
"""Passing faults, with which servers answer what is final for one bundle too (Azure: fhir-server #5582, #5541)."""
_PAUSE_SECONDS = 1


class OneStudy:
    """`is_suspect`: it has failed in one way again and again while others succeeded; the same again is a refusal."""

    def __init__(self, ports: Ports, task: Task, *, is_suspect: bool = False) -> None:
        self._ports = ports
        self._task = task
        self._merger = task.merger
        self._is_suspect = is_suspect

    def run(self) -> StudyOutcome:
        """Raises OutageError, LeaseLostError."""
        if self._task.changes is None:
            return StudyResult(wrote=False, failures=self._task.failures)
        try:
            wrote, refused = self._write_what_is_taken(self._task.changes)
        except TransientError as error:
            return error
        return self._task.result(wrote, tuple(refused))

    def _write_what_is_taken(self, study: Changes) -> tuple[bool, list[FailedEntry]]:
        """Whether anything had to be written, and the entries to blame where the server refused a bundle.

        A refused bundle is halved until the entry to blame stands alone: twice the logarithm of the study's entries in
        bundles for one bad entry. One that is too large goes again first with its instances counted, not listed.
        """
        try:
            with bulkhead():
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
        """The same without the lists of instances; None where the server does not take that either."""
        if not study.changes:
            return None
        try:
            wrote = self._write(replace(study, counts_only=True))
        except FhirRefusedError:
            return None
        return wrote, [_counted_only(study, error)]

    def _write(self, study: Changes) -> bool:
        """Whether anything had to be written. What one transaction does not take goes with the next, merged anew."""
        wrote, again = False, 0
        parts = Parts(self._ports.fhir)
        while writes := self._merger.writes(study):
            part = parts.first(writes)
            try:
                self._transact(part)
            except ConflictError:
                self._merger.forget(study)
                again += 1
                if again == MAX_CONFLICTS:
                    raise
            except FhirRefusedError as error:
                if not parts.are_smaller(part, error):
                    if again or not self._is_race(study, writes, error):
                        raise
                    again += 1
            except TransientError:
                self._merger.forget(study)
                raise
            else:
                wrote = True
                parts.taken(part, is_last=len(part) == len(writes))
                if len(part) == len(writes):
                    break
        return wrote or again > 0  # a conditional create that found something wrote the rest

    def _is_race(self, study: Changes, writes: list[Write], error: FhirRefusedError) -> bool:
        """Whether what was read, or remembered, is true no more: some servers tell a lost race as a refusal."""
        if study.left_out or isinstance(error, DeleteRefusedError):
            return False
        self._merger.forget(study)
        return self._merger.writes(study) != writes

    def _transact(self, writes: list[Write]) -> None:
        """Of a suspect: once more after a pause, then what is answered is its refusal."""
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
    """The entry to tell of where a delete was refused: the last that takes something out; a rebuild may have none."""
    removed = [change for change in study.changes if isinstance(change, RemovedInstance)]
    for change in reversed(removed or study.changes):
        return change.entry
    return ChangeFeedEntry(0, study.study_instance_uid, "", "", Action.DELETE, State.DELETED, timestamp="")


def _counted_only(study: Changes, error: StudyTooLargeError) -> FailedEntry:
    """The row that says what was left out of a study that is synced."""
    message = f"ImagingStudy.series.instance: left out, the series keep their counts; {error}"
    return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, type(error).__name__, message)
