"""What a batch works on: what is carried, what is new, and which studies are the same."""

from dataclasses import replace
from datetime import timedelta

from shared.model.failures import CarriedEntry, ErrorTable, FailedEntry
from shared.model.watermark import StoredWatermark, Watermark
from shared.sync.queue.retry import Attempts
from shared.sync.read import carried as carried_module
from shared.sync.read.carried import attempts_of
from shared.sync.read.planning import make_plan
from tests.fakes import NOW, STUDY, FakeClock, FakeErrors, entry, ports


def planned(*entries, failed, after):
    """The plan of a tick so long after entry 1 failed; entries 2 and later are new."""
    clock = FakeClock()
    errors = FakeErrors(clock.now)
    errors.record([FailedEntry.of(failed, ErrorTable.TRANSIENT_RETRY, "TransientError", "status 503")])
    clock.at = NOW + timedelta(seconds=after)
    stored = StoredWatermark(Watermark(), "0", Watermark(1))
    return make_plan(ports(entries, errors=errors, now=clock.now), stored, 100, clock.now())


def north(sequence, **uids):
    return replace(entry(sequence, **uids), partition="north")


def told(studies):
    return [([one.sequence for one in study.entries], bool(study.attempts)) for study in studies]


def test_the_same_study_in_another_partition_inherits_no_attempts():
    """It has not failed: its own first failure is its first."""
    plan = planned(entry(1), north(2), entry(3, instance="1.9"), failed=entry(1), after=3600)
    assert told(plan.due) == [([1, 3], True), ([2], False)]
    assert (plan.not_due, plan.leaves_carried) == ([], False)


def test_it_rests_with_it():
    """What is new of a carried study waits for the next try; the same UID in another partition is another study."""
    plan = planned(entry(1), north(2), entry(3, instance="1.9"), failed=entry(1), after=0)
    assert told(plan.due) == [([2], False)]
    assert told(plan.not_due) == [([3], False)]
    assert plan.leaves_carried


def test_what_was_recorded_and_not_passed_is_there_once():
    """A run was killed after it had recorded an entry, and before the watermark moved."""
    plan = planned(entry(1), entry(2), failed=entry(2), after=3600)
    assert told(plan.due) == [([2], True)]


def test_more_than_one_batch_tries_again(monkeypatch):
    """The watermark waits for what is left."""
    monkeypatch.setattr(carried_module, "MAX_CARRIED", 1)
    plan = planned(entry(1), entry(2), failed=entry(1), after=3600)
    assert (told(plan.due), plan.leaves_carried) == ([([1, 2], True)], True)


def test_the_back_off_counts_from_the_last_try():
    """Not from an entry that came to wait with the others."""
    carried = [
        CarriedEntry(1, STUDY, 3, NOW, NOW + timedelta(seconds=7)),
        CarriedEntry(2, STUDY, 0, NOW + timedelta(seconds=60), None),
        CarriedEntry(3, STUDY, 5, NOW, NOW + timedelta(seconds=9), partition="north"),
    ]
    assert attempts_of(carried) == {
        ("Microsoft.Default", STUDY): Attempts(4, NOW, NOW + timedelta(seconds=7)),
        ("north", STUDY): Attempts(6, NOW, NOW + timedelta(seconds=9)),
    }


def test_studies_are_grouped_by_partition_and_uid():
    """In the feed's order, the studies by their first entry."""
    plan = planned(entry(1), north(2), north(3, study="1.9"), entry(4), north(5), failed=entry(1), after=3600)
    assert told(plan.due) == [([1, 4], True), ([2, 5], False), ([3], False)]
    assert {one.entries[0].partition for one in plan.due[1:]} == {"north"}
    assert plan.due[0].entries[0].study_instance_uid == plan.due[1].entries[0].study_instance_uid == STUDY
