"""A host of the app on the model's ports: faults at a call of any of them, crashes, lanes in a chosen order."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import isgenerator
from itertools import cycle

from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_reader import FeedReader
from shared.clients.dicom.dicomweb import DicomWeb
from shared.clients.http import HttpService
from shared.errors import (
    ConflictError,
    FeedError,
    FhirRefusedError,
    LeaseLostError,
    OutageError,
    ThrottledError,
    TransientError,
)
from shared.mapping.dose.mapped_report import REPORT_KEYS
from shared.mapping.resources import MAPPED_KEYS
from shared.model.change_feed import FeedPage
from shared.model.replay import ReplayRequest
from shared.model.watermark import Watermark
from shared.process.telemetry import SILENT
from shared.sync.handover import Handover
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.ports import Ports
from shared.sync.queue.concurrency import ConcurrencyLimit
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.fakes import FakeErrors, FakeJournal, FakeLease, FakeReplays, FakeWatermarks
from tests.model.in_process import URL

GRACE_SECONDS = 10


class Crash(BaseException):
    """The process is killed: nothing of it goes on, what it wrote stays."""


FAULTS = {
    "crash": lambda: Crash("killed"),
    "conflict": lambda: ConflictError("FHIR server: 412"),
    "transient": lambda: TransientError("FHIR server: 503", status=503),
    "throttled": lambda: ThrottledError("FHIR server: 429", status=429),
    "refused": lambda: FhirRefusedError("FHIR server: 422"),
    "outage": lambda: OutageError("a system", "it is down"),
    "torn": lambda: FeedError("not what was asked for"),
    "lease": lambda: LeaseLostError("lost"),
}
OF_PORT = {
    "fhir": ("crash", "transient", "throttled", "outage"),
    "transact": ("crash", "conflict", "transient", "throttled", "refused", "outage"),
    "archive": ("crash", "outage", "torn"),
    "feed": ("crash", "outage", "torn"),
    "errors": ("crash", "outage"),
    "watermarks": ("crash", "outage", "lease"),
    "replays": ("crash", "outage", "lease"),
    "lease": ("crash", "lease"),
}
_NO_CALLS = {
    "calls",
    "most_entries",
    "too_many_entries",
    "capability_texts",
    "kept",
    "check",
    "state",
    "release",
    "acquire",
    "path",
    "service",
}
_AFTER = ("crash", "transient", "outage")
"""Faults that may strike after the call took effect: its answer is lost."""


@dataclass
class Fault:
    """Strikes at the `at`th call of a port from now on, and so many times."""

    port: str
    kind: str
    at: int
    times: int = 1
    after: bool = False

    def __str__(self):
        return f"{self.kind} at call {self.at} of {self.port}, {self.times} times{', its answer lost' if self.after else ''}"


class Faults:
    """What is to strike next. A killed host makes no call any more."""

    def __init__(self):
        self.armed = None
        self.is_dead = False

    def strike(self, port, *, after=False):
        if self.is_dead:
            raise Crash("dead")
        fault = self.armed
        if fault is None or fault.port != port or fault.after is not after:
            return
        fault.at -= 1
        if fault.at > 0:
            return
        fault.times -= 1
        if fault.times <= 0:
            self.armed = None
        self.is_dead = fault.kind == "crash"
        error = FAULTS[fault.kind]()
        raise error


class Struck:
    """A port whose calls a fault may strike; `before` is told of each."""

    def __init__(self, name, port, faults, before=lambda: None):
        self._name, self._port, self._faults, self._before = name, port, faults, before

    def __getattr__(self, name):
        held = getattr(self._port, name)
        if name in _NO_CALLS or not callable(held):
            return held
        port = name if name == "transact" else self._name

        def call(*args, **kwargs):
            self._before()
            self._faults.strike(port)
            answer = held(*args, **kwargs)
            if isgenerator(answer):
                return self._pages(port, answer)
            self._faults.strike(port, after=True)
            return answer

        return call

    def _pages(self, port, answer):
        for page in answer:
            yield page
            self._faults.strike(port, after=True)


class Baton:
    """Of several lanes one runs at a time, up to its next FHIR call; `order` says which goes on."""

    def __init__(self, order):
        self._order = cycle(order)
        self._changed = threading.Condition()
        self._lanes, self._waiting, self._running = [], [], None
        self._stirred = False

    @contextmanager
    def lane(self):
        me = threading.get_ident()
        with self._changed:
            self._lanes.append(me)
            self._stirred = True
            self._wait(me)
        try:
            yield
        finally:
            with self._changed:
                self._lanes.remove(me)
                self._stirred = True
                self._running = None if self._running == me else self._running
                self._changed.notify_all()

    def turn(self):
        me = threading.get_ident()
        with self._changed:
            if me in self._lanes and len(self._lanes) > 1:
                self._running = None if self._running == me else self._running
                self._wait(me)

    def _wait(self, me):
        self._waiting.append(me)
        self._waiting.sort(key=self._lanes.index)
        self._changed.notify_all()
        while self._running != me:
            if self._running is None and len(self._waiting) == len(self._lanes) and not self._stirred:
                self._pick()
            elif not self._changed.wait(timeout=0.003 if self._running is None else 0.03):
                self._stirred = False  # nobody else has come, or the one that runs waits for a lock of ours
                self._pick()
        self._waiting.remove(me)

    def _pick(self):
        self._running = self._waiting[next(self._order) % len(self._waiting)]
        self._changed.notify_all()


def _behind(page, hole):
    """The sequence of the entry that tells of the hole."""
    return next(one.sequence for one in page.entries if one.sequence > hole.first)


class _Told:
    """Telemetry that tells the baton when a lane begins and ends."""

    def __init__(self, baton):
        self._baton = baton

    def __getattr__(self, name):
        return getattr(SILENT, name)

    @contextmanager
    def studies(self, *of):
        with self._baton.lane(), SILENT.studies(*of) as tell:
            yield tell


class _Seen:
    """The feed, in pages of at most `most` entries. What it gives out is noted, and whether a replay read it: what the
    app cannot have seen it need not know."""

    def __init__(self, feed, note, recalled):
        self._feed, self._tell, self._recalled = feed, note, recalled
        self.most = 1000
        self.feed_order = None
        self.is_replayed = False

    def _note(self, entries):
        self._tell(entries, self.is_replayed)

    def replays_begin(self):
        """They follow the feed's batch in each tick."""
        self.is_replayed = True

    def __getattr__(self, name):
        return getattr(self._feed, name)

    def pages(self, after, at_once=1):
        return self._parted(self._feed.pages(after, at_once))

    def between(self, after, end):
        return self._parted(self._feed.between(after, end))

    def entries(self, sequences):
        found = self._feed.entries(sequences)
        is_for_the_order = isinstance(sequences, range) and not self.is_replayed
        (self._recalled if is_for_the_order else self._note)(found)
        return found

    def filled(self, holes):
        found, left = self._feed.filled(holes)
        for one in found:  # a host that was started since knows no place for it: it fills
            self._tell([one], self.is_replayed or self.feed_order.position(one.sequence) is None)
        return found, left

    def _parted(self, pages):
        for page in pages:
            for part in [page.entries[at : at + self.most] for at in range(0, len(page.entries), self.most)] or [()]:
                self._note(part)
                is_last = not part or part[-1] is page.entries[-1]
                yield (
                    page
                    if is_last and part == page.entries
                    else FeedPage(
                        part,
                        page.through if is_last else Watermark(part[-1].sequence, part[-1].timestamp),
                        page.held_by if is_last else None,
                        [
                            hole
                            for hole in page.holes
                            if part and part[0].sequence <= _behind(page, hole) <= part[-1].sequence
                        ],
                    )
                )


class Host:
    """Processes of the app, one after another; tables and servers outlive them.

    `is_new`: the one that works now has not ended a tick where the watermark stands.
    """

    def __init__(self, archive, fhir, setup, options, note, recalled):
        self.archive, self.fhir, self.clock = archive, fhir, archive.clock
        self.setup, self.options, self._noted = setup, options, (note, recalled)
        self.faults = Faults()
        self.watermarks, self.journal, self.replays = FakeWatermarks(), FakeJournal(), FakeReplays()
        self.errors = FakeErrors(self.clock.now)
        self.restart()

    def restart(self):
        """Another process: what the last one remembered is forgotten."""
        self.faults.is_dead, self.is_new = False, True
        baton = Baton(self.setup.order)
        turn = baton.turn if self.setup.lanes > 1 else lambda: None
        service = self.archive.mount(HttpService("DICOM service", URL))
        keys = MAPPED_KEYS | REPORT_KEYS
        self.feed = _Seen(ChangeFeed(FeedReader(service, lambda: keys, pass_torn=False), GRACE_SECONDS), *self._noted)

        def struck(name, port, before=lambda: None):
            return Struck(name, port, self.faults, before)

        self.ports = Ports(
            feed=struck("feed", self.feed),
            archive=struck("archive", DicomWeb(service, self.setup.version, lambda: keys)),
            fhir=struck("fhir", self.fhir, turn),
            watermarks=struck("watermarks", self.watermarks),
            errors=struck("errors", self.errors),
            journal=self.journal,
            replays=struck("replays", self.replays, self.feed.replays_begin),
            lease=struck("lease", FakeLease()),
            telemetry=_Told(baton) if self.setup.lanes > 1 else SILENT,
            now=self.clock.now,
            sleep=self.clock.sleep,
            cache=ResourceCache(),
            concurrency=ConcurrencyLimit(self.setup.lanes),
            handover=Handover(),
        )
        self.feed.feed_order = self.ports.feed_order

    def tick(self, size):
        """One tick; its record, None where the host was killed in it."""
        self.options = replace(self.options, size=size)
        self.feed.most, self.feed.is_replayed = size, False
        try:
            return tick(self.ports, self.options, OutageLog(self.clock.now))
        except Crash:
            self.restart()
            return None

    def rewind(self):
        """The watermark is set to the feed's beginning."""
        self.watermarks.rewind()
        self.is_new = True

    @property
    def is_done(self):
        """Whether nothing is left to do, but what is new in the feed."""
        stored = self.watermarks.read()
        return stored.watermark == stored.read_through and not stored.beyond and not self.replays.under_way()

    def replay(self, target, *, dry_run=False):
        return self.replays.create(ReplayRequest(target, dry_run))
