"""Each fault at each step of a batch, on the real parts: in the end FHIR says what DICOM holds, written once."""

import logging
import re
from uuid import uuid4

import pytest
import requests

from local.compare import compare
from local.failures import TABLES, recorded_failures
from shared import bootstrap
from shared.config import read_settings
from shared.model import Outcome
from tests.integration.dicom_service_client import dicom_file
from tests.integration.faults.proxy import Fault, proxy_to

PLANTED = ("Plantagenet", "19010203")
"""Patient data that must turn up nowhere but in FHIR."""


class World:
    """The app between proxies, and what is to come out."""

    def __init__(self, dicom, feed, fhir, tables, blobs, storage):
        self.dicom, self.feed, self.fhir, self.tables, self.blobs = dicom, feed, fhir, tables, blobs
        self.storage, self.prefix, self.run = storage, f"t{uuid4().hex[:8]}", uuid4().int >> 64
        through = re.sub(r"TableEndpoint=http://[^/]+", f"TableEndpoint={tables.url}", storage)
        through = re.sub(r"BlobEndpoint=http://[^/]+", f"BlobEndpoint={blobs.url}", through)
        self.settings = {
            "AzureWebJobsStorage": through,
            "DicomWeb__Endpoint": feed.url,
            "Fhir__Endpoint": fhir.url + "/fhir",
            "DicomCast__GapGracePeriod": "00:00:01",
            "TableStore__TableNamePrefix": self.prefix,
        }
        self.app = bootstrap.build(read_settings(self.settings))

    def store(self, studies=3, instances=2, **tags):
        files = [
            dicom_file(
                **{
                    "StudyInstanceUID": f"2.25.{self.run}.{study}",
                    "SeriesInstanceUID": f"2.25.{self.run}.{study}.1",
                    "SOPInstanceUID": f"2.25.{self.run}.{study}.1.{number}",
                    "PatientID": f"Plantagenet-{self.run % 10**9}-{study}",
                    "PatientName": "Plantagenet^Geoffrey",
                    "PatientBirthDate": "19010203",
                    "Modality": "CT",
                    **tags,
                }
            )
            for study in range(studies)
            for number in range(instances)
        ]
        assert self.dicom.store(*files).status_code == 200

    def drain(self):
        for _ in range(20):
            self.app.tick()
            status = self.app.status()
            if status["lag"] == {"entries": 0} and not status["faults"]:
                return
        raise AssertionError("the feed is not drained after 20 ticks")

    def differences(self):
        failed = {one.sop_instance_uid for one in recorded_failures(self.storage, self.prefix) if one.is_final}
        return [one for one in compare(self.dicom.url, self.fhir.upstream + "/fhir", failed) if one.differences]

    def versions(self, studies=3):
        """The version numbers of the studies' ImagingStudy resources; exactly one resource each."""
        query = [{"identifier": f"urn:dicom:uid|urn:oid:2.25.{self.run}.{study}"} for study in range(studies)]
        bundles = [
            requests.get(f"{self.fhir.upstream}/fhir/ImagingStudy", params=one, timeout=30).json() for one in query
        ]
        return [one["resource"]["meta"]["versionId"] for bundle in bundles for one in bundle.get("entry", [])]


@pytest.fixture
def world(dicom, fhir_url, storage):
    table_url = re.search(r"TableEndpoint=(http://[^/]+)", storage)[1]
    blob_url = re.search(r"BlobEndpoint=(http://[^/]+)", storage)[1]
    upstream = fhir_url.removesuffix("/fhir")
    with (
        proxy_to(dicom.url) as feed,
        proxy_to(upstream) as fhir,
        proxy_to(table_url) as tables,
        proxy_to(blob_url) as blobs,
    ):
        yield World(dicom, feed, fhir, tables, blobs, storage)


STEPS = [
    # where     method       path
    ("feed",    "GET",       "/changefeed/latest"),
    ("feed",    "GET",       "/changefeed?"),
    ("fhir",    "GET",       "/metadata"),
    ("fhir",    "GET",       "/fhir/ImagingStudy?"),
    ("fhir",    "GET",       "/fhir/Endpoint?"),
    ("fhir",    "GET",       "/fhir/Patient?"),
    ("fhir",    "POST",      "/fhir"),
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


@pytest.mark.parametrize(("where", "method", "path"), STEPS, ids=[f"{row[0]} {row[1]} {row[2]}" for row in STEPS])
@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault(world, name, fault, where, method, path, caplog):
    """Struck once or twice in the first tick: nothing lost, nothing doubled, nothing recorded as failed."""
    caplog.set_level(logging.INFO, logger="shared")
    world.store()
    planted = Fault(method, path, times=2, **fault)
    getattr(world, where).faults.append(planted)
    world.drain()
    assert planted.times < 2, "the fault never struck"
    assert world.differences() == []
    assert world.versions() == ["1"] * 3
    assert [one for one in recorded_failures(world.storage, world.prefix) if one.is_final] == []
    assert not [word for word in PLANTED if word in caplog.text]


def test_an_outage_of_the_fhir_server(world, caplog):
    """Told once, nothing recorded, the watermark before it; once more when it is back."""
    caplog.set_level(logging.INFO, logger="shared")
    world.store()
    world.fhir.faults.append(Fault("GET|POST", "/", times=1000, status=503))
    for _ in range(3):
        assert world.app.tick().outcome is Outcome.FAILED
    assert world.app.status()["watermark"]["sequence"] == 0
    assert recorded_failures(world.storage, world.prefix) == []
    world.fhir.faults.clear()
    world.drain()
    assert world.differences() == []
    assert world.versions() == ["1"] * 3
    told = [line.message for line in caplog.records if line.levelname in ("ERROR", "WARNING")]
    assert len([line for line in told if line.startswith("outage")]) == 1
    assert len([line for line in told if "is back" in line]) == 1


def test_somebody_else_writes_first(world):
    """412: read again, merged again; his part and ours are both there."""
    world.store(studies=1)
    world.drain()
    world.store(studies=1, instances=1, SOPInstanceUID=f"2.25.{world.run}.0.1.99")
    world.fhir.faults.append(Fault("POST", "/fhir", status=412, times=3))
    world.drain()
    assert world.differences() == []
    assert world.versions(studies=1) == ["2"]


def test_a_bundle_that_is_refused_once_is_narrowed_down(world):
    """Whatever the server had against the whole, its parts are taken, and nothing is recorded."""
    world.store(studies=1, instances=8)
    world.fhir.faults.append(Fault("POST", "/fhir", status=422, times=1))
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
