"""One batch: the watermark moves only over what is done."""

from dataclasses import replace

import pytest

from shared.errors import ConflictError, LeaseLostError, OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import TornEntry
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.outcome import Outcome
from shared.model.watermark import StoredWatermark, Watermark
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.record.marks import before_first, placed
from tests.fakes import NOW, FakeFeed, FakeFhir, FakeLease, FakeWatermarks, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)


def three_studies():
    return [entry(1, study="1.1"), entry(2, study="1.2"), entry(3, study="1.1", instance="1.9"), entry(4, study="1.3")]


def test_a_batch_syncs_all_and_moves_the_watermark():
    """Grouped by study: three studies are three transactions."""
    fakes = ports(three_studies())
    result = run_batch(fakes, OPTIONS)
    assert (result.outcome, result.entries, result.studies, result.written) == (Outcome.SYNCED, 4, 3, 4)
    assert len(fakes.fhir.bundles) == 3
    assert fakes.watermarks.watermark.sequence == 4


def test_a_batch_ends_at_its_size():
    """Whole pages, until the size is reached."""
    fakes = ports(feed=FakeFeed(three_studies(), page=1))
    assert run_batch(fakes, BatchOptions(OPTIONS.mapping, size=2)).entries == 2
    assert fakes.watermarks.watermark.sequence == 2


def test_an_empty_feed_is_idle():
    """And no row is written for it."""
    fakes = ports()
    assert run_batch(fakes, OPTIONS).outcome is Outcome.IDLE
    assert fakes.watermarks.stored.etag == "0"


def test_a_young_hole_holds_the_watermark():
    """What comes before it is done; the result says what is missing."""
    fakes = ports(feed=FakeFeed([entry(1)], hold="sequence 2 is missing"))
    assert run_batch(fakes, OPTIONS).held_by == "sequence 2 is missing"
    assert fakes.watermarks.watermark.sequence == 1


def test_a_failed_entry_is_recorded_before_the_watermark_passes_it():
    """Recorded, not lost."""
    fakes = ports([entry(1, t00100020=None), entry(2, instance="1.9", t00100040="X")])
    result = run_batch(fakes, OPTIONS)
    assert [(row.sequence, row.is_final) for row in fakes.errors.rows] == [(1, True), (2, False)]
    assert (result.failed, result.invalid_tags, result.written) == (1, 1, 1)
    assert fakes.watermarks.watermark.sequence == 2


def test_an_entry_that_is_synced_at_last_resolves_its_rows():
    """An entry that fails again stays open; what never failed has none."""
    fakes = ports([entry(1, t00100020=None), entry(2, study="1.2", t00100020=None), entry(3, study="1.3")])
    run_batch(fakes, OPTIONS)
    assert fakes.errors.resolved == []
    fakes.watermarks.rewind()
    fakes.feed.held = [entry(1, t00100020=None), entry(2, study="1.2"), entry(3, study="1.3"), entry(4, study="1.4")]
    run_batch(fakes, OPTIONS)
    assert fakes.errors.resolved == [2]


def test_an_outage_ends_the_batch_with_what_is_done():
    """Nothing is skipped because a server was down."""
    fakes = ports(three_studies(), fhir=FakeFhir(faults=[None, OutageError("FHIR server", "401")]))
    with pytest.raises(OutageError):
        run_batch(fakes, OPTIONS)
    assert fakes.watermarks.watermark.sequence == 1


def test_a_lost_lease_stops_between_two_studies():
    """And never moves the watermark."""
    fakes = ports(three_studies(), lease=FakeLease(checks=5))
    with pytest.raises(LeaseLostError):
        run_batch(fakes, OPTIONS)
    assert len(fakes.fhir.bundles) == 2
    assert fakes.watermarks.watermark == Watermark()


@pytest.mark.parametrize(
    ("checks", "faults"),
    [
        (1, []),  # lost while FHIR was read
        (2, [ConflictError("412")]),  # while the bundle was on its way: another host wrote first
    ],
)
def test_nothing_is_sent_once_the_lease_is_lost(checks, faults):
    """Another host has gone on from there: what this one read of the feed is stale, and would undo later changes."""
    fakes = ports(three_studies(), lease=FakeLease(checks=checks), fhir=FakeFhir(faults=faults))
    with pytest.raises(LeaseLostError):
        run_batch(fakes, OPTIONS)
    assert fakes.fhir.bundles == []


@pytest.mark.parametrize("entries", [[entry(1, t00100020=None), entry(2, instance="1.9")], [entry(2, instance="1.9")]])
def test_nothing_is_recorded_or_resolved_once_the_lease_is_lost(entries):
    """The other host has its own word on these entries."""
    fakes = ports(entries, lease=FakeLease(checks=3))
    before = FailedEntry.of(entry(2, instance="1.9"), ErrorTable.FHIR, "FhirRefusedError", "")
    fakes.errors.record([before])
    with pytest.raises(LeaseLostError):
        run_batch(fakes, OPTIONS)
    assert len(fakes.fhir.bundles) == 1
    assert (fakes.errors.rows, fakes.errors.resolved) == ([before], [])


def test_a_watermark_that_another_host_moved_is_not_ours_to_move():
    """The ETag guards it even where the lease did not."""

    class Moved(FakeWatermarks):
        def read(self):
            stored = super().read()
            self.stored = replace(stored, etag="9")
            return stored

    with pytest.raises(LeaseLostError):
        run_batch(ports(three_studies(), watermarks=Moved()), OPTIONS)


def test_a_torn_entry_is_recorded_and_passed():
    """By its sequence; the entries around it are synced."""
    torn = TornEntry(2, None, "entry 2: no JSON")
    fakes = ports([entry(1), torn, entry(3, instance="1.9")])
    result = run_batch(fakes, OPTIONS)
    assert [(row.table, row.sequence, row.message) for row in fakes.errors.rows] == [
        (ErrorTable.DICOM, 2, "entry 2: no JSON")
    ]
    assert (result.entries, result.written, result.failed) == (3, 2, 1)
    assert fakes.watermarks.watermark.sequence == 3


def test_a_place_behind_a_torn_entry_has_a_time():
    """API v2 goes on from a time: where the torn entry's is not known, the one before it has it."""
    entries = [entry(7), TornEntry(2, None, "entry 2: no JSON"), entry(9)]
    start, end = Watermark(1, "2024-05-01T00:00:00+00:00"), Watermark(9, NOW.isoformat())
    assert before_first({9}, placed(entries, start), end) == Watermark(2, NOW.isoformat())
    assert before_first({9}, placed(entries[1:], start), end) == Watermark(2, start.timestamp)
    assert before_first({7}, placed(entries, start), end) == start
    assert before_first({5}, placed(entries, start), end) == end


@pytest.mark.parametrize(
    ("rule", "marks", "stands", "read"),
    [
        ("the same in both orders",               (2, 2), (2, 2), [3, 4]),
        ("what is not read has lower numbers",    (3, 3), (1, 1), [2, 3, 4]),
        ("so has what is not done",               (2, 3), (0, 3), [4]),
        ("the reading goes back before the mark", (3, 2), (3, 1), [2, 3, 4]),
    ],
)  # fmt: skip
def test_marks_that_a_release_of_before_set_by_time(rule, marks, stands, read):
    """They are taken to where they stand by sequence before anything is read, once."""
    seen = []
    watermark, read_through = (Watermark(mark, NOW.isoformat()) for mark in marks)
    fakes = ports(feed=FakeFeed([entry(number, instance=f"1.2.{number}") for number in (1, 2, 3, 4)]))
    fakes.feed.behind = dict(zip(reversed(marks), reversed(stands), strict=True))
    fakes.feed.pages = lambda after, at_once=1, of=fakes.feed.pages: seen.append(after.sequence) or of(after)
    fakes.watermarks.stored = StoredWatermark(watermark, "0", read_through, is_by_time=True)
    assert run_batch(fakes, OPTIONS).entries == len(read), rule
    assert seen == [read[0] - 1]
    assert fakes.watermarks.stored.watermark.sequence == 4
    assert not fakes.watermarks.stored.is_by_time
