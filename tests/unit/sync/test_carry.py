"""Transient faults: tried again, carried to later ticks, given up; an outage spends nothing and skips nothing."""

import contextlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import FhirRefusedError, OutageError, ThrottledError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import TornEntry
from shared.model.failures import ErrorTable
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.queue.retry import Attempts, delay_seconds
from tests.fakes import NOW, FakeClock, FakeErrors, FakeFeed, FakeFhir, entry, is_of_endpoint, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)


class Flaky(FakeFhir):
    """Transactions of a study fail as often as its faults say; `silent`: the server does not even answer a probe."""

    def __init__(self, **faults):
        super().__init__()
        self.troubles = {name.replace("_", "."): list(errors) for name, errors in faults.items()}
        self.tried, self.silent = [], False

    def transact(self, bundle):
        text = json.dumps(bundle)
        if is_of_endpoint(bundle):
            return super().transact(bundle)
        study = next(uid for uid in ("1.1", "1.2", "1.3", "1.4") if f"urn:oid:{uid}" in text.replace('"', " ").split())
        self.tried.append(study)
        if self.troubles.get(study):
            raise self.troubles[study].pop(0)
        return super().transact(bundle)

    def probe(self):
        if self.silent:
            raise OutageError("FHIR server", "status 503")


def busy(seconds=None):
    return TransientError("FHIR server: status 503", seconds)


def three_studies():
    return [entry(1, study="1.1"), entry(2, study="1.2"), entry(3, study="1.1", instance="1.9"), entry(4, study="1.3")]


class World:
    """Ports of fakes whose clock the test moves between ticks."""

    def __init__(self, fhir, entries=(), **others):
        self.clock, self.fhir = FakeClock(), fhir
        self.ports = ports(
            entries or three_studies(),
            fhir=fhir,
            errors=FakeErrors(self.clock.now),
            now=self.clock.now,
            sleep=self.clock.sleep,
            **others,
        )

    def tick(self, after=10, options=OPTIONS):
        self.clock.at += timedelta(seconds=after)
        return run_batch(self.ports, options)

    @property
    def watermark(self):
        return self.ports.watermarks.watermark.sequence

    @property
    def read_through(self):
        return self.ports.watermarks.stored.read_through.sequence

    def instances(self):
        studies = [one for one in self.fhir.resources if one["resourceType"] == "ImagingStudy"]
        return {i["uid"] for study in studies for series in study["series"] for i in series["instance"]}


def test_a_study_is_tried_again_while_others_go_on():
    """After 1, 2 and 4 s of one tick; the fourth try succeeds."""
    world = World(Flaky(**{"1_2": [busy()] * 3}))
    result = world.tick()
    assert world.fhir.tried == ["1.1", "1.2", "1.3", "1.2", "1.2", "1.2"]
    assert world.clock.slept == [1, 2, 4]
    assert (result.written, result.carried, world.watermark) == (4, 0, 4)


def test_what_a_tick_cannot_finish_is_carried():
    """The watermark stands before it, reading goes on behind; it is tried again when it is due, and then all is done."""
    world = World(Flaky(**{"1_2": [busy()] * 4}))
    result = world.tick()
    assert (result.written, result.carried, world.watermark, world.read_through) == (3, 1, 1, 4)
    assert {n: row.retries for n, row in world.ports.errors.retries.items()} == {2: 3}
    world.ports.feed.held += [entry(5, study="1.4")]
    assert world.tick(after=5).entries == 1  # not due yet: 8 s after the fourth try
    assert (world.watermark, world.read_through, len(world.fhir.tried)) == (1, 5, 7)
    world.tick(after=5)
    assert (world.watermark, world.read_through, world.ports.errors.resolved) == (5, 5, [2])
    assert not world.ports.errors.retries


def test_later_entries_of_a_carried_study_wait_with_it():
    """They join it untried; its order is the feed's."""
    world = World(Flaky(**{"1_2": [busy()] * 4}))
    world.tick()
    world.ports.feed.held += [entry(5, study="1.2", instance="1.99"), entry(6, study="1.4")]
    result = world.tick(after=1)
    assert (result.carried, world.watermark, world.read_through) == (1, 1, 6)
    assert sorted(world.ports.errors.retries) == [2, 5]
    world.tick(after=10)
    assert world.instances() >= {"1.99"}
    assert world.watermark == 6


def test_after_the_total_duration_it_is_given_up():
    """Into TransientFailureExceptionTable, and on; its rows of the retry table are resolved."""
    world = World(Flaky(**{"1_2": [busy()] * 1000}))
    ticks = 0
    while world.watermark < 4:
        world.tick(after=30)
        ticks += 1
    assert world.clock.at - NOW >= timedelta(minutes=10)
    assert [(row.table, row.sequence) for row in world.ports.errors.rows] == [(ErrorTable.TRANSIENT_FAILURE, 2)]
    assert not world.ports.errors.retries
    assert ticks < 30


def test_the_server_is_asked_again_when_it_says():
    """A tick waits 10 s for it at most; a later tick obeys."""
    world = World(Flaky(**{"1_2": [busy(120)]}))
    world.tick()
    assert world.clock.slept == []
    world.tick(after=100)
    assert world.fhir.tried.count("1.2") == 1
    world.tick(after=30)
    assert (world.fhir.tried.count("1.2"), world.watermark) == (2, 4)


def test_a_server_that_asks_for_a_day_is_not_obeyed_for_longer_than_a_study_is_tried():
    """`RetryConfiguration__TotalRetryDuration`: 600 s here."""
    world = World(Flaky(**{"1_2": [busy(86_400)]}))
    world.tick()
    world.tick(after=590)
    assert world.fhir.tried.count("1.2") == 1
    world.tick(after=20)
    assert world.watermark == 4


def test_what_is_said_to_a_group_rests_no_study_for_a_day():
    """A 429 to what was asked for all of them is no one's fault: they are tried again as back-off says."""
    fhir = FakeFhir()
    fhir.faults = [ThrottledError("status 429", 86_400)]
    entries = [entry(n, study=f"1.{n}", instance=f"1.{n}.1", t00100020=f"P-{n}") for n in range(1, 5)]
    world = World(fhir, entries)
    assert world.tick().carried == 4
    world.tick(after=70)
    assert world.watermark == 4


def test_a_silent_server_is_an_outage():
    """The tick ends early, nothing is recorded, nothing skipped."""
    world = World(Flaky(**{"1_1": [busy()]}))
    world.fhir.silent = True
    with pytest.raises(OutageError):
        world.tick()
    assert (world.watermark, world.fhir.tried, world.ports.errors.rows, world.ports.errors.retries) == (
        0,
        ["1.1"],
        [],
        {},
    )


def test_a_server_that_fails_study_after_study_is_an_outage():
    """Even where it still answers a probe: three studies, none succeeds."""
    world = World(Flaky(**{uid: [busy()] for uid in ("1_1", "1_2", "1_3")}))
    with pytest.raises(OutageError, match="nothing succeeds, 3 studies failed"):
        world.tick()
    assert (world.watermark, world.ports.errors.retries) == (0, {})
    world.tick()
    assert world.watermark == 4


def test_an_outage_spends_no_retry():
    """A carried study has as many tries after an hour of outage as before it."""
    world = World(Flaky(**{"1_2": [busy()] * 6}))
    world.tick()
    held = dict(world.ports.errors.retries)
    world.fhir.silent = True
    with pytest.raises(OutageError):
        world.tick(after=60)
    assert world.ports.errors.retries == held
    world.fhir.silent = False
    world.tick(after=3600)
    assert (world.watermark, world.ports.errors.rows) == (4, [])


def test_a_tick_ends_with_its_budget():
    """What was not begun stays in the feed, the watermark before it."""

    class Slow(FakeFhir):
        def transact(self, bundle):
            world.clock.at += timedelta(seconds=0 if is_of_endpoint(bundle) else 100)
            return super().transact(bundle)

    world = World(Slow())
    world.tick(options=BatchOptions(OPTIONS.mapping, size=100, tick_budget_seconds=150))
    assert (world.watermark, world.read_through) == (3, 3)
    world.tick()
    assert world.watermark == 4


def test_an_outage_of_storage_leaves_no_failure_unrecorded():
    """Also where the study was tried again before its failure could not be recorded: the watermark stands before it."""
    bad = entry(3, study="1.2", instance="1.9", t00100020=None)
    world = World(Flaky(**{"1_2": [busy()]}), [entry(1, study="1.1"), entry(2, study="1.2"), bad])
    world.ports.errors.faults = [OutageError("storage", "ServiceResponseError")]
    with pytest.raises(OutageError, match="storage"):
        world.tick()
    assert world.fhir.tried == ["1.1", "1.2", "1.2"]
    assert world.watermark == 1
    world.tick()
    assert [row.sequence for row in world.ports.errors.open_()] == [3]
    assert world.watermark == 3


def test_an_entry_that_the_feed_has_no_more_is_given_up():
    """Else the watermark would stand before it for ever; and nothing has synced it: a row says so."""
    world = World(Flaky(**{"1_2": [busy()] * 4}))
    world.tick()
    world.ports.feed.held = [one for one in world.ports.feed.held if one.sequence != 2]
    assert world.tick(after=60).failed == 1
    assert (world.watermark, world.ports.errors.retries) == (4, {})
    (row,) = world.ports.errors.rows
    assert (row.table, row.instance[1:], row.message) == (
        ErrorTable.TRANSIENT_FAILURE,
        ("1.2", "1.2.3.4", "1.2.3.4.5"),
        "the feed has the entry no more; replay its study instead",
    )


@pytest.mark.parametrize(
    ("tries", "asked", "delay"),
    [(1, None, 1), (2, None, 2), (6, None, 32), (7, None, 60), (50, None, 60), (1, 30, 30), (6, 5, 32)],
)
def test_the_back_off(tries, asked, delay):
    """2^n seconds, at most 60; what the server asks for where that is longer."""
    assert delay_seconds(tries, asked) == delay


def test_time_alone_does_not_end_the_tries():
    """After a long outage the next failure is not the last."""
    hours_ago = NOW - timedelta(hours=5)
    assert not Attempts(3, hours_ago, hours_ago).is_over(NOW, 600)
    assert Attempts(6, hours_ago, NOW).is_over(NOW, 600)


FAULTS = st.lists(st.sampled_from(["ok", "busy", "asks", "down"]), max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["1_1", "1_2", "1_3", "1_4"]), FAULTS),
    st.lists(st.integers(1, 90), min_size=1, max_size=30),
    st.sampled_from([2, 100]),
)
def test_whatever_fails_nothing_is_lost_and_the_watermark_is_never_ahead(faults, pauses, size):
    """Any faults, any pauses between ticks, entries that come meanwhile: in the end FHIR holds all of them, once."""
    errors = {"busy": busy(), "asks": busy(45), "down": OutageError("FHIR server", "down")}
    fhir = Flaky(**{uid: [errors[one] for one in list_ if one != "ok"] for uid, list_ in faults.items()})
    coming = [
        entry(5, study="1.2", instance="2.1"),
        entry(6, study="1.4", instance="2.2"),
        entry(7, study="1.1", instance="2.3"),
    ]
    world = World(fhir, feed=FakeFeed(three_studies(), page=size))
    last = coming[-1].sequence
    options = replace(OPTIONS, size=size)
    for number in range(2000):
        if coming and number % 2:
            world.ports.feed.held += [coming.pop(0)]
        with contextlib.suppress(OutageError):
            world.tick(after=pauses[number % len(pauses)], options=options)
        held = world.instances()
        order = [one.sequence for one in world.ports.feed.entries(range(8))]
        passed = order[: order.index(world.watermark) + 1] if world.watermark else []
        assert all(one.sop_instance_uid in held for one in world.ports.feed.entries(passed))
        if not coming and world.watermark == last:
            break
    assert world.watermark == last
    assert not world.ports.errors.rows
    assert not world.ports.errors.retries


def test_a_carried_entry_that_is_torn_by_now_is_recorded_not_let_go():
    """It is in the feed still: the row moves from the transient faults to what cannot be synced."""
    world = World(Flaky(**{"1_2": [busy()] * 10}))
    world.tick()
    assert set(world.ports.errors.retries) == {2}
    world.ports.feed.held[1] = TornEntry(2, NOW.isoformat(), "entry 2: no JSON")
    world.tick(after=60)
    assert [(row.table, row.sequence, row.exception) for row in world.ports.errors.rows] == [
        (ErrorTable.DICOM, 2, "TornEntryError")
    ]
    assert world.ports.errors.retries == {}
    assert world.watermark == 4


def test_later_entries_of_a_carried_study_do_not_put_its_next_try_off():
    """They are seen, not tried: a study that somebody is still sending to is tried as soon as any other."""
    world = World(Flaky(**{"1_2": [busy()] * 4}))
    world.tick()
    for number in range(5, 14):
        world.ports.feed.held += [entry(number, study="1.2", instance=f"1.99.{number}")]
        world.tick(after=1)
    assert world.watermark == 13


def test_a_study_that_is_refused_in_the_end_is_carried_no_more():
    """One row, in the table that says why: that of the transient faults is resolved."""
    world = World(Flaky(**{"1_2": [busy()] * 4 + [FhirRefusedError("status 422")] * 9}))
    world.tick()
    world.tick(after=60)
    assert [(row.table, row.sequence) for row in world.ports.errors.rows] == [(ErrorTable.FHIR, 2)]
    assert (world.ports.errors.retries, world.watermark) == ({}, 4)


def test_what_is_given_up_is_recorded_before_it_is_let_go():
    """Were we killed between the two, nothing would know of it."""
    world = World(Flaky(**{"1_2": [busy()] * 1000}))
    while world.clock.at - NOW < timedelta(minutes=9):
        world.tick(after=30)
    world.ports.errors.faults = [OutageError("storage", "ServiceResponseError")]
    with pytest.raises(OutageError):
        world.tick(after=120)
    assert set(world.ports.errors.retries) == {2}
    world.tick(after=60)
    assert [(row.table, row.sequence) for row in world.ports.errors.rows] == [(ErrorTable.TRANSIENT_FAILURE, 2)]
