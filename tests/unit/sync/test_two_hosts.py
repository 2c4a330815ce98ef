"""Two hosts for an hour of simulated time: one works at a time, whatever is killed or frozen; nothing lost or doubled."""

import random
from collections import Counter

import pytest

from shared.errors import LeaseLostError, TransientError
from shared.mapping.merge import contains
from shared.model.change_feed import Action
from shared.model.outcome import Outcome
from tests.fakes import FakeErrors, FakeFhir, FakeJournal, FakeReplays, FakeWatermarks
from tests.unit.sync.simulated_archive import Archive
from tests.unit.sync.simulated_host import Clock, Host
from tests.unit.sync.simulated_lease import LEASE_SECONDS, LeaseService

HOUR = 3600
FOLLOWED_WITHIN = 60  # seconds


class ShakyFhir(FakeFhir):
    """One transaction in fifty fails with a transient fault, half of these after it was applied.

    With one in eight a study falls ill: whatever is written of it fails for longer than a tick tries, so that it is carried.
    """

    def __init__(self, chance, clock) -> None:
        super().__init__()
        self._chance, self._clock = chance, clock
        self._ill_until: dict[str, float] = {}

    def transact(self, bundle):
        named = [uid for uid in _study_uids(bundle) if self._clock.seconds < HOUR]
        if named and self._chance.random() < 0.12:
            self._ill_until[self._chance.choice(named)] = self._clock.seconds + self._chance.uniform(20, 60)
        if any(self._ill_until.get(uid, 0) > self._clock.seconds for uid in named):
            raise TransientError("503")
        fate = self._chance.random()
        if fate < 0.01:
            raise TransientError("503")
        answers = super().transact(bundle)
        if fate > 0.99:
            raise TransientError("the connection broke")
        return answers

    def of(self, resource_type):
        return [one for one in self.resources if one["resourceType"] == resource_type]

    def study(self, uid):
        identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
        return [one for one in self.of("ImagingStudy") if contains(one["identifier"], [identifier])]

    def instances(self, uid):
        return {one["uid"] for study in self.study(uid) for series in study["series"] for one in series["instance"]}


def _study_uids(bundle):
    studies = [
        one["resource"] for one in bundle["entry"] if one.get("resource", {}).get("resourceType") == "ImagingStudy"
    ]
    return [one["identifier"][0]["value"] for one in studies]


class WatchedErrors(FakeErrors):
    """`carried_ever`: the entries that were carried at any time."""

    def __init__(self, now) -> None:
        super().__init__(now)
        self.carried_ever: set[int] = set()
        self.disowned = 0
        self._worker = ""

    def begin_of(self, host) -> bool:
        """Whether another than this host has worked since it did, or a row was disowned."""
        is_new, self._worker = self._worker != host, host
        return is_new

    def disown(self) -> None:
        self._worker = ""
        self.disowned += 1

    def record(self, failures):
        super().record(failures)
        self.carried_ever |= self.retries.keys()


class WatchedRow(FakeWatermarks):
    """The watermark's row: each move is checked when it is made."""

    def __init__(self, world) -> None:
        super().__init__()
        self._world = world
        self.moved_from: Counter[str] = Counter()
        self.refused = 0
        self.settling = 0

    def write(self, stored):
        before = self.stored
        try:
            written = super().write(stored)
        except LeaseLostError:
            self.refused += 1
            raise
        self.moved_from[stored.etag] += 1
        self.settling += stored.beyond is not None
        passed, read = stored.watermark.sequence, stored.read_through.sequence
        assert before.watermark.sequence <= passed <= read
        assert before.read_through.sequence <= read
        not_done = [sequence for sequence in range(1, read + 1) if not self._world.is_done(sequence)]
        assert [sequence for sequence in not_done if sequence <= passed] == []
        assert set(not_done) <= set(self._world.errors.retries)
        return written


class World:
    """What the hosts share, and what happens to it."""

    def __init__(self, seed) -> None:
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.feed = self.archive = Archive(self.chance)
        self.fhir = ShakyFhir(self.chance, self.clock)
        self.watermarks = WatchedRow(self)
        self.errors = WatchedErrors(self.clock.now)
        self.journal, self.replays = FakeJournal(), FakeReplays()
        self.lease_service = LeaseService(self.clock, self._acquired)
        self.lives: list[Host] = []
        self.hosts = [self._start(), self._start()]
        self.orphaned_at: float | None = None  # when the lease's holder was killed, until another takes it
        self.followed_after: list[float] = []

    def hour(self) -> None:
        """And some minutes without trouble, in which the feed is drained."""
        for happens, every in ((self._arrive, 25), (self._strike, 45)):
            at = self.chance.expovariate(1 / every)
            while at < HOUR:
                self.clock.at(at, happens)
                at += self.chance.expovariate(1 / every)
        self.clock.run(HOUR + 600)
        for host in self.hosts:
            host.is_dead = True
        self.clock.run()

    def is_done(self, sequence):
        """In FHIR, gone from FHIR, or recorded."""
        change = self.feed.changes[sequence - 1]
        if change.instance in self.feed.bad:
            gone = change.instance not in self.feed.held[change.study]
            return gone or change.instance in {row.sop_instance_uid for row in self.errors.rows}
        if change.instance in self.feed.held[change.study]:
            return change.instance in self.fhir.instances(change.study)
        return change.action is not Action.DELETE or change.instance not in self.fhir.instances(change.study)

    def _start(self):
        host = Host(f"host {len(self.lives) + 1}", self)
        self.lives.append(host)
        return host

    def _arrive(self) -> None:
        """Studies that are new, and changes of those that came last."""
        for _ in range(self.chance.randint(1, 6)):
            recent = list(self.feed.held)[-6:]
            what = self.chance.choices(["new", "more", "delete", "describe"], [5, 2, 2, 1])[0] if recent else "new"
            if what == "new":
                self.feed.store()
            else:
                change = {"more": self.feed.store, "delete": self.feed.delete, "describe": self.feed.describe}[what]
                change(self.chance.choice(recent))

    def _strike(self) -> None:
        """The one that works is killed or frozen, now or before it sends something; the other is up meanwhile."""
        at = next((at for at, host in enumerate(self.hosts) if host.lease.is_held), None)
        if at is None or not all(host.is_up for host in self.hosts):
            if self.clock.seconds < HOUR:
                self.clock.after(1, self._strike)
            return
        for host in self.hosts:
            host.freezes_before = None  # one at a time: the other is to follow
        seconds = self.chance.uniform(1, 3 * LEASE_SECONDS)
        what = self.chance.choice(["kill", "kill", "freeze", "search", "search", "write", "write", "record"])
        if what == "kill":
            self.hosts[at].is_dead = True
            self.orphaned_at = self.clock.seconds
            self.clock.after(seconds, lambda: self._restart(at))
        elif what == "freeze":
            self.hosts[at].freeze(seconds)
        else:
            self.hosts[at].freezes_before = (what, seconds)

    def _restart(self, at) -> None:
        self.hosts[at] = self._start()

    def _acquired(self, lease_id) -> None:
        holder = next(host for host in self.lives if host.name == lease_id[0])
        if holder.is_dead and self.clock.seconds < HOUR:  # its request was on the way
            self.orphaned_at = self.orphaned_at or self.clock.seconds
        elif self.orphaned_at:
            self.followed_after.append(self.clock.seconds - self.orphaned_at)
            self.orphaned_at = None


@pytest.fixture(scope="module", params=[1, 2, 8, 26, 39])
def world(request):
    """After its hour."""
    one = World(seed=request.param)
    one.hour()
    return one


def test_the_hour_was_hard(world):
    """Holders were killed, others went on as if they still held the lease, studies were carried over ticks, or settled."""
    assert len(world.followed_after) >= 5
    assert sum(host.outcomes.count(Outcome.STOPPED) for host in world.lives) >= 2
    assert len(world.feed.changes) >= 200
    assert len(world.errors.carried_ever) >= 3
    assert world.watermarks.settling >= 3


def test_the_watermark_moves_once_from_where_it_is(world):
    """Never do the writes of two hosts both succeed from one version. WatchedRow saw that no move was wrong."""
    assert max(world.watermarks.moved_from.values()) == 1
    assert world.watermarks.watermark.sequence == len(world.feed.changes)


def test_a_killed_holder_is_followed(world):
    """Within a minute: what is left of its lease, and the time to the other's next tick."""
    assert world.orphaned_at is None
    assert max(world.followed_after) < FOLLOWED_WITHIN


def test_everything_is_in_fhir_once(world):
    """As the archive has it now: nothing lost, doubled, brought back, or written more often than it changed."""
    assert len(world.fhir.of("ImagingStudy")) == len(world.feed.held)
    for uid in world.feed.held:
        (study,) = world.fhir.study(uid)
        assert world.fhir.instances(uid) == world.feed.good(uid)
        assert study["description"] == world.feed.descriptions[uid]
        assert int(study["meta"]["versionId"]) <= len([one for one in world.feed.changes if one.study == uid])
    patients = [one["identifier"][0]["value"] for one in world.fhir.of("Patient")]
    assert sorted(patients) == sorted({world.feed.patient(uid) for uid in world.feed.held})
    assert len(world.fhir.of("Endpoint")) == 1


def test_what_failed_is_recorded_and_nothing_else(world):
    """Each bad instance that is still there has its row; no study was given up, none is carried.

    Nor does a row stay of what a host told that was frozen just before, and that another has done meanwhile.
    """
    recorded = {row.sop_instance_uid for row in world.errors.rows}
    assert recorded <= world.feed.bad
    assert recorded >= {bad for bad in world.feed.bad for held in world.feed.held.values() if bad in held}
    assert not world.errors.retries
