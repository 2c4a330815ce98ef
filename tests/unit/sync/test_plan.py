"""What a batch works on: what is carried, what is new, and which studies are the same."""

from dataclasses import replace
from datetime import timedelta

from shared.failures import ErrorTable, FailedEntry
from shared.model import StoredWatermark, Watermark
from shared.sync.plan import make_plan
from tests.fakes import NOW, STUDY, FakeClock, FakeErrors, entry, ports


def planned(*entries, failed, after):
    """The plan of a tick so long after entry 1 failed; entries 2 and later are new."""
    clock = FakeClock()
    errors = FakeErrors(clock.now)
    errors.record([FailedEntry.of(failed, ErrorTable.TRANSIENT_RETRY, "TransientError", "status 503")])
    clock.at = NOW + timedelta(seconds=after)
    stored = StoredWatermark(Watermark(), "0", Watermark(1))
    return make_plan(ports(entries, errors=errors, now=clock.now), stored, 100)


def north(sequence, **uids):
    return replace(entry(sequence, **uids), partition="north")


def told(studies):
    return [([one.sequence for one in study.entries], study.attempts is not None) for study in studies]


def test_the_same_study_in_another_partition_inherits_no_attempts():
    """It has not failed: its own first failure is its first."""
    plan = planned(entry(1), north(2), entry(3, instance="1.9"), failed=entry(1), after=3600)
    assert told(plan.due) == [([1, 3], True), ([2], False)]
    assert (plan.resting, plan.is_any_resting) == ([], False)


def test_it_rests_with_it():
    """The error tables know a study by its UID alone: what is new waits for the next try, and is not tried yet."""
    plan = planned(entry(1), north(2), entry(3, study="1.9"), failed=entry(1), after=0)
    assert told(plan.due) == [([3], False)]
    assert told(plan.resting) == [([2], False)]
    assert plan.is_any_resting


def test_studies_are_grouped_by_partition_and_uid():
    """In the feed's order, the studies by their first entry."""
    plan = planned(entry(1), north(2), north(3, study="1.9"), entry(4), north(5), failed=entry(1), after=3600)
    assert told(plan.due) == [([1, 4], True), ([2, 5], False), ([3], False)]
    assert {one.entries[0].partition for one in plan.due[1:]} == {"north"}
    assert plan.due[0].entries[0].study_instance_uid == plan.due[1].entries[0].study_instance_uid == STUDY
