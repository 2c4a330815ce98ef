"""One tick: one host at a time, every end told, the lease always given back."""

import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import (
    FeedEndsEarlyError,
    FeedError,
    IncompatibleServerError,
    LeaseLostError,
    OutageError,
    TransientError,
)
from shared.mapping.mapping_options import MappingOptions
from shared.model.outcome import Outcome
from shared.model.replay import ReplayRequest, ReplayState, SequenceRange
from shared.model.watermark import StoredWatermark, Watermark
from shared.sync.batch import BatchOptions
from shared.sync.handover import Handover
from shared.sync.status.outages import OutageLog
from shared.sync.status.status import status
from shared.sync.tick import tick
from shared.web.metrics import metrics_text
from tests.fakes import NOW, FakeClock, FakeFeed, FakeFhir, FakeLease, FakeWatermarks, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)


def run(fakes, outages=None):
    return tick(fakes, OPTIONS, outages or OutageLog(fakes.now))


class BrokenFeed(FakeFeed):
    error: Exception

    def pages(self, after, at_once=1):
        raise self.error

    def latest(self):
        raise self.error


def broken(error):
    feed = BrokenFeed()
    feed.error = error
    return feed


@pytest.mark.parametrize(
    ("leases", "slept"),
    [
        ([True], [7.0]),
        ([True, True, True], [7.0]),
        ([False, True, True], [7.0]),
        ([True, False, True, True], [7.0, 7.0]),
        ([False, False], []),
    ],
    ids=str,
)
def test_a_host_that_takes_over_waits_for_searches_to_catch_up(leases, slept):
    """As long as the setting says, before its first batch; it knows what it wrote itself, and waits for others' alone."""
    lease, clock = FakeLease(), FakeClock()
    fakes = ports([entry(1)], lease=lease, sleep=clock.sleep, now=clock.now, handover=Handover(7.0))
    for is_free in leases:
        lease.free = is_free
        run(fakes)
    assert clock.slept == slept


def test_of_ticks_that_find_nothing_to_do_one_a_minute_is_written(caplog):
    """In the journal and in the log; as often the FHIR server is asked whether it is there. What is done is told at once."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    feed = FakeFeed()
    fakes = ports(feed=feed, sleep=clock.sleep, now=clock.now)
    told = []
    for second in range(0, 130, 2):
        if second == 90:
            feed.held = [entry(1)]
        caplog.clear()
        run(fakes)
        if caplog.messages:
            told.append(second)
            assert fakes.journal.record.started == clock.at
        clock.sleep(2)
    assert told == [0, 60, 90, 92]
    assert fakes.fhir.calls == 3 + 3  # idle ticks, and those of the study


def test_a_tick_that_finds_nothing_to_do_is_written_where_something_waits():
    """A young hole holds the feed: how far behind the sync is must be seen."""
    fakes = ports(feed=FakeFeed([entry(1)], hold="sequence 2 is missing"))
    run(fakes)
    ticks = fakes.journal.held.totals["ticks"]
    fakes.feed.held = [entry(1), entry(3)]
    fakes.feed.page = 1
    run(fakes)
    assert fakes.journal.held.totals["ticks"] == ticks + 1


def test_a_held_lease_ends_the_tick_well(caplog):
    """Said at INFO; nothing is read, and the other host's record of its tick stands."""
    caplog.set_level(logging.INFO)
    fakes = ports([entry(1)], lease=FakeLease(free=False))
    assert run(fakes).outcome is Outcome.LEASE_HELD
    assert fakes.journal.record is None
    assert fakes.fhir.calls == 0
    assert [(line.levelname, line.message) for line in caplog.records] == [
        ("INFO", 'tick leaseHeld {"Outcome":"leaseHeld"}')
    ]


def of_ticks(caplog):
    """What was logged, but for changes of the state (test_state_told.py)."""
    return [line for line in caplog.records if not line.message.startswith("state ")]


def test_a_tick_is_one_line_and_one_record(caplog):
    """With what it did, for a human and for a query."""
    caplog.set_level(logging.INFO)
    fakes = ports([entry(1)])
    run(fakes)
    (line,) = of_ticks(caplog)
    text, _, dimensions = line.message.partition(" {")
    said = json.loads("{" + dimensions)
    assert text == "tick synced"
    assert {name: getattr(line, name) for name in said} == said, "OpenTelemetry reads the record's attributes"
    assert (said["Written"], said["Watermark"], said["LagEntries"], said["Error"]) == (1, 1, 0, None)
    assert fakes.journal.held.totals["written"] == 1
    assert fakes.lease.released


def test_totals_count_over_ticks():
    """Also over those that failed."""
    fakes = ports([entry(1)])
    run(fakes)
    run(fakes)
    assert (fakes.journal.held.totals["ticks"], fakes.journal.held.totals["entries"]) == (2, 1)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (FeedError("https://d/v1/changefeed: no JSON"), Outcome.FAILED),
        (OutageError("DICOM service", "not reachable"), Outcome.FAILED),
        (LeaseLostError("lost"), Outcome.STOPPED),
    ],
)
def test_a_known_error_ends_the_tick_and_is_told(error, outcome, caplog):
    """In the log once, in the record, and the lease is free for the next."""
    fakes = ports(feed=broken(error))
    record = run(fakes)
    assert record.outcome is outcome
    assert str(error) in record.error
    (line,) = of_ticks(caplog)
    assert line.levelname == ("WARNING" if outcome is Outcome.STOPPED else "ERROR")
    assert str(error) in line.message
    assert fakes.lease.released
    assert fakes.watermarks.stored.etag == "0"


def test_a_tick_works_on_replays_when_its_batch_is_done():
    """Under the same lease; the watermark is the batch's."""
    fakes = ports([entry(1)])
    replay = fakes.replays.create(ReplayRequest(SequenceRange(1, 1)))
    run(fakes)
    assert fakes.replays.read(replay.id).state is ReplayState.DONE
    assert fakes.watermarks.watermark.sequence == 1


def test_an_unfit_fhir_server_is_found_before_anything_is_read():
    """Not R4, or without transactions: one clear error. How far the sync is behind is told all the same."""

    class Unfit(FakeFhir):
        def check(self):
            raise IncompatibleServerError("FHIR server", "not R4")

    class Unread(FakeFeed):
        def pages(self, after, at_once=1):
            raise AssertionError("the feed must not be read")

    record = run(ports(feed=Unread([entry(1)]), fhir=Unfit()))
    assert "not R4" in record.error
    assert record.lag.entries == 1


def test_an_outage_is_told_once_and_once_when_it_is_over(caplog):
    """Not six times a minute all night."""
    fakes = ports(feed=broken(OutageError("DICOM service", "not reachable")))
    outages = OutageLog(fakes.now)
    for _ in range(3):
        assert run(fakes, outages).outcome is Outcome.FAILED
    fakes.feed.error = OutageError("storage", "ServiceRequestError")
    run(fakes, outages)
    run(ports([entry(1)]), outages)
    run(ports([entry(1)]), outages)
    assert [line.message for line in of_ticks(caplog)] == [
        'outage, nothing is skipped: DICOM service: not reachable {"System":"DICOM service"}',
        'outage, nothing is skipped: storage: ServiceRequestError {"System":"storage"}',
        'DICOM service is back after 0 s {"System":"DICOM service"}',
        'storage is back after 0 s {"System":"storage"}',
    ]


def test_storage_that_is_down_ends_the_tick(caplog):
    """Nobody knows then who holds the lease, and nothing can be recorded."""

    class Down(FakeLease):
        def acquire(self):
            raise OutageError("storage", "ServiceRequestError")

    fakes = ports([entry(1)], lease=Down())
    outages = OutageLog(fakes.now)
    for _ in range(2):
        assert run(fakes, outages).outcome is Outcome.FAILED
    assert fakes.fhir.calls == 0
    assert [line.levelname for line in of_ticks(caplog)] == ["ERROR"]


def test_an_unknown_error_ends_the_tick_and_is_told():
    """By its class, never by its text; the lease is free for the next."""
    fakes = ports(feed=broken(ZeroDivisionError("a value")))
    record = run(fakes)
    assert (record.outcome, "ZeroDivisionError" in record.error, "a value" in record.error) == (
        Outcome.FAILED,
        True,
        False,
    )
    assert fakes.lease.released


SLOW_PAGE_SECONDS = 13


class SlowFeed(FakeFeed):
    """A page takes its time."""

    def pages(self, after, at_once=1):
        for page in super().pages(after, at_once):
            self.sleep(SLOW_PAGE_SECONDS)
            yield page


def test_reading_takes_a_third_of_the_time_and_what_was_read_is_worked_on():
    """A page of 13 s ate the whole budget: no study was ever begun, and each tick said that all is well."""
    clock = FakeClock()
    feed = SlowFeed([entry(number, study=f"1.{number}") for number in range(1, 2001)])
    feed.sleep = clock.sleep
    fakes = ports(feed=feed, now=clock.now, sleep=clock.sleep)
    record = tick(fakes, replace(OPTIONS, size=2000), OutageLog(fakes.now))
    assert (record.outcome, record.result.entries, record.result.written) == (Outcome.SYNCED, 700, 700)
    assert record.duration_seconds < 240
    assert fakes.watermarks.watermark.sequence == 700


class Starved(FakeFeed):
    """Its first page takes more than a tick has."""

    def pages(self, after, at_once=1):
        self.sleep(300)
        yield from super().pages(after, at_once)


STILL = [
    # rule                                      feed      held by                    lag of seconds   is told
    ("no study is begun",                       Starved,  None,                      10_000, "no study was begun"),
    ("the feed is held for ever",               FakeFeed, "sequence 1 is missing",   10_000, "sequence 1 is missing"),
    ("what is young may wait",                  FakeFeed, "sequence 1 is missing",   20,     None),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "kind", "held_by", "age", "told"), STILL, ids=[row[0] for row in STILL])
def test_no_progress_is_a_state(caplog, rule, kind, held_by, age, told):
    """After some ticks that brought nothing on while there is lag: no healthy tick, one ERROR line; it ends by itself."""
    clock = FakeClock(NOW + timedelta(seconds=age))
    waiting = entry(2)

    class Feed(kind):
        def latest(self):
            return waiting

        def first_after(self, watermark):
            return waiting

    feed = Feed([] if held_by else [waiting], hold=held_by)
    feed.sleep = clock.sleep
    fakes = ports(feed=feed, now=clock.now, sleep=clock.sleep)
    ticks = [run(fakes) for _ in range(7)]
    if told is None:
        assert {one.outcome for one in ticks} == {Outcome.IDLE}
        return
    assert [one.outcome is Outcome.STANDSTILL for one in ticks] == [False] * 4 + [True] * 3, rule
    assert "no progress in 7 ticks" in ticks[-1].error
    assert told in ticks[-1].error
    assert fakes.journal.held.well_at <= ticks[4].started
    assert len([line for line in caplog.records if line.levelname == "ERROR"]) == 1
    fakes = replace(fakes, feed=FakeFeed([waiting]))
    assert run(fakes).outcome is Outcome.SYNCED
    assert fakes.journal.held.still_ticks == 0


def test_a_study_that_rests_is_no_standstill():
    """It is tried again when it is due."""
    clock = FakeClock(NOW + timedelta(seconds=400))
    fhir = FakeFhir(faults=[TransientError("503", 10_000)] * 99)
    fakes = ports([entry(1)], fhir=fhir, now=clock.now, sleep=clock.sleep)
    assert {run(fakes).outcome for _ in range(8)} <= {Outcome.SYNCED, Outcome.IDLE}


@pytest.mark.parametrize("held", [[], [entry(3)]], ids=["empty", "three"])
def test_a_feed_that_ends_before_the_watermark_is_an_error(held):
    """Of the tick, the status and the metrics; never idle, and nothing moves."""

    class Anew(FakeFeed):
        def pages(self, after, at_once=1):
            raise FeedEndsEarlyError(len(held) and held[-1].sequence, after.sequence)

    at = Watermark(5000, NOW.isoformat())
    fakes = ports(feed=Anew(held), watermarks=FakeWatermarks(StoredWatermark(at, "0", at)))
    record = run(fakes)
    assert (record.outcome, record.lag) == (Outcome.FAILED, None)
    assert "the change feed ends before the watermark" in record.error
    assert fakes.watermarks.watermark == at
    found = status(fakes, "1", {})
    assert [fault.startswith("the change feed ends before the watermark") for fault in found.faults] == [True]
    assert f"dicom_cast_watermark_ahead {5000.0 - (held[-1].sequence if held else 0)}" in metrics_text(found)
