"""One tick: one host at a time, every end told, the lease always given back."""

import json
import logging

import pytest

from shared.errors import FeedError, IncompatibleServerError, LeaseLostError, OutageError
from shared.mapping.converters import MappingOptions
from shared.outcome import Outcome
from shared.replay import ReplayRequest, ReplayState, SequenceRange
from shared.sync.batch import BatchOptions
from shared.sync.handover import Handover
from shared.sync.outages import OutageLog
from shared.sync.tick import tick
from tests.fakes import FakeClock, FakeFeed, FakeFhir, FakeLease, entry, ports

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


def test_a_tick_is_one_line_and_one_record(caplog):
    """With what it did, for a human and for a query."""
    caplog.set_level(logging.INFO)
    fakes = ports([entry(1)])
    run(fakes)
    (line,) = caplog.records
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
    (line,) = caplog.records
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
    assert [line.message for line in caplog.records] == [
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
    assert [line.levelname for line in caplog.records] == ["ERROR"]


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
