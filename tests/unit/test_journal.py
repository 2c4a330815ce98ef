"""What is kept of the ticks: bounded, whatever they do."""

from dataclasses import replace
from datetime import timedelta

from shared.model.journal import RECENT, SLOTS, Journal, Slot
from shared.model.outcome import BatchResult, Lag, Outcome, TickRecord
from shared.model.watermark import Watermark
from tests.fakes import NOW


def record(outcome=Outcome.SYNCED, at=NOW, entries=3, lag=None):
    result = BatchResult(outcome, Watermark(9), entries=entries, written=entries, fhir_calls=2)
    return TickRecord(at, 1.5, outcome, result if outcome is not Outcome.FAILED else None, None, lag)


def journal_of(*records):
    journal = Journal()
    for one in records:
        journal = journal.with_tick(one)
    return journal


def test_idle_ticks_are_kept_as_the_last_only():
    """A quiet night must not push out what happened before it."""
    journal = journal_of(record(), *[record(Outcome.IDLE, entries=0)] * 100)
    assert journal.last.outcome is Outcome.IDLE
    assert [one.outcome for one in journal.recent] == [Outcome.SYNCED]
    assert (journal.totals["ticks"], journal.totals["entries"]) == (101, 3)


def test_the_newest_stand_first_and_the_oldest_go():
    """Bounded."""
    journal = journal_of(*(record(entries=number) for number in range(1, RECENT + 6)))
    assert [one.result.entries for one in journal.recent] == list(range(RECENT + 5, 5, -1))


def test_health_is_told_by_ticks_that_ended_well():
    """A failed one does not move it."""
    journal = journal_of(record(), record(Outcome.FAILED, at=NOW + timedelta(hours=1)))
    assert journal.well_at == NOW + timedelta(seconds=1.5)


def test_a_slot_adds_up_five_minutes():
    """Counts are summed, of the lag the largest is kept; the next slot begins anew."""
    minute = timedelta(minutes=1)
    journal = journal_of(
        record(at=NOW, lag=Lag(9, 7.0)), record(at=NOW + minute, lag=Lag(2, 1.0)), record(Outcome.FAILED, NOW + minute)
    )
    slot = journal.slot
    assert (slot.ticks, slot.failed_ticks, slot.entries, slot.fhir_calls, slot.busy_seconds) == (3, 1, 6, 4, 4.5)
    assert (slot.lag_entries, slot.lag_seconds) == (9, 7.0)
    assert slot.start <= NOW < slot.start + timedelta(minutes=5)
    assert journal.with_tick(record(at=NOW + 5 * minute)).slot.ticks == 1


def test_slots_are_a_ring_of_a_week():
    """The slot a week later takes the place of this one."""
    slot = Slot.of(NOW)
    later = replace(slot, start=slot.start + timedelta(days=7))
    assert slot.number == later.number
    numbers = {replace(slot, start=slot.start + timedelta(minutes=5 * step)).number for step in range(SLOTS)}
    assert numbers == set(range(SLOTS))
