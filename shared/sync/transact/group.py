"""Studies of different patients: read together, and written in few transactions; one that fails is split."""

from collections.abc import Callable, Mapping, Sequence

from shared.errors import (
    ConflictError,
    DeleteRefusedError,
    EntryError,
    FhirRefusedError,
    ThrottledError,
    TransientError,
)
from shared.mapping.transaction import Write
from shared.sync.bulkhead import Bulkhead
from shared.sync.ports import Ports
from shared.sync.queue.retry import MAX_DELAY_SECONDS
from shared.sync.transact.task import StudyOutcome, StudyResult, Task
from shared.sync.transact.transact import Size, combined, transact

Wanted = Mapping[int, list[Write]]
"""The writes of tasks, by their index in the group."""


class Group:
    """`alone` syncs one task by itself, so that a study at fault harms no other."""

    def __init__(self, ports: Ports, tasks: Sequence[Task], alone: Callable[[Task], StudyOutcome]) -> None:
        self._ports = ports
        self._tasks = tasks
        self._alone = alone

    def run(self, *, after_conflict: bool = False) -> list[StudyOutcome]:
        """The outcome of each task. `after_conflict`: it is the second try. Raises OutageError, LeaseLostError."""
        try:
            with Bulkhead():
                self._read_ahead()
        except ThrottledError as error:
            return [_for_all(error, len(self._tasks))] * len(self._tasks)
        except (EntryError, TransientError):  # one study's search may be at fault
            return [self._alone(task) for task in self._tasks]
        if len(self._tasks) == 1:
            return [self._alone(self._tasks[0])]
        outcomes: dict[int, StudyOutcome] = {}
        wanted: dict[int, list[Write]] = {}
        size = Size()
        for position, task in enumerate(self._tasks):
            try:
                with Bulkhead():
                    writes = task.merger.writes(task.changes) if task.changes else []
            except (EntryError, TransientError):
                outcomes[position] = self._alone(task)
                continue
            size += Size.of(writes)
            if wanted and not size.is_fit(self._ports.fhir):
                outcomes |= self._written(wanted, after_conflict=after_conflict)
                wanted, size = {}, Size.of(writes)
            wanted[position] = writes
        outcomes |= self._written(wanted, after_conflict=after_conflict)
        return [outcomes[position] for position in range(len(self._tasks))]

    def _read_ahead(self) -> None:
        for merger in {id(task.merger): task.merger for task in self._tasks}.values():
            changes = [task.changes for task in self._tasks if task.merger is merger and task.changes]
            merger.read_ahead([search for one in changes for search in merger.searches(one)])

    def _written(self, wanted: Wanted, *, after_conflict: bool) -> dict[int, StudyOutcome]:
        """The outcome of each task of one transaction; if it fails, of the smaller ones in its place."""
        writes = combined(wanted.values())
        size = Size.of(writes or ())
        if len(wanted) > 1 and not size.is_fit(self._ports.fhir):
            return self._halved(wanted)  # another worker has met the server's limit meanwhile
        if size.writes > self._ports.fhir.most_entries(conditional=size.conditional):
            return self._each(wanted)  # one study's writes are too many, and go in parts
        try:
            if writes:
                with Bulkhead():
                    transact(self._ports.fhir, self._ports.lease, self._ports.cache, writes)
        except ThrottledError as error:
            return dict.fromkeys(wanted, _for_all(error, len(wanted)))
        except (EntryError, TransientError) as error:
            return self._split(wanted, size, error, after_conflict=after_conflict)
        if writes is None:
            return self._each(wanted)
        # After a conflict a task with nothing left to write counts as written: the server may have written all of that
        # transaction but the resource that somebody else had created.
        return {
            position: self._tasks[position].result(bool(of_study) or after_conflict)
            for position, of_study in wanted.items()
        }

    def _split(
        self, wanted: Wanted, size: Size, error: EntryError | TransientError, *, after_conflict: bool
    ) -> dict[int, StudyOutcome]:
        """The outcomes of smaller transactions in place of a failed one."""
        if isinstance(error, ConflictError) and not after_conflict:  # perhaps a Patient that another worker has created
            return self._merged_again(wanted)
        if not isinstance(error, FhirRefusedError) or isinstance(error, DeleteRefusedError) or len(wanted) == 1:
            return self._each(wanted)
        outcomes = self._halved(wanted)
        taken = [one for one in outcomes.values() if isinstance(one, StudyResult) and not one.is_refused]
        if error.may_be_limit and len(taken) == len(wanted):
            self._ports.fhir.too_many_entries(size.writes, conditional=size.conditional)
        return outcomes

    def _each(self, wanted: Wanted) -> dict[int, StudyOutcome]:
        return {position: self._alone(self._tasks[position]) for position in wanted}

    def _halved(self, wanted: Wanted) -> dict[int, StudyOutcome]:
        """Two transactions: one of the studies is at fault, or together they are larger than the server takes."""
        positions = list(wanted)
        outcomes: dict[int, StudyOutcome] = {}
        for half in (positions[: len(positions) // 2], positions[len(positions) // 2 :]):
            outcomes |= self._written({position: wanted[position] for position in half}, after_conflict=False)
        return outcomes

    def _merged_again(self, wanted: Wanted) -> dict[int, StudyOutcome]:
        """The outcomes after reading and merging again, since somebody else wrote first."""
        tasks = [self._tasks[position] for position in wanted]
        for task in tasks:
            if task.changes:
                task.merger.forget(task.changes)
        return dict(zip(wanted, Group(self._ports, tasks, self._alone).run(after_conflict=True), strict=True))


def _for_all(error: ThrottledError, count: int) -> ThrottledError:
    """The error for each of the studies of one request: as none is to blame, Retry-After is bounded by the back-off."""
    seconds = error.retry_after_seconds
    if count == 1 or seconds is None:
        return error
    return ThrottledError(str(error), min(seconds, MAX_DELAY_SECONDS), status=error.status)
