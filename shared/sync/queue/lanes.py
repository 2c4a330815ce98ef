"""Groups of studies that are at work at once: fewer while the FHIR server throttles us, then more again."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

Group = TypeVar("Group")
Result = TypeVar("Result")


class Pace:
    """How many lanes may be used: additive increase, multiplicative decrease. It outlives the batch."""

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self._limit = float(most)

    @property
    def lanes(self) -> int:
        """At least one."""
        return int(self._limit)

    def throttled(self) -> None:
        """The server answered 429."""
        self._limit = max(1.0, self._limit / 2)

    def went_well(self) -> None:
        """A group was done."""
        self._limit = min(float(self.most), self._limit + 1 / self._limit)


class Lanes(Generic[Group, Result]):
    """Threads that work on groups; at the end those that are under way are waited for."""

    def __init__(self, pace: Pace, work: Callable[[Group], Result]) -> None:
        self._pace = pace
        self._work = work
        self._pool = ThreadPoolExecutor(pace.most, thread_name_prefix="lane")
        self._busy: dict[Future[Result], Group] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    @property
    def has_room(self) -> bool:
        """Whether a group can be started."""
        return len(self._busy) < self._pace.lanes

    def start(self, group: Group) -> None:
        """Begins a group."""
        self._busy[self._pool.submit(self._work, group)] = group

    def ended(self) -> Sequence[tuple[Group, Future[Result]]]:
        """Waits until at least one group has ended; empty where none is under way."""
        done, _ = wait(self._busy, return_when=FIRST_COMPLETED)
        return [(self._busy.pop(future), future) for future in done]
