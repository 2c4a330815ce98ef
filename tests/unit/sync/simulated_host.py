"""Hosts on one simulated clock: each tick is the app's own; each request takes time, and may be the host's last.

A host lives in a thread of its own, but only one thread runs at any time, the one whose moment has come: the same seed is
the same hour, and an hour takes seconds.
"""

import heapq
import itertools
import math
import threading
from datetime import timedelta
from inspect import isgenerator

from shared.errors import DicomCastError
from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable
from shared.process.telemetry import SILENT
from shared.sync.batch import BatchOptions
from shared.sync.ports import Ports
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.fakes import NOW
from tests.unit.sync.simulated_lease import HostLease, LeaseConflictError

TICK_SECONDS = 10
OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100, settle_seconds=60)


class Clock:
    """What happens when; `run` lets it happen."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._due = []  # seconds, order, what happens
        self._order = itertools.count()

    def now(self):
        return NOW + timedelta(seconds=self.seconds)

    def after(self, seconds, happens):
        self.at(self.seconds + seconds, happens)

    def at(self, seconds, happens):
        heapq.heappush(self._due, (seconds, next(self._order), happens))

    def run(self, until=math.inf):
        while self._due and self._due[0][0] <= until:
            self.seconds, _, happens = heapq.heappop(self._due)
            happens()


class Remote:
    """Something outside of a host, whose every method is a request."""

    def __init__(self, real, host) -> None:
        self._real, self._host = real, host

    def __getattr__(self, name):
        value = getattr(self._real, name)
        if name in ("most_entries", "too_many_entries") or not callable(value):
            return value  # what is remembered of the server is no request
        return lambda *arguments: self._host.request(value, *arguments)


class RemoteErrors(Remote):
    """The host remembers whether an entry is carried, and asks where another has worked since, or has disowned a row."""

    is_any_carried = False

    def begin(self) -> None:
        if self._host.request(self._real.begin_of, self._host.name):
            self.is_any_carried = bool(self._real.retries)

    def record(self, failures) -> None:
        self._host.request(self._real.record, failures)
        self.is_any_carried = self.is_any_carried or any(one.table is ErrorTable.TRANSIENT_RETRY for one in failures)


class Killed(BaseException):
    """As by `kill -9`: no handler gets anything done any more."""


class Host:
    """One life of a host: it ticks every ten seconds until it is killed. A frozen one goes on later, and does not know.

    `world`: what the ports reach, by their names; `clock`, `chance` and `lease_service`.
    """

    def __init__(self, name, world) -> None:
        self.name, self.clock = name, world.clock
        self.is_dead, self.frozen_until = False, 0.0
        self.freezes_before: tuple[str, float] | None = None  # the next such request, for so many seconds
        self.outcomes: list[str] = []
        self.lease = HostLease(self, world.lease_service, world.chance)
        names = ("feed", "archive", "fhir", "watermarks", "errors", "journal", "replays")
        reached = {name: Remote(getattr(world, name), self) for name in names}
        reached["errors"] = RemoteErrors(world.errors, self)
        self._ports = Ports(**reached, lease=self.lease, telemetry=SILENT, now=self.clock.now, sleep=self.wait)
        self._chance = world.chance
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        threading.Thread(target=self._live, daemon=True).start()
        self.clock.after(0, self._go_on)

    @property
    def is_frozen(self) -> bool:
        return self.clock.seconds < self.frozen_until

    @property
    def is_up(self) -> bool:
        return not self.is_dead and not self.is_frozen

    def freeze(self, seconds) -> None:
        self.frozen_until = self.clock.seconds + seconds

    def request(self, method, *arguments):
        """What was sent arrives, whatever becomes of the host meanwhile."""
        if self.is_dead:
            raise Killed
        if self.freezes_before and method.__name__ == self.freezes_before[0]:
            self.freeze(self.freezes_before[1])
            self.freezes_before = None
            self.wait(0)
        answer, fault = None, None

        def arrive() -> None:
            nonlocal answer, fault
            try:
                answer = method(*arguments)
                answer = list(answer) if isgenerator(answer) else answer
            except (DicomCastError, LeaseConflictError) as error:
                fault = error

        there, back = (min(5.0, self._chance.expovariate(5)) for _ in range(2))
        self.clock.after(there, arrive)
        self.wait(there + back)
        if fault:
            raise fault
        return answer

    def wait(self, seconds) -> None:
        if not self.is_dead:
            self.clock.after(seconds, self._go_on)
            self._back.release()
            self._turn.acquire()
        if self.is_dead:
            raise Killed

    def _go_on(self) -> None:
        """Called by the clock, whose thread waits until the host's waits again, or has ended."""
        if self.is_frozen and not self.is_dead:
            self.clock.at(self.frozen_until, self._go_on)
            return
        self._turn.release()
        self._back.acquire()
        if self._error:
            raise self._error

    def _live(self) -> None:
        self._turn.acquire()
        outages = OutageLog(self.clock.now)
        try:
            while True:
                self.wait(TICK_SECONDS - self.clock.seconds % TICK_SECONDS)
                self.outcomes.append(tick(self._ports, OPTIONS, outages).outcome)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 raised again in the test's own thread
            self._error = error
        self._back.release()
