"""Groups of studies that are synced at once: as many as make the sync faster, fewer while the server throttles."""

import time
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, Self, TypeVar

Group = TypeVar("Group", bound=Sized)
Result = TypeVar("Result")

FIRST_WORKERS = 8
GAIN = 1.25
"""Twice as many workers stay only if they do at least this many times as much in a second."""
REST = 20
"""After a change, each worker has done this many groups on average before more workers are tried again."""
FAR = 4
"""A group makes two calls, one after the other. If it takes no longer than four of the quickest, it only waits."""
_FULL = 0.75


@dataclass(frozen=True, slots=True)
class GroupRun:
    """How long a worker had one group, in seconds; while it has it, the clock's seconds when it began.

    `busy`: how many workers were busy, this one included; `limit`: how many were allowed when it began.
    """

    studies: int
    seconds: float
    busy: int
    limit: int

    def ended(self, now: float, busy: int) -> "GroupRun":
        """The run once it is over, `busy` workers being busy then."""
        return replace(self, seconds=now - self.seconds, busy=max(self.busy, busy))


class ConcurrencyLimit:
    """How many workers may be busy at once, at most `most`. It is kept from batch to batch.

    It begins with a few. While all are busy, twice as many are tried for a while. They stay if more studies are done in
    a second, as with a server that is far away, and go again if the server only has more to do at once. A 429 halves
    the limit; then it rises by one at a time (additive increase, multiplicative decrease).
    """

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self._proven = min(most, FIRST_WORKERS)
        self._limit = float(self._proven)
        self._runs: list[GroupRun] = []
        self._rate = 0.0
        self._rest = 0

    @property
    def workers(self) -> int:
        """How many may be busy now, at least one."""
        return int(self._limit)

    def throttled(self) -> None:
        """The server answered 429."""
        self._limit = max(1.0, self._limit / 2)
        self._begin(REST)

    def went_well(self, run: GroupRun, quickest: float) -> None:
        """A group was synced. `quickest`: the seconds that the server's quickest answer took."""
        if self._limit < self._proven:
            self._limit = min(float(self._proven), self._limit + 1 / self._limit)
        elif self.most > self._proven and run.limit == self.workers and run.busy >= _FULL * self.workers:
            self._runs.append(run)
            if len(self._runs) >= self.workers:
                self._judge(quickest)

    def _judge(self, quickest: float) -> None:
        """Each worker has done a group on average: keeps the limit, takes it back, or tries more workers."""
        runs = self._runs[:]
        studies, seconds = sum(run.studies for run in runs), sum(run.seconds for run in runs)
        rate = self.workers * studies / max(seconds, 1e-6)
        is_faster = rate >= GAIN * self._rate
        is_tried = self.workers > self._proven
        if is_tried and not is_faster:
            self._limit = float(self._proven)
            self._begin(REST)
            return
        self._proven, self._rate = self.workers, rate
        self._begin(max(0, self._rest - 1))
        # A server that becomes faster by itself has just been started; one that is far away is waited for in any case.
        is_far = seconds <= FAR * quickest * len(runs)
        if not self._rest and (is_far or is_tried == is_faster):
            self._limit = float(min(self.most, 2 * self._proven))

    def _begin(self, rest: int) -> None:
        self._runs.clear()
        self._rest = rest


class WorkerPool(Generic[Group, Result]):
    """Threads that work on groups, as many at once as the limit allows. On leaving, it waits for those at work."""

    def __init__(self, limit: ConcurrencyLimit, work: Callable[[Group], Result]) -> None:
        self._limit = limit
        self._work = work
        self._pool = ThreadPoolExecutor(limit.most, thread_name_prefix="lane")
        self._busy: dict[Future[Result], tuple[Group, GroupRun]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    @property
    def has_room(self) -> bool:
        """Whether a worker is free for another group."""
        return len(self._busy) < self._limit.workers

    def start(self, group: Group) -> None:
        """Gives a group to a free worker."""
        run = GroupRun(len(group), time.monotonic(), len(self._busy) + 1, self._limit.workers)
        self._busy[self._pool.submit(self._work, group)] = group, run

    def ended(self) -> Sequence[tuple[Group, Future[Result], GroupRun]]:
        """Waits until at least one group has ended; empty if none is being worked on."""
        done, _ = wait(self._busy, return_when=FIRST_COMPLETED)
        busy, now = len(self._busy), time.monotonic()
        ended = [(future, *self._busy.pop(future)) for future in done]
        return [(group, future, run.ended(now, busy)) for future, group, run in ended]
