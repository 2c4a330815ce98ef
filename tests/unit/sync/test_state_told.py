"""A change of the state is one line of the log, and each tick's line says the state."""

import json
import logging

import pytest

from shared.errors import OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.sync.batch import BatchOptions
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.fakes import FakeFhir, FakeJournal, FakeLease, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100, total_retry_seconds=10_000)


class Fhir(FakeFhir):
    """It is down as long as it is told so."""

    down = False

    def ensure_answers(self):
        super().ensure_answers()
        if self.down:
            raise OutageError("FHIR server", "https://f is not reachable")


class Journal(FakeJournal):
    """Likewise."""

    down = False

    def read(self):
        if Journal.down:
            raise OutageError("storage", "503")
        return super().read()


@pytest.fixture
def world(caplog, monkeypatch):
    """The parts, and what runs a tick and gives its log: level, text and dimensions of each line."""
    monkeypatch.setattr(Journal, "down", False)
    caplog.set_level(logging.INFO)
    return World(caplog)


class World:
    def __init__(self, caplog):
        self.caplog = caplog
        self.ports = ports(fhir=Fhir(), journal=Journal(), lease=FakeLease())
        self.outages = OutageLog(self.ports.now)

    def tick(self, *, seconds=70, host=None):
        """The lines of one tick, so many seconds later; `host` is what another host remembers."""
        self.ports.sleep(seconds)
        self.caplog.clear()
        tick(self.ports, OPTIONS, host or self.outages)
        return [(one.levelname, *_parsed(one.getMessage())) for one in self.caplog.records]

    def states(self, **how):
        """Level, state and the state before, of the lines that tell a change."""
        return [
            (level, said["State"], said["Before"]) for level, text, said in self.tick(**how) if text[:6] == "state "
        ]

    def arrive(self, *entries):
        self.ports.feed.held = [*self.ports.feed.held, *entries]


def _parsed(message):
    text, _, said = message.partition(" {")
    return text, json.loads("{" + said) if said else {}


def test_a_change_is_told_once(world):
    """With why, since when and what to do; not each tick."""
    assert world.states() == [("INFO", "caught up", "never ran")]
    assert world.states() == []
    world.ports.fhir.down = True
    (line,) = [one for one in world.tick() if one[1].startswith("state ")]
    assert line[:2] == (
        "ERROR",
        "state not syncing: FHIR server: https://f is not reachable; no entry waits; nothing is lost",
    )
    assert line[2]["Since"] == world.ports.journal.read().failing_since.isoformat()
    assert "GET /api/check" in line[2]["Action"]
    assert world.states() == []
    world.ports.fhir.down = False
    assert world.states() == [("INFO", "caught up", "not syncing")]


def test_another_host_goes_on(world):
    """What it tells depends on what the last tick left behind, whoever ran it."""
    world.tick()
    world.ports.fhir.down = True
    another = OutageLog(world.ports.now)
    assert world.states() == [("ERROR", "not syncing", "caught up")]
    assert world.states(host=another) == []
    world.ports.fhir.down = False
    assert world.states(host=another) == [("INFO", "caught up", "not syncing")]
    assert world.states() == []


def test_without_storage(world):
    """The process remembers that it has told it; the journal cannot."""
    world.tick()
    Journal.down = True
    assert world.states() == [("ERROR", "not syncing", None)]
    assert world.states() == []
    Journal.down = False
    assert world.states() == [("INFO", "caught up", "not syncing")]
    assert world.states() == []


def test_a_tick_says_its_state(world):
    """With how long it has lasted, where that is known: alerts ask for both."""

    def said(**how):
        ((_, _, found),) = [one for one in world.tick(**how) if one[1].startswith("tick ")]
        return found["State"], found["StateSeconds"]

    world.tick()
    assert said() == ("caught up", None)
    world.ports.fhir.down = True
    assert said() == ("not syncing", 0)
    assert said(seconds=400) == ("not syncing", 400)
    Journal.down = True
    assert said() == ("not syncing", 0)
    assert said(seconds=30) == ("not syncing", 30)


def test_entries_that_fail_degrade(world):
    """As a warning; what waits for another try does so while it rests, too."""
    world.tick()
    world.arrive(entry(1, t00100020=None))
    assert world.states() == [("WARNING", "degraded", "caught up")]
    assert world.states(seconds=3700) == [("INFO", "caught up", "degraded")]
    world.ports.fhir.faults = [TransientError("status 500", status=500)] * 99
    world.arrive(entry(2))
    assert world.states() == [("WARNING", "degraded", "caught up")]
    assert [world.states(seconds=1) for _ in range(20)] == [[]] * 20


def test_a_tick_that_asks_nothing_of_fhir_probes_it(world):
    """Also where entries wait, and their study rests: else its server would be believed to be well."""
    world.ports.fhir.faults = [TransientError("status 500", status=500)] * 99
    world.arrive(entry(1))
    world.tick()
    world.arrive(entry(2, instance="1.2.3.4.6"))  # of the same study
    world.ports.fhir.down = True
    assert world.states(seconds=0.5) == [("ERROR", "not syncing", "degraded")]


def test_one_sick_study_does_not_make_a_quiet_feed_unhealthy(world):
    """As long as it is tried FHIR is asked, and well: what else came could be written."""
    world.ports.fhir.faults = [TransientError("status 500", status=500)] * 999
    world.arrive(entry(1))
    for _ in range(9):
        world.tick(seconds=60)
        assert world.ports.journal.read().unwritten_since is None
    world.arrive(entry(2, study="1.8", t00100020="P2"), entry(3, study="1.9", t00100020="P3"))
    world.tick()
    assert world.ports.journal.read().unwritten_since is not None
