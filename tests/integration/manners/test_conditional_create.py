"""Conditional create is no lock everywhere: what many need is made once, and doubles of our own stop nothing."""

from dataclasses import replace
from uuid import uuid4

import pytest
import requests

from local.fhir_account import search
from shared.model.outcome import Outcome
from tests.integration.manners import manners as m

pytestmark = pytest.mark.timeout(120)

STUDIES = 80


def endpoints(world):
    return world.named("Endpoint", f"DICOM WADO-RS endpoint {world.feed.url}")


def test_the_first_tick_makes_one_endpoint(mannered):
    """Of eighty studies in eight lanes, whose first transactions all find none before any has made it."""
    world = mannered(
        m.Racy(at_once=4), DicomCast__MaxConcurrency="8", DicomCast__Features__GenerateObservations="false"
    )
    world.store(studies=STUDIES, instances=1)
    assert world.tick().outcome is Outcome.SYNCED
    (endpoint,) = endpoints(world)
    studies = [one for number in range(STUDIES) for one in world.studies(number)]
    assert len(studies) == STUDIES
    assert {one["reference"] for study in studies for one in study["endpoint"]} == {f"Endpoint/{endpoint['id']}"}
    assert world.all_differences() == []
    assert world.open_rows() == []


ORDERS = [
    # name, the manners
    ("the older is found first", ()),
    ("the newer is found first", (m.newest_first,)),
    ("without a lock", (m.Racy(),)),
]


@pytest.mark.parametrize(("name", "manners"), ORDERS, ids=[row[0] for row in ORDERS])
def test_doubles_of_our_endpoint_stop_no_study(mannered, caplog, name, manners):
    """The older is used by all studies, now and by every other host; the newer is told of in a warning, and stays."""
    world = mannered(*manners)
    world.store_study(0, "a")
    world.drain()
    (older,) = endpoints(world)
    double = older | {
        "meta": {name: older["meta"][name] for name in ("source", "tag") if name in older.get("meta", {})}
    }
    newer = requests.post(f"{world.fhir_url}/Endpoint", json=double, timeout=30).json()
    assert len(endpoints(world)) == 2
    world.build()
    world.store_one(0, 7, PatientID=world.patient("a"))
    world.store_study(2, "b")
    world.drain()
    world.update(0, StudyDescription="Another description")
    world.drain()
    before = world.versions()
    world.read_again()
    assert world.versions() == before
    assert world.all_differences() == []
    assert world.open_rows() == []
    assert [one["endpoint"] for number in (0, 2) for one in world.studies(number)] == [
        [{"reference": f"Endpoint/{older['id']}"}]
    ] * 2
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any(f"Endpoint/{newer['id']}" in one for one in told)
    assert {one["id"] for one in endpoints(world)} == {older["id"], newer["id"]}


@pytest.fixture
def doubled(mannered):
    """The world after two hosts were at work at once, each on all of the feed: one froze before its transaction arrived."""
    racy = m.Racy()
    world = mannered(racy)
    world.store_study(0, "a")
    world.build({"TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}"})  # has a lease and a watermark of its own
    frozen = world.app
    world.build()
    racy.between = world.app.tick
    frozen.tick()
    assert racy.between is None
    assert world.counts() == {"Patient": 2, "Endpoint": 1, "ImagingStudy": 2}
    return world


@pytest.mark.parametrize("goes_on", [True, False])
def test_doubles_of_two_hosts(doubled, goes_on):
    """The studies become one with the instances of both; it is one Patient's for ever, and a row names both Patients."""
    world = doubled
    if goes_on:  # it remembers the one that it made, and writes to that
        world.store_one(0, 7, PatientID=world.patient("a"))
        world.drain()
        assert len(world.studies(0)) == 2
    world.build()
    world.store_one(0, 8, PatientID=world.patient("a"))
    world.drain()
    study = world.imaging_study(0)
    assert len(study["series"][0]["instance"]) == 3 + goes_on
    patients = {f"Patient/{one['id']}" for one in world.patients("a")}
    assert len(patients) == 2
    assert study["subject"]["reference"] in patients
    (row,) = world.open_rows()  # of one study, however often it was told
    assert row["PartitionKey"] == "DoubledPatient"
    assert "(0010,0020)" in row["Exception"]
    assert all(one in row["Exception"] for one in patients)
    assert world.final() == []
    before = world.versions()
    for _ in range(2):
        world.read_again()
        assert world.versions() == before


def test_a_double_that_is_not_ours(doubled):
    """Nobody knows which Patient is meant: the study has its row, which names both, and is linked to no other."""
    world = doubled
    theirs = max(world.patients("a"), key=lambda one: one["meta"]["lastUpdated"])
    world.edit(theirs, meta={}, active=True)
    world.build()
    before = world.studies(0)
    world.store_one(0, 7, PatientID=world.patient("a"))
    world.drain()
    ((table, _, reason),) = world.final()
    assert (table, reason.split(":")[0]) == (
        "FhirFailToStoreExceptionTable",
        "several resources have the same identity",
    )
    assert all(f"Patient/{one['id']}" in reason for one in world.patients("a"))
    assert world.studies(0) == before


def test_a_server_that_refuses_every_transaction_is_told_as_that(mannered):
    """500 for each, while searches are answered: no outage like another; nothing is recorded, nothing passed."""
    world = mannered(m.Refusing(lambda entry: True, 500))
    world.store(studies=5, instances=1)
    record = world.tick()
    assert record.outcome is Outcome.FAILED
    assert "refuses every transaction" in record.error
    assert "status 500" in record.error
    assert world.app.status().watermark.sequence == 0
    assert world.final() == []


def test_one_study_and_a_server_that_refuses_every_transaction(mannered):
    """It is an outage, however few wait: no retry is spent."""
    world = mannered(m.Refusing(lambda entry: True, 500))
    world.store(studies=1, instances=1)
    record = world.tick()
    assert "refuses every transaction" in record.error
    assert world.failures() == []


def test_studies_at_500_on_a_server_whose_store_is_well(mannered):
    """In a quiet feed: their own fault, three as well as one. They are carried, and nothing of the probe is left."""
    world = mannered(m.Refusing(lambda entry: entry["request"]["url"].startswith(("Patient", "ImagingStudy")), 500))
    world.store(studies=3, instances=1)
    before = {one["id"] for one in search(world.fhir_url, "Endpoint")}
    world.app = replace(world.app, ports=replace(world.app.ports, sleep=lambda seconds: None))
    record = world.tick()
    assert (record.error, record.result.carried) == (None, 3)
    assert len({one["id"] for one in search(world.fhir_url, "Endpoint")} - before) == 1  # the app's own
