"""Groups of studies that are at work at once: as many as make the sync faster, fewer while the server throttles."""

import time
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, Self, TypeVar

Group = TypeVar("Group", bound=Sized)
Result = TypeVar("Result")

FIRST_LANES = 8
GAIN = 1.25
"""So much more must be done in a second with twice as many lanes for them to stay."""
REST = 20
"""So often all lanes have had a turn before more of them are tried again."""
FAR = 4
"""A turn makes two calls, one after the other. If it takes no longer than four of the quickest, it is waiting."""
_FULL = 0.75


@dataclass(frozen=True, slots=True)
class Turn:
    """A group's time in a lane, in seconds; while it is there, the clock's when it began.

    `among`: how many lanes were busy, its own with them; `limit`: how many there were.
    """

    studies: int
    seconds: float
    among: int
    limit: int

    def ended(self, now: float, among: int) -> "Turn":
        """`among`: when it ends."""
        return replace(self, seconds=now - self.seconds, among=max(self.among, among))


class Pace:
    """How many lanes may be used, at most `most` of them. It outlives the batch.

    It begins with a few. While all are busy twice as many are tried for a while: they stay where more studies are done
    in a second, as with a server that is far away, and go again where the server has only more to do at once. A 429
    halves them; then they come back one by one (additive increase, multiplicative decrease).
    """

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self._proven = min(most, FIRST_LANES)
        self._limit = float(self._proven)
        self._turns: list[Turn] = []
        self._rate = 0.0
        self._rest = 0

    @property
    def lanes(self) -> int:
        """At least one."""
        return int(self._limit)

    def throttled(self) -> None:
        """The server answered 429."""
        self._limit = max(1.0, self._limit / 2)
        self._begin(REST)

    def went_well(self, turn: Turn, quickest: float) -> None:
        """A group was done; the server has answered in so many seconds, at its quickest."""
        if self._limit < self._proven:
            self._limit = min(float(self._proven), self._limit + 1 / self._limit)
        elif self.most > self._proven and turn.limit == self.lanes and turn.among >= _FULL * self.lanes:
            self._turns.append(turn)
            if len(self._turns) >= self.lanes:
                self._judge(quickest)

    def _judge(self, quickest: float) -> None:
        """All lanes have had a turn."""
        turns = self._turns[:]
        studies, seconds = sum(turn.studies for turn in turns), sum(turn.seconds for turn in turns)
        rate = self.lanes * studies / max(seconds, 1e-6)
        is_faster = rate >= GAIN * self._rate
        is_tried = self.lanes > self._proven
        if is_tried and not is_faster:
            self._limit = float(self._proven)
            self._begin(REST)
            return
        self._proven, self._rate = self.lanes, rate
        self._begin(max(0, self._rest - 1))
        # A server that becomes faster by itself has just been started; one that is far away is waited for in any case.
        is_far = seconds <= FAR * quickest * len(turns)
        if not self._rest and (is_far or is_tried == is_faster):
            self._limit = float(min(self.most, 2 * self._proven))

    def _begin(self, rest: int) -> None:
        self._turns.clear()
        self._rest = rest


class Lanes(Generic[Group, Result]):
    """Threads that work on groups; at the end those that are under way are waited for."""

    def __init__(self, pace: Pace, work: Callable[[Group], Result]) -> None:
        self._pace = pace
        self._work = work
        self._pool = ThreadPoolExecutor(pace.most, thread_name_prefix="lane")
        self._busy: dict[Future[Result], tuple[Group, Turn]] = {}

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
        turn = Turn(len(group), time.monotonic(), len(self._busy) + 1, self._pace.lanes)
        self._busy[self._pool.submit(self._work, group)] = group, turn

    def ended(self) -> Sequence[tuple[Group, Future[Result], Turn]]:
        """Waits until at least one group has ended; empty where none is under way."""
        done, _ = wait(self._busy, return_when=FIRST_COMPLETED)
        among, now = len(self._busy), time.monotonic()
        ended = [(future, *self._busy.pop(future)) for future in done]
        return [(group, future, turn.ended(now, among)) for future, group, turn in ended]
