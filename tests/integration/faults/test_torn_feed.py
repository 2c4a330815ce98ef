"""An entry of the change feed that cannot be read: it stops the tick, or is recorded and passed, as the setting says."""

import re
import time

import pytest

from local.failures import recorded_failures
from shared.clients.azure.open_rows import TABLE as INDEX
from shared.model.outcome import Outcome

PASS = {"DicomCast__Features__IgnoreJsonParsingErrors": "true"}
STUDIES, INSTANCES = 3, 4
BAD = 6  # of twelve: the second study's second instance


def torn_metadata(content):
    """A string of its metadata does not end; without metadata the entry is whole."""
    return content.replace(b'"TORN"', b'"TORN')


def torn_altogether(content):
    """Its SOPInstanceUID is cut, with and without metadata."""
    return re.sub(rb'(\.1\.1\.1)"', rb"\1", content)


def unknown_action(content):
    """JSON, but not the contract's."""
    return re.sub(rb'(\.1\.1\.1",[^}]*?"Action":\s*)"[a-zA-Z]+"', rb'\1"rename"', content)


def store(world):
    for study in range(STUDIES):
        for number in range(INSTANCES):
            bad = study * INSTANCES + number + 1 == BAD
            world.store_one(study, number, **({"AccessionNumber": "TORN"} if bad else {}))


def first_tick(world):
    """The first that has anything to do."""
    while (record := world.app.tick()).outcome is Outcome.IDLE:
        time.sleep(0.2)
    return record


# what is wrong, UIDs known
PASSED = [
    (torn_metadata,   True),
    (torn_altogether, False),
    (unknown_action,  True),
]  # fmt: skip


@pytest.mark.parametrize(("tear", "is_known"), PASSED)
def test_it_is_isolated_recorded_and_passed(world, tear, is_known):
    """One row by its sequence; every other entry is in FHIR; a second pass adds no row."""
    store(world)
    world.feed.rewrite = tear
    world.build(PASS)
    world.drain()
    (row,) = recorded_failures(world.storage, world.prefix)
    assert (row.table, row.sequence) == ("DicomFailToStoreExceptionTable", BAD)
    assert row.sop_instance_uid == (f"2.25.{world.run}.1.1.1" if is_known else "")
    world.feed.rewrite = lambda content: content
    missing = [one.differences for one in world.all_differences()]
    assert len(missing) == 1, "only the torn instance's study differs"
    assert "TORN" not in repr(row)


def test_its_row_says_the_data_partition(world):
    """Which is known without the metadata: its study is to be rebuilt from there."""
    assert world.dicom.store(world.file(1, 1, AccessionNumber="TORN"), partition="north").status_code == 200
    world.feed.rewrite = torn_metadata
    world.build(PASS)
    world.drain()
    assert [row["Partition"] for row in world.rows(but=[INDEX]) if "Exception" in row] == ["north"]


@pytest.mark.parametrize("tear", [row[0] for row in PASSED])
def test_it_stops_the_tick(world, tear):
    """The error names the entry and the setting; the watermark stands; mended, all is synced."""
    store(world)
    world.feed.rewrite = tear
    world.build({})
    record = first_tick(world)
    assert record.outcome is Outcome.FAILED
    assert f"entry {BAD}" in record.error
    assert "DicomCast__Features__IgnoreJsonParsingErrors = true records" in record.error
    assert world.app.status().watermark.sequence == 0
    world.feed.rewrite = lambda content: content
    world.drain()
    assert world.all_differences() == []
    assert recorded_failures(world.storage, world.prefix) == []


def test_a_feed_that_is_torn_throughout_is_not_passed(world):
    """A service that answers every request with something else is no feed: nothing is recorded, nothing passed."""
    store(world)
    world.feed.rewrite = lambda content: content if b"[" not in content[:1] else b"<html>sign in</html>"
    world.build(PASS)
    record = first_tick(world)
    assert record.outcome is Outcome.FAILED
    assert "is this a change feed?" in record.error
    assert recorded_failures(world.storage, world.prefix) == []
    assert world.app.status().watermark.sequence == 0
