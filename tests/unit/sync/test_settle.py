"""A study that keeps growing is written a dozen times, not with each instance; what waits for it is nowhere lost."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.errors import LeaseLostError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION, Action, State
from shared.model.outcome import Outcome
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.read.settling import Settling
from shared.sync.status.outages import OutageLog
from shared.sync.status.snapshot import State as SyncState
from shared.sync.status.status import status
from shared.sync.tick import tick
from tests.fakes import NOW, FakeClock, FakeErrors, FakeFeed, FakeFhir, FakeLease, entry, ports

SETTLE = 10
OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=1000, settle_seconds=SETTLE)
A, B = "1.1", "1.2"


def one(number, study=A, action=Action.CREATE, *, series=1, of=None, partition=DEFAULT_PARTITION, **tags):
    """An entry; `of`: the number of the instance that it is about, where that is another's."""
    state = State.DELETED if action is Action.DELETE else State.CURRENT
    where = {"study": study, "series": f"{study}.{series}", "instance": f"{study}.9.{of or number}"}
    return replace(entry(number, action, **where, state=state, **tags), partition=partition)


@dataclass
class World:
    """A feed, a FHIR server, and a clock that is set; hosts come and go."""

    clock: FakeClock = field(default_factory=FakeClock)
    options: BatchOptions = OPTIONS

    def __post_init__(self):
        self.feed = FakeFeed([])
        clock = self.clock
        errors = FakeErrors(clock.now)
        self.fakes = ports(feed=self.feed, fhir=OneSick(), errors=errors, now=clock.now, sleep=clock.sleep)

    def arrive(self, *entries):
        at = self.clock.at.isoformat()
        self.feed.held = [*self.feed.held, *(replace(entry, timestamp=at) for entry in entries)]

    def after(self, seconds):
        """A batch, so many seconds after the beginning."""
        self.clock.at = NOW + timedelta(seconds=seconds)
        return run_batch(self.fakes, self.options)

    def restart(self):
        """Another process: the tables and the servers are the same."""
        kept = ("feed", "archive", "fhir", "watermarks", "errors", "journal", "replays")
        shared = {name: getattr(self.fakes, name) for name in kept}
        self.fakes = ports(**shared, now=self.clock.now, sleep=self.clock.sleep)
        return self.fakes

    def study(self, uid=A):
        named = f"urn:oid:{uid}"
        held = [one for one in self.fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
        return next((one for one in held if one["identifier"][0]["value"] == named), {})

    def instances(self, uid=A):
        return sum(len(series["instance"]) for series in self.study(uid).get("series", ()))

    def versions(self, uid=A):
        return int(self.study(uid)["meta"]["versionId"])

    @property
    def marks(self):
        """Of the row: the watermark, where a host that starts reads on, and both but for what settles."""
        stored = self.fakes.watermarks.read()
        beyond = stored.beyond and (stored.beyond.watermark.sequence, stored.beyond.read_through.sequence)
        return stored.watermark.sequence, stored.read_through.sequence, beyond


@dataclass
class OneSick(FakeFhir):
    """Fails each transaction in which the text stands."""

    urn: str = "nothing"

    def transact(self, bundle):
        if self.urn in repr(bundle):
            raise TransientError("503")
        return super().transact(bundle)


@pytest.fixture
def world():
    """Where a study of one instance was written just now."""
    made = World()
    made.arrive(one(1))
    assert made.after(0).written == 1
    return made


WHAT = [
    # what comes 2 s after a study was written; how many entries are written at once, how many wait
    ([one(2)], 0, 1),
    ([one(2), one(3, series=2)], 0, 2),
    ([one(2, B)], 1, 0),
    ([one(2), one(3, B)], 1, 1),
    ([one(2, partition="other")], 1, 0),
    ([one(2), one(3, action=Action.UPDATE, of=1)], 2, 0),
    ([one(2), one(3, action=Action.DELETE, of=1)], 2, 0),
    ([one(2), one(3, B), one(4, B, Action.UPDATE, of=3)], 3, 0),
    ([one(2), one(3, B), one(4, B, Action.DELETE, of=3)], 2, 1),
    ([one(2, t00100020="P-2")], 1, 0),
    ([one(2), one(3, t00100020="P-2")], 2, 0),
    ([one(2, t00100010="An^Other")], 0, 1),
]


@pytest.mark.parametrize(("entries", "written", "waiting"), WHAT)
def test_only_plain_growth_waits(world, entries, written, waiting):
    """A new study, updates, deletes and another patient are written at once; an update lets nothing wait."""
    world.arrive(*entries)
    result = world.after(2)
    assert (result.entries, len(world.fakes.settling.entries)) == (written, waiting)
    world.after(2 + SETTLE)
    assert world.marks == (len(entries) + 1, len(entries) + 1, None)


def test_it_is_written_once_its_time_has_come(world):
    """Also where nothing new comes: a tick that finds nothing in the feed looks at what waits."""
    world.arrive(one(2))
    for seconds in (2, 5, SETTLE - 0.1):
        assert (world.after(seconds).outcome, world.instances()) == (Outcome.IDLE, 1)
    assert world.after(SETTLE).written == 1
    assert (world.instances(), world.versions()) == (2, 2)


def test_growth_after_a_rest_is_written_at_once(world):
    world.after(SETTLE)
    world.arrive(one(2))
    assert world.after(SETTLE + 2).written == 1


def test_zero_turns_it_off():
    world = World(options=replace(OPTIONS, settle_seconds=0))
    for number in range(1, 5):
        world.arrive(one(number))
        assert world.after(number).written == 1
    assert world.versions() == 4


@pytest.mark.parametrize(
    ("ticks", "every", "entries", "versions"), [(60, 2, 3, 15), (60, 1, 1, 9), (30, 2, 10, 9), (12, 10, 1, 12)]
)
def test_a_scanner_makes_few_versions(ticks, every, entries, versions):
    """Its last instance is in FHIR no later than two ticks after the time that a study settles."""
    world, number = World(), 0
    for step in range(ticks):
        world.arrive(*(one(number + more) for more in range(1, entries + 1)))
        number += entries
        world.after(step * every)
    last = (ticks - 1) * every
    for more in (SETTLE / 2, SETTLE, SETTLE + 2 * every):
        world.after(last + more)
    assert world.instances() == ticks * entries
    assert world.versions() <= versions


@pytest.mark.parametrize(("size", "written_at"), [(20, 10), (60, 12), (100, 20), (400, 30)])
def test_a_large_study_that_grows_by_little_waits_longer(size, written_at):
    """Until a tenth of it is new, or three times as long; and no longer once a tick has found nothing new of it."""
    world = World()
    world.arrive(*(one(number) for number in range(1, size + 1)))
    world.after(0)
    for seconds in range(2, written_at + 2, 2):
        world.arrive(one(1000 + seconds, series=2))
        world.after(seconds)
        assert (world.instances() > size) == (seconds == written_at), seconds
    world.arrive(one(2000, series=2))
    world.after(written_at + 2)
    world.after(written_at + SETTLE)
    assert (world.instances(), world.versions()) == (size + written_at // 2 + 1, 3)


def test_the_marks_stand_before_what_waits(world):
    """A host that starts reads from there; what is behind, and done, is done once more by that host alone."""
    world.arrive(one(2), one(3, B), one(4))
    world.after(2)
    assert world.marks == (1, 1, (4, 4))
    world.arrive(one(5, B))
    world.after(4)
    assert world.marks == (1, 1, (5, 5))
    world.after(SETTLE)
    assert world.marks == (4, 4, (5, 5))
    world.after(SETTLE + 2)
    assert world.marks == (5, 5, None)


def test_what_waits_is_read_once(world):
    """Not with each tick."""
    read = []
    pages = world.feed.pages
    world.feed.pages = lambda after, at_once=1: read.append(after.sequence) or pages(after, at_once)
    world.arrive(one(2))
    for seconds in (2, 4, 6):
        world.after(seconds)
    assert read == [1, 2, 2]


def test_a_host_that_is_killed_loses_nothing(world):
    """The one that starts reads again what waited, and does not know that it should."""
    world.arrive(one(2), one(3, B), one(4))
    world.after(2)
    world.restart()
    assert world.after(3).entries == 3
    assert (world.instances(), world.instances(B), world.marks) == (3, 1, (4, 4, None))


def test_a_host_that_comes_back_forgets_what_waited(world):
    """Another has written the row since, and what waited."""
    world.arrive(one(2))
    world.after(2)
    first = world.fakes
    world.restart()
    world.after(4)
    world.arrive(one(3))
    world.after(5)
    assert world.marks == (2, 2, (3, 3))
    world.fakes = first
    result = world.after(6)
    assert (result.entries, world.instances(), world.marks) == (1, 3, (3, 3, None))


def test_a_person_may_set_the_watermark(world):
    """Reading begins where it was set to; nothing waits of what was read before."""
    world.arrive(one(2))
    world.after(2)
    world.fakes.watermarks.rewind()
    assert world.after(4).entries == 2
    assert world.marks == (2, 2, None)


@pytest.mark.parametrize("checks", range(8))
def test_a_lease_that_is_lost_loses_nothing(world, checks):
    """At whatever write: the row is another's then, and so is what waits; in the end all is there."""
    world.arrive(one(2), one(3, B))
    world.fakes = replace(world.fakes, lease=FakeLease(checks=checks))
    try:
        world.after(1)
        for seconds in (2, SETTLE, SETTLE + 2):
            world.arrive(one(2 + seconds, "1.3"))
            world.after(seconds)
    except LeaseLostError:
        world.restart()
        world.after(2 * SETTLE)
    assert (world.instances(), world.instances(B)) == (2, 1)


def test_what_is_due_in_an_outage_is_behind_and_kept(world):
    """It does not settle any more. Once the FHIR server is back it is written."""
    world.arrive(one(2), one(3, B))
    world.after(2)
    assert world.marks == (1, 1, (3, 3))
    world.fakes.fhir.faults = [OutageError("FHIR server", "down")]
    with pytest.raises(OutageError):
        world.after(SETTLE)
    assert world.marks == (1, 1, (1, 3))
    assert world.after(SETTLE + 2).written == 1
    assert world.marks == (3, 3, None)


def test_what_is_due_and_fails_is_carried(world):
    """It has its rows then, and the watermark stands before it, whatever was done meanwhile."""
    world.arrive(one(2), one(3, B))
    world.after(2)
    world.fakes.fhir.faults = [TransientError("503") for _ in range(4)]
    assert world.after(SETTLE).carried == 1
    assert list(world.fakes.errors.retries) == [2]
    assert world.marks == (1, 3, None)
    world.arrive(one(4))
    world.after(SETTLE + 9)  # its next try is not due
    world.after(10 * SETTLE)
    assert (world.instances(), world.fakes.errors.retries, world.marks) == (3, {}, (4, 4, None))


def test_what_is_due_and_fails_beside_what_rests_is_not_passed(world):
    """Another study was carried while it waited, and comes after it in the feed."""
    sick = world.fakes.fhir
    sick.urn = "urn:oid:1.3'"
    world.arrive(one(2), one(3, "1.3", t00100020="P-3"), one(4, B, t00100020="P-4"))
    world.after(2)
    assert (list(world.fakes.errors.retries), world.marks) == ([3], (1, 1, (2, 4)))
    sick.urn = "urn:oid:1.1'"
    world.after(SETTLE)
    assert (sorted(world.fakes.errors.retries), world.marks) == ([2, 3], (1, 4, None))


def test_a_tick_without_time_keeps_what_is_due(world):
    """It is neither written nor recorded."""
    world.arrive(one(2))
    world.after(2)
    world.options = replace(OPTIONS, tick_budget_seconds=0)
    world.after(SETTLE)
    assert (world.instances(), world.marks) == (1, (1, 1, (1, 2)))
    world.options = OPTIONS
    world.after(SETTLE + 2)
    assert (world.instances(), world.marks) == (2, (2, 2, None))


def test_what_is_read_in_slices_of_one_batch_has_not_grown():
    """A backlog is not a scanner: its studies wait for nothing."""
    world = World(options=replace(OPTIONS, size=1, max_slices=0))
    world.feed.page = 1
    world.arrive(*(one(number) for number in range(1, 6)))
    assert (world.after(0).written, world.instances()) == (5, 5)


@pytest.mark.parametrize(("most", "waiting"), [(3, 3), (2, 0)])
def test_no_more_waits_than_memory_takes(most, waiting):
    """Else all of it is written at once."""
    world = World()
    world.fakes = replace(world.fakes, settling=Settling(most))
    world.arrive(one(1))
    world.after(0)
    world.arrive(one(2), one(3), one(4))
    world.after(2)
    assert (len(world.fakes.settling.entries), world.instances()) == (waiting, 4 - waiting)


def test_what_comes_late_is_written_at_once_with_what_waits(world):
    """A number of the feed that was missing: the study is read in the archive."""
    world.feed.young = [2]
    world.arrive(one(3), one(5, B))
    world.after(2)
    assert world.marks == (1, 1, (1, 5))
    world.feed.held = sorted([*world.feed.held, one(2)], key=lambda entry: entry.sequence)
    world.after(4)
    assert (world.instances(), world.marks) == (3, (5, 5, None))


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_hole_behind_what_waits_is_watched(world, is_restarted):
    """By this host in its memory; the next finds it where it reads again."""
    world.feed.young = [3]
    world.arrive(one(2), one(4, B))
    world.after(2)
    assert (world.marks, world.fakes.watermarks.read().holes) == ((1, 1, (2, 4)), ())
    if is_restarted:
        world.restart()
    world.feed.young = []
    world.feed.held = [*world.feed.held[:2], one(3, "1.3"), *world.feed.held[2:]]
    world.after(4)
    assert (world.instances("1.3"), world.instances()) == (1, 1 + is_restarted)
    world.after(SETTLE)
    assert (world.instances(), world.marks) == (2, (4, 4, None))


def named(name):
    return {"t00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize(("behind", "name"), [("New", "New"), (None, "Waits")])
def test_the_newest_word_on_a_patient_is_the_feeds(behind, name, is_restarted):
    """Also where what waits was overtaken by it, and where what waits says it."""
    world = World()
    world.arrive(one(1, **named("First")))
    world.after(0)
    world.arrive(one(2, **named("Waits")))
    world.after(2)
    world.arrive(one(3, B, **(named(behind) if behind else {})))
    world.after(4)
    if is_restarted:
        world.restart()
    world.after(SETTLE + 2)
    (patient,) = [held for held in world.fakes.fhir.resources if held["resourceType"] == "Patient"]
    assert (patient["name"][0]["family"], world.instances()) == (name, 2)


def test_what_settles_is_neither_behind_nor_carried(world):
    """In the tick's record, in the state, in the status; while the watermark stands before it."""
    world.arrive(one(2), one(3, B))
    world.clock.at = NOW + timedelta(seconds=2)
    record = tick(world.fakes, OPTIONS, OutageLog(world.clock.now))
    assert (record.lag.entries, record.lag.seconds, record.unread, record.result.carried) == (0, 0, 0, 0)
    found = status(world.fakes, "1", {})
    assert (found.lag.entries, found.watermark.sequence, found.carried) == (0, 1, [])
    assert found.state.state is SyncState.CAUGHT_UP
    assert world.marks == (1, 1, (3, 3))
