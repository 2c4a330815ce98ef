"""Studies of different patients: read at once, written in as few transactions as they fit, parted where one fails."""

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
from shared.sync.bulkhead import bulkhead
from shared.sync.ports import Ports
from shared.sync.queue.retry import MAX_DELAY_SECONDS
from shared.sync.transact.task import StudyOutcome, StudyResult, Task
from shared.sync.transact.transact import Size, together, transact

Wanted = Mapping[int, list[Write]]
"""The writes of tasks, by their place in the group."""


class Group:
    """`alone` does one task by itself, so that one study harms itself alone."""

    def __init__(self, ports: Ports, tasks: Sequence[Task], alone: Callable[[Task], StudyOutcome]) -> None:
        self._ports = ports
        self._tasks = tasks
        self._alone = alone

    def run(self, *, is_again: bool = False) -> list[StudyOutcome]:
        """The outcome of each task. Raises OutageError, LeaseLostError."""
        try:
            with bulkhead():
                self._read_ahead()
        except ThrottledError as error:
            return [_to_all(error, len(self._tasks))] * len(self._tasks)
        except (EntryError, TransientError):  # one of the searches may be at fault, for which the others cannot help
            return [self._alone(task) for task in self._tasks]
        if len(self._tasks) == 1:
            return [self._alone(self._tasks[0])]
        outcomes: dict[int, StudyOutcome] = {}
        wanted: dict[int, list[Write]] = {}
        size = Size()
        for position, task in enumerate(self._tasks):
            try:
                with bulkhead():
                    writes = task.merger.writes(task.changes) if task.changes else []
            except (EntryError, TransientError):
                outcomes[position] = self._alone(task)
                continue
            size += Size.of(writes)
            if wanted and not size.is_fit(self._ports.fhir):
                outcomes |= self._written(wanted, is_again=is_again)
                wanted, size = {}, Size.of(writes)
            wanted[position] = writes
        outcomes |= self._written(wanted, is_again=is_again)
        return [outcomes[position] for position in range(len(self._tasks))]

    def _read_ahead(self) -> None:
        for merger in {id(task.merger): task.merger for task in self._tasks}.values():
            changes = [task.changes for task in self._tasks if task.merger is merger and task.changes]
            merger.read_ahead([search for one in changes for search in merger.searches(one)])

    def _written(self, wanted: Wanted, *, is_again: bool) -> dict[int, StudyOutcome]:
        """The outcome of each task of one transaction, which falls apart where it fails."""
        writes = together(wanted.values())
        size = Size.of(writes or ())
        if len(wanted) > 1 and not size.is_fit(self._ports.fhir):
            return self._halved(wanted)  # another lane has found out meanwhile what is too large
        if size.writes > self._ports.fhir.most_entries(conditional=size.conditional):
            return self._each(wanted)  # in parts
        try:
            if writes:
                with bulkhead():
                    transact(self._ports.fhir, self._ports.lease, self._ports.cache, writes)
        except ThrottledError as error:
            return dict.fromkeys(wanted, _to_all(error, len(wanted)))
        except (EntryError, TransientError) as error:
            return self._parted(wanted, size, error, is_again=is_again)
        if writes is None:
            return self._each(wanted)
        # What a conflict was about is told once more: the rest of that transaction was written.
        return {position: self._tasks[position].result(bool(some) or is_again) for position, some in wanted.items()}

    def _parted(
        self, wanted: Wanted, size: Size, error: EntryError | TransientError, *, is_again: bool
    ) -> dict[int, StudyOutcome]:
        if isinstance(error, ConflictError) and not is_again:  # a Patient, it may be, whom another lane has just made
            return self._once_more(wanted)
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
        """In two: one of the studies is at fault, or together they are larger than the server takes."""
        positions = list(wanted)
        outcomes: dict[int, StudyOutcome] = {}
        for part in (positions[: len(positions) // 2], positions[len(positions) // 2 :]):
            outcomes |= self._written({position: wanted[position] for position in part}, is_again=False)
        return outcomes

    def _once_more(self, wanted: Wanted) -> dict[int, StudyOutcome]:
        """Read and merged again, after somebody else wrote first."""
        tasks = [self._tasks[position] for position in wanted]
        for task in tasks:
            if task.changes:
                task.merger.forget(task.changes)
        return dict(zip(wanted, Group(self._ports, tasks, self._alone).run(is_again=True), strict=True))


def _to_all(error: ThrottledError, count: int) -> ThrottledError:
    """What was said to a request of several studies is no one's of them: it rests none longer than back-off does."""
    asked = error.retry_after_seconds
    if count == 1 or asked is None:
        return error
    return ThrottledError(str(error), min(asked, MAX_DELAY_SECONDS), status=error.status)
