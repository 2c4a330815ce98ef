"""Limits of a transaction: a study that exceeds them is written in parts, in the order of references, and learned from."""

import pytest

from tests.integration.manners import manners as m
from tests.integration.manners.world import OBSERVATIONS
from tests.integration.whole_feed import dose_file

pytestmark = pytest.mark.timeout(60)

LIMITS = [
    # name, the manner
    ("8 entries", m.Limited(isolated=8, updates=8)),
    ("4 entries", m.Limited(isolated=4, updates=4)),
    ("8 KB", m.Small(8_000)),
]
each_limit = pytest.mark.parametrize(("name", "limit"), LIMITS, ids=[row[0] for row in LIMITS])


def refused(world):
    return [request for request, answer in world.fhir.transactions() if answer.status in (400, 413)]


def of_observation(entry):
    return entry["request"]["url"].startswith("Observation")


@each_limit
def test_a_report_larger_than_a_transaction(mannered, name, limit):
    """Made, followed, read again without a write and deleted: Patient, Endpoint, ImagingStudy and all Observations."""
    world = mannered(limit)
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)
    world.update(0, PatientID=world.patient("c"))
    world.drain()
    world.all_well(Patient=2, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)
    before = world.versions()
    world.read_again()
    assert world.versions() == before
    world.delete(world.study(0))
    world.drain()
    world.all_well(Patient=2, Endpoint=1)


@each_limit
def test_what_a_server_takes_is_remembered(mannered, name, limit):
    """The first report may be refused as often as it has parts; the next of its size is not, nor a group of studies."""
    world = mannered(limit)
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    assert 1 <= len(refused(world)) <= 8
    paid = len(refused(world))
    another = f"{world.study(2)}.9.1"
    world.store_study(2, "b")
    assert world.dicom.store(dose_file(another, world.study(2), world.patient("b"), 7)).status_code == 200
    world.drain()
    assert len(refused(world)) == paid
    assert len(world.identified("Observation", f"urn:dicom:uid|urn:oid:{another}")) == OBSERVATIONS
    assert world.all_differences() == []
    assert world.open_rows() == []


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_break_between_two_parts(mannered, is_killed):
    """The ImagingStudy is there, its Observations are not: not done; the same host, or another, makes them."""
    broken = m.Refusing(of_observation, 503)
    world = mannered(m.Limited(), broken)
    world.store_study(0, "a")
    world.store_report()
    world.tick()
    assert [request for request, answer in world.fhir.transactions() if answer.status == 503]
    assert world.counts() == {"Patient": 1, "Endpoint": 1, "ImagingStudy": 1}
    assert world.final() == []
    broken.is_on = False
    if is_killed:
        world.build()
    world.drain()
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)


@each_limit
def test_content_that_is_refused_writes_nothing(mannered, name, limit):
    """A bundle no larger than what was taken before is not tried in parts: no Patient comes of it, and one row."""
    world = mannered(m.Refusing(lambda entry: world.study(2) in repr(entry), 422), limit)
    world.store_study(0, "a")
    world.drain()
    world.store_study(2, "b", instances=1)
    world.drain()
    assert world.patients("b") == []
    assert world.studies(2) == []
    assert [(table, uid) for table, uid, _ in world.final()] == [
        ("FhirFailToStoreExceptionTable", f"{world.study(2)}.1.1")
    ]


@each_limit
def test_many_studies_on_a_server_of_small_transactions(mannered, name, limit):
    """Forty studies of forty patients: all there, in one tick, with at most a transaction for each and some to learn."""
    world = mannered(limit)
    world.store(studies=40, instances=1)
    world.tick()
    assert [len(world.studies(number)) for number in range(40)] == [1] * 40
    assert world.all_differences() == []
    assert world.open_rows() == []
    assert len(refused(world)) <= 12
