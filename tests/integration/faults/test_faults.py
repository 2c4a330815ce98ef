"""Each fault at each step of a batch, on the real parts: in the end FHIR says what DICOM holds, written once."""

import logging

import pytest

from local.failures import TABLES, recorded_failures
from shared.model.outcome import Outcome
from tests.integration.faults.proxy import Fault
from tests.integration.faults.world import PLANTED

STEPS = [
    # where     method       path
    ("feed",    "GET",       "/changefeed/latest"),
    ("feed",    "GET",       "/changefeed?"),
    ("fhir",    "GET",       "/metadata"),
    ("fhir",    "GET",       "/ImagingStudy?"),
    ("fhir",    "GET",       "/Endpoint?"),
    ("fhir",    "GET",       "/Patient?"),
    ("fhir",    "POST",      "/"),
    ("tables",  "GET",       "SyncStateTable("),
    ("tables",  "POST|PATCH|PUT|MERGE", "SyncStateTable"),
    ("blobs",   "PUT",       "comp=lease"),
]  # fmt: skip

FAULTS = [
    # name                          how it strikes
    ("503",                         {"status": 503}),
    ("429 with Retry-After",        {"status": 429, "headers": {"Retry-After": "1"}}),
    ("500 after it was applied",    {"status": 500, "after": True}),
    ("408",                         {"status": 408}),
    ("no answer",                   {}),
    ("no answer after it was applied", {"after": True}),
    ("a torn answer",               {"torn": True}),
    ("401",                         {"status": 401}),
]  # fmt: skip


BESIDE = pytest.mark.not_on("hapi", "medplum", reason="these faults are not the FHIR server's; they take their time")


@pytest.mark.parametrize(
    ("where", "method", "path"),
    [pytest.param(*row, marks=BESIDE if row[0] != "fhir" else (), id=" ".join(row)) for row in STEPS],
)
@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault(world, name, fault, where, method, path, caplog):
    """Struck once or twice in the first tick: nothing lost, nothing doubled, nothing recorded as failed."""
    caplog.set_level(logging.INFO, logger="shared")
    if method == "GET" and path.endswith("?"):
        world.search_one_by_one()
    world.store()
    planted = Fault(method, path, times=2, **fault)
    getattr(world, where).faults.append(planted)
    world.drain()
    assert planted.times < 2, "the fault never struck"
    assert world.differences() == []
    assert world.versions() == [1] * 3
    assert [one for one in recorded_failures(world.storage, world.prefix) if one.is_final] == []
    assert not [word for word in PLANTED if word in caplog.text]


ERROR_STEPS = [
    # method, path
    ("POST", "/Tables"),
    ("GET",  "ExceptionTable"),
    ("POST", "/$batch"),
]  # fmt: skip


@BESIDE
@pytest.mark.parametrize(("method", "path"), ERROR_STEPS, ids=[f"{method} {path}" for method, path in ERROR_STEPS])
@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault_when_an_error_is_written(world, name, fault, method, path, caplog):
    """More often than one request is tried: one row for each failure, no study written twice, nothing passed unrecorded."""
    caplog.set_level(logging.INFO, logger="shared")
    world.tick()  # makes the tables
    world.delete_tables(TABLES)  # so that the next to be made is an error table
    world.store()
    world.store_one(1, 9, PatientID=None)
    world.store_one(2, 9, PatientSex="X")
    planted = Fault(method, path, times=4, **fault)
    world.tables.faults.append(planted)
    world.drain()
    assert planted.times == 0
    assert world.differences() == []
    assert world.versions() == [1] * 3
    assert [(row.table, row.sop_instance_uid) for row in recorded_failures(world.storage, world.prefix)] == [
        ("DicomFailToStoreExceptionTable", f"2.25.{world.run}.1.1.9"),
        ("InvalidDicomTagExceptionTable", f"2.25.{world.run}.2.1.9"),
    ]
    assert not [word for word in PLANTED if word in caplog.text + repr(world.rows())]


def test_an_outage_of_the_fhir_server(world, caplog):
    """Told once, nothing recorded, the watermark before it; once more when it is back."""
    caplog.set_level(logging.INFO, logger="shared")
    world.store()
    world.fhir.faults.append(Fault("GET|POST", "/", times=1000, status=503))
    for _ in range(3):
        assert world.app.tick().outcome is Outcome.FAILED
    assert world.app.status().watermark.sequence == 0
    assert recorded_failures(world.storage, world.prefix) == []
    world.fhir.faults.clear()
    world.drain()
    assert world.differences() == []
    assert world.versions() == [1] * 3
    told = [line.message for line in caplog.records if line.levelname in ("ERROR", "WARNING")]
    assert len([line for line in told if line.startswith("outage")]) == 1
    assert len([line for line in told if "is back" in line]) == 1


def test_somebody_else_writes_first(world):
    """412: read again, merged again; his part and ours are both there."""
    world.store(studies=1)
    world.drain()
    world.store(studies=1, instances=1, SOPInstanceUID=f"2.25.{world.run}.0.1.99")
    world.fhir.faults.append(Fault("POST", "/", status=412, times=3))
    world.drain()
    assert world.differences() == []
    assert world.versions(studies=1) == [2]


def test_a_bundle_that_is_refused_once_is_narrowed_down(world):
    """Whatever the server had against the whole, its parts are taken, and nothing is recorded."""
    world.store(studies=1, instances=8)
    world.fhir.faults.append(Fault("POST", "/", status=422, times=1))
    world.drain()
    assert world.differences() == []
    assert recorded_failures(world.storage, world.prefix) == []


def test_a_lost_lease_stops_the_tick(world):
    """The storage service says that another holds it: the tick ends, the next goes on."""
    world.store()
    world.drain()
    assert world.app.ports.lease.acquire()
    world.app.ports.lease._valid_until = 0.0  # as when it could not be renewed in time
    assert world.app.tick().outcome is Outcome.LEASE_HELD
    world.app.ports.lease.release()


def test_patient_data_turns_up_in_no_table(world):
    """Of entries that fail in every way that the mapping knows."""
    world.store(studies=1, instances=1, PatientSex="Plantagenet"[:1])
    world.store(
        studies=2,
        instances=1,
        StudyInstanceUID=f"2.25.{world.run}.7",
        SOPInstanceUID=f"2.25.{world.run}.7.7",
        Modality="pl",
    )
    world.drain()
    rows = recorded_failures(world.storage, world.prefix)
    assert {row.table for row in rows} <= set(TABLES)
    assert len(rows) >= 2
    assert not [word for word in PLANTED if word in repr(rows)]
