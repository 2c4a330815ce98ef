"""Several slices of one tick: how many, how they end, and where the watermark stands."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.errors import LeaseLostError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import TornEntry
from shared.model.failures import ErrorTable
from shared.model.outcome import BatchResult, Outcome
from shared.model.watermark import Watermark
from shared.sync.batch import BatchOptions, run_batch, sum_of
from shared.sync.record.marks import before_first, placed
from tests.fakes import NOW, FakeClock, FakeFeed, FakeFhir, FakeLease, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=1, max_slices=0)


@dataclass
class Slow(FakeFhir):
    """Each transaction takes 10 s of the clock."""

    clock: FakeClock = field(default_factory=FakeClock)

    def transact(self, bundle):
        self.clock.sleep(10)
        return super().transact(bundle)


@pytest.mark.parametrize(("most", "budget", "done"), [(0, 1000, 5), (0, 25, 2), (0, 10, 1), (2, 1000, 2), (3, 25, 2)])
def test_no_slice_begins_after_the_time_of_the_tick(most, budget, done):
    """Nor after as many as are set; the first takes 20 s, as it makes the Endpoint too, each other 10."""
    clock = FakeClock()
    feed = FakeFeed([entry(n, study=f"1.{n}", instance=f"1.{n}.1") for n in range(1, 6)], page=1)
    fakes = ports(feed=feed, fhir=Slow(clock=clock), now=clock.now, sleep=clock.sleep)
    result = run_batch(fakes, replace(OPTIONS, max_slices=most, tick_budget_seconds=budget))
    assert (result.entries, result.watermark.sequence) == (done, done)


@dataclass
class SlowFeed(FakeFeed):
    """Each page takes 10 s of the clock."""

    clock: FakeClock = field(default_factory=FakeClock)

    def pages(self, after, at_once=1):
        for page in super().pages(after, at_once):
            self.clock.sleep(10)
            yield page


@pytest.mark.parametrize(("budget", "read"), [(10, 1), (60, 2), (65, 3), (1000, 5)])
def test_reading_takes_a_third_of_the_time_of_the_tick(budget, read):
    """One page at least: the rest of the time is for what was read."""
    clock = FakeClock()
    feed = SlowFeed([entry(n, study=f"1.{n}", instance=f"1.{n}.1") for n in range(1, 6)], page=1, clock=clock)
    fakes = ports(feed=feed, now=clock.now, sleep=clock.sleep)
    result = run_batch(fakes, replace(OPTIONS, size=100, max_slices=1, tick_budget_seconds=budget))
    assert result.entries == read


def test_a_slice_goes_on_with_the_pages_of_the_one_before():
    """What was read ahead is not asked for again."""
    feed = FakeFeed([entry(n, study=f"1.{n}", instance=f"1.{n}.1") for n in range(1, 6)], page=1)
    begun, pages = [], feed.pages
    feed.pages = lambda after, at_once=1: begun.append(after.sequence) or pages(after, at_once)
    result = run_batch(ports(feed=feed), OPTIONS)
    assert (result.entries, begun) == (5, [0])


def ended(outcome, entries=0, *, brought_on=False, at=0):
    recorded = {ErrorTable.FHIR: entries}
    return BatchResult(outcome, Watermark(at), entries=entries, recorded=recorded, brought_on=brought_on)


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        ([ended(Outcome.IDLE)], Outcome.IDLE),
        ([ended(Outcome.IDLE), ended(Outcome.IDLE)], Outcome.IDLE),
        ([ended(Outcome.SYNCED, 2, brought_on=True), ended(Outcome.IDLE)], Outcome.SYNCED),
        ([ended(Outcome.IDLE), ended(Outcome.SYNCED, 2)], Outcome.SYNCED),
        ([ended(Outcome.SYNCED, 2), ended(Outcome.SYNCED, 3, brought_on=True, at=5)], Outcome.SYNCED),
    ],
)
def test_what_several_slices_did(results, outcome):
    """One that found nothing does not take back that others synced; the counts add up, the watermark is the last's."""
    result = sum_of(results)
    entries = sum(one.entries for one in results)
    assert (result.outcome, result.entries, result.recorded.get(ErrorTable.FHIR, 0)) == (outcome, entries, entries)
    assert result.watermark == results[-1].watermark
    assert result.brought_on == any(one.brought_on for one in results)


def at(sequence):
    return replace(entry(sequence), timestamp=f"t{sequence}")


START, END = Watermark(3, "t3"), Watermark(7, "t7")
TORN, TIMELESS = TornEntry(5, "t5", "torn"), TornEntry(5, None, "torn")

WATERMARKS = [
    # what waits, entries that were read, the watermark
    ((), [at(4), at(7)], END),
    ({9}, [at(4), at(7)], END),
    ({4}, [at(4), at(7)], START),
    ({6}, [at(4), at(5), at(6)], Watermark(5, "t5")),
    ({5, 6}, [at(4), at(5), at(6)], Watermark(4, "t4")),
    ({6}, [at(4), TORN, at(6)], Watermark(5, "t5")),
    ({6}, [at(4), TIMELESS, at(6)], Watermark(5, "t4")),
    ({6}, [TIMELESS, at(6)], Watermark(5, "t3")),
]


@pytest.mark.parametrize(("waiting", "entries", "watermark"), WATERMARKS)
def test_the_watermark_is_the_entry_before_what_waits(waiting, entries, watermark):
    """With its time, by which API v2 reads on; of a torn one that has none that of the one before."""
    assert before_first(waiting, placed(entries, START), END) == watermark


@pytest.mark.parametrize(("budget", "tries"), [(0.9, 1), (1.0, 1), (1.1, 2), (3.1, 3), (1000, 4)])
def test_no_retry_begins_after_the_time_of_the_tick(budget, tries):
    """They are due 1, 3 and 7 s after the first try; what is not is a later tick's."""
    clock = FakeClock()
    fhir = FakeFhir(faults=[TransientError("status 503") for _ in range(9)])
    fakes = ports([entry()], fhir=fhir, now=clock.now, sleep=clock.sleep)
    result = run_batch(fakes, replace(OPTIONS, max_slices=1, tick_budget_seconds=budget))
    assert (9 - len(fhir.faults), result.carried) == (tries, 1)
    assert clock.at - NOW <= timedelta(seconds=budget)


def test_no_retry_begins_without_the_lease():
    """Another host may be at work since: the server is not even searched."""

    class Failing(FakeFhir):
        def transact(self, bundle):
            lease.checks = 0
            calls.append(self.calls)
            raise TransientError("status 503")

    lease, calls, clock = FakeLease(), [], FakeClock()
    fakes = ports([entry()], fhir=Failing(), lease=lease, now=clock.now, sleep=clock.sleep)
    with pytest.raises(LeaseLostError):
        run_batch(fakes, OPTIONS)
    assert len(calls) == 1
    assert fakes.fhir.calls <= calls[0] + 1  # the transaction that failed, and the probe after it
