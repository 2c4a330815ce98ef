"""Numbers that are missing in the feed and may still come: what is behind them is synced at once, and they are watched."""

import pytest

from shared.errors import OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.record.marks import MOST_HOLES
from tests.fakes import FakeFeed, FakeFhir, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=1000)


def one(number, patient="P", name=None):
    named = {} if name is None else {"t00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}
    return entry(number, study=f"1.{number}", instance=f"1.{number}.1", t00100020=patient, **named)


def stands(fakes):
    stored = fakes.watermarks.read()
    return stored.watermark.sequence, stored.read_through.sequence, [hole.first for hole in stored.holes]


def studies(fakes):
    return sum(one["resourceType"] == "ImagingStudy" for one in fakes.fhir.resources)


def test_what_is_behind_a_hole_is_synced_at_once():
    """The watermark stands before it until it is filled; what fills it is synced, and nothing twice."""
    fakes = ports(feed=FakeFeed([one(1), one(3), one(5)], young=[2, 4]))
    assert run_batch(fakes, OPTIONS).written == 3
    assert stands(fakes) == (1, 5, [2, 4])
    fakes.feed.held = [one(1), one(2), one(3), one(5)]
    assert run_batch(fakes, OPTIONS).written == 1
    assert stands(fakes) == (1, 5, [4])
    fakes.feed.held = [one(number) for number in range(1, 7)]
    result = run_batch(fakes, OPTIONS)
    assert (result.entries, result.written, studies(fakes)) == (2, 2, 6)
    assert stands(fakes) == (6, 6, [])


def test_a_hole_that_is_not_filled_is_passed():
    """What was rolled back never comes."""
    fakes = ports(feed=FakeFeed([one(1), one(3)], young=[2]))
    run_batch(fakes, OPTIONS)
    fakes.feed.young = []
    assert run_batch(fakes, OPTIONS).entries == 0
    assert stands(fakes) == (3, 3, [])


def test_what_fills_a_hole_in_an_outage_is_found_again():
    """It has no row, and nothing else leads to it."""
    fhir = FakeFhir()
    fakes = ports(feed=FakeFeed([one(1), one(3), one(5)], young=[2, 4]), fhir=fhir)
    run_batch(fakes, OPTIONS)
    fakes.feed.held = [one(1), one(2), one(3), one(5)]
    fhir.faults = [OutageError("FHIR server", "down")]
    with pytest.raises(OutageError):
        run_batch(fakes, OPTIONS)
    assert stands(fakes) == (1, 5, [2, 4])
    assert run_batch(fakes, OPTIONS).written == 1
    assert stands(fakes) == (1, 5, [4])
    assert studies(fakes) == 4


def test_a_host_that_takes_over_watches_on():
    """The holes are kept with the watermark."""
    fakes = ports(feed=FakeFeed([one(1), one(3)], young=[2]))
    run_batch(fakes, OPTIONS)
    other = ports(feed=FakeFeed([one(1), one(2), one(3)]), fhir=fakes.fhir, watermarks=fakes.watermarks)
    assert run_batch(other, OPTIONS).written == 1
    assert stands(other) == (3, 3, [])


@pytest.mark.parametrize(("late", "behind", "name"), [("Late", "Behind", "Behind"), ("Late", None, "Late")])
def test_the_newest_word_on_a_patient_is_the_feeds(late, behind, name):
    """Of an entry that comes late too: it stands before what was synced behind it, and after what was before."""
    before = one(1, name="Before")
    after = one(3, name=behind) if behind else one(3, patient="Other")
    fakes = ports(feed=FakeFeed([before, after], young=[2]))
    run_batch(fakes, OPTIONS)
    fakes.feed.held = [before, one(2, name=late), after, one(4, patient="Third")]
    run_batch(fakes, OPTIONS)
    patients = [one for one in fakes.fhir.resources if one["resourceType"] == "Patient"]
    (patient,) = [one for one in patients if one["identifier"][0]["value"] == "P"]
    assert patient["name"][0]["family"] == name


def test_more_holes_than_the_row_takes_are_read_again():
    """What is behind the others was synced, and is so once more."""
    numbers = range(1, 2 * MOST_HOLES + 100, 2)
    feed = FakeFeed([one(number, patient=f"P{number}") for number in numbers], page=1000)
    feed.young = [number + 1 for number in numbers]
    fakes = ports(feed=feed)
    run_batch(fakes, OPTIONS)
    watermark, read_through, holes = stands(fakes)
    assert (watermark, read_through, len(holes)) == (1, 2 * MOST_HOLES + 1, MOST_HOLES)
