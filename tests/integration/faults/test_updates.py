"""Updates, and what may come between: in the end FHIR says what DICOM holds, once, and was not written needlessly."""

import threading
from uuid import uuid4

import pytest
import requests

from local.compare import compare
from local.compare_rules import Rules
from local.failures import recorded_failures
from local.fhir_account import relative, search
from local.stack import PortNumbers, Stack, StackOptions
from local.stow import multipart
from tests.integration.awaiting import await_
from tests.integration.dicom_service_client import dicom_file
from tests.integration.faults.proxy import Fault
from tests.integration.faults.test_kills import end_lease, status
from tests.integration.fhir_versions import times_written
from tests.integration.whole_feed import dose_file

GENERATE = {"DicomCast__Features__GenerateObservations": "true"}
BATCH = 100  # entries, of which v1's feed gives as many at once


class Updated:
    """One study of the fault tests' world, with a dose report of two scans."""

    def __init__(self, world):
        self.world, self.fhir_url = world, world.fhir_url
        self.study = f"2.25.{world.run}.0"
        self.uid = f"{self.study}.9.1"
        self.patient = f"Plantagenet-{world.run % 10**9}-0"
        self.other = f"{self.patient}-other"
        self.build()

    def build(self, **more):
        """The app anew, as another host is."""
        self.world.build(GENERATE | {"DicomCast__BatchSize": str(BATCH), "DicomCast__MaxBatchesPerTick": "1"} | more)

    def store(self, images=2):
        self.world.store(studies=1, instances=images)

    def store_report(self):
        assert self.world.dicom.store(dose_file(self.uid, self.study, self.patient)).status_code == 200

    def update(self, **tags):
        assert self.world.dicom.bulk_update(self.study, **tags).status_code == 202

    def imaging_study(self):
        (study,) = search(self.fhir_url, "ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{self.study}")
        return study

    def put(self, resource):
        url = f"{self.fhir_url}/{resource['resourceType']}/{resource['id']}"
        requests.put(url, json=resource, timeout=30).raise_for_status()

    def versions(self):
        """Of all that was written: how often each resource was, by what it is."""
        identifiers = {
            "study": ("ImagingStudy", f"urn:dicom:uid|urn:oid:{self.study}"),
            "observations": ("Observation", f"urn:dicom:uid|urn:oid:{self.uid}"),
            "patient": ("Patient", f"|{self.patient}"),
            "other": ("Patient", f"|{self.other}"),
        }
        return {
            name: [times_written(self.fhir_url, one) for one in search(self.fhir_url, resource_type, identifier=value)]
            for name, (resource_type, value) in identifiers.items()
        }

    def read_again(self):
        """The whole feed from its beginning, by an app that has never seen it."""
        self.build(TableStore__TableNamePrefix=f"t{uuid4().hex[:8]}")
        self.world.drain()


@pytest.fixture
def updated(world):
    return Updated(world)


def check(updated, **versions):
    """FHIR is DICOM's; nothing is recorded; so often was each resource written; the feed read again changes nothing."""
    assert updated.world.all_differences() == []
    assert [row for row in recorded_failures(updated.world.storage, updated.world.prefix) if row.is_final] == []
    assert updated.versions() == versions
    updated.read_again()
    assert updated.versions() == versions
    assert updated.world.all_differences() == []


@pytest.mark.parametrize("is_report_first", [True, False])
def test_an_update_between_two_batches(updated, is_report_first):
    """What is left of the creates carries the new tags already, and is `replaced`; each batch writes once at most."""
    if is_report_first:
        updated.store_report()
    updated.store(images=BATCH + 20)
    if not is_report_first:
        updated.store_report()
    updated.world.app.tick()
    assert BATCH - 1 <= updated.imaging_study()["numberOfInstances"] <= BATCH
    updated.update(PatientID=updated.other, StudyDescription="Moved")
    updated.world.drain()
    assert updated.imaging_study()["description"] == "Moved"
    written = 2 if is_report_first else 1  # of the other patient from the beginning, where it comes after the update
    check(updated, study=[2], observations=[written] * 3, patient=[1], other=[1])


def test_an_update_before_anything_was_synced(updated):
    """Every create is `replaced`, its metadata the new one: the old patient never comes into FHIR."""
    updated.store()
    updated.store_report()
    updated.update(PatientID=updated.other)
    updated.update(StudyDescription="Again")
    updated.world.drain()
    check(updated, study=[1], observations=[1] * 3, patient=[], other=[1])


def test_an_update_that_changes_nothing_writes_nothing(updated):
    """The same values again."""
    updated.store()
    updated.store_report()
    updated.world.drain()
    updated.update(PatientID=updated.patient)
    updated.world.drain()
    check(updated, study=[1], observations=[1] * 3, patient=[1], other=[])


def test_updates_there_and_back(updated):
    """The study returns to its patient; the other one stays, without it."""
    updated.store()
    updated.store_report()
    updated.world.drain()
    for patient in (updated.other, updated.patient):
        updated.update(PatientID=patient)
        updated.world.drain()
    check(updated, study=[3], observations=[3] * 3, patient=[1], other=[1])


@pytest.mark.parametrize("is_remembered", [True, False])
def test_another_update_and_somebody_else_while_one_is_merged(updated, is_remembered):
    """A conflict: what he wrote and what the archive holds by then are there; the second update's entry adds nothing."""
    updated.store()
    updated.store_report()
    updated.world.drain()
    if not is_remembered:  # as the app that wrote it does
        updated.build()
    updated.update(StudyDescription="First")
    lock, meanwhile = threading.Lock(), []

    def interrupt(content):
        with lock:
            # Observations are read last, when the study that they are of has been merged.
            if b'"Observation"' in content and b'"searchset"' in content and not meanwhile:
                meanwhile.append("once")
                study = updated.imaging_study()
                updated.put(study | {"note": [{"text": "seen by the tumour board"}]})
                updated.update(PatientID=updated.other)
        return content

    updated.world.fhir.rewrite = interrupt
    updated.world.app.tick()
    assert meanwhile, "nobody came between"
    updated.world.drain()
    study = updated.imaging_study()
    assert [one["text"] for one in study["note"]] == ["seen by the tumour board", "First"]
    assert study["description"] == "First"
    check(updated, study=[3], observations=[2] * 3, patient=[1], other=[1])


OBSERVATIONS = ("fhir", "GET", "/Observation?")
TRANSACTION = ("fhir", "POST", "/")
READ_AHEAD = ("fhir", "POST", "/")  # and the transaction: both are Bundles
WATERMARK = ("tables", "POST|PATCH|PUT|MERGE", "SyncStateTable")
FAULTS = [
    # where, method, path, whether the study is remembered by the app, how it strikes
    (READ_AHEAD,         True,  {"status": 503}),
    (OBSERVATIONS,       True,  {"status": 503}),
    (TRANSACTION,        True,  {"status": 503}),
    (TRANSACTION,        True,  {}),  # no answer
    (TRANSACTION,        True,  {"after": True}),  # no answer, and it was applied
    (TRANSACTION,        True,  {"after": True, "status": 500}),
    (TRANSACTION,        True,  {"torn": True}),
    (READ_AHEAD,         False, {"status": 503}),
    (READ_AHEAD,         False, {"after": True}),
    (READ_AHEAD,         False, {"torn": True}),
    (WATERMARK,          True,  {"status": 503}),
    (WATERMARK,          True,  {"after": True}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "is_remembered", "fault"),
    FAULTS,
    ids=[f"{row[0][1]} {row[0][2]} {'' if row[1] else 'a new host '}{row[2]}" for row in FAULTS],
)
def test_a_fault_while_a_study_moves(updated, step, is_remembered, fault):
    """Another host goes on: the study, and the doses with it, are the other patient's; each was written once for that."""
    updated.store()
    updated.store_report()
    updated.world.drain()
    updated.update(PatientID=updated.other, StudyDescription="Moved")
    if not is_remembered:
        updated.build()
    where, method, path = step
    planted = Fault(method, path, times=2, **fault)
    getattr(updated.world, where).faults.append(planted)
    updated.world.app.tick()
    assert planted.times < 2, "the fault never struck"
    updated.build()
    updated.world.drain()
    check(updated, study=[2], observations=[2] * 3, patient=[1], other=[1])


@pytest.fixture
def moving(request, stack):
    """Forty studies; fewer on Medplum's router, whose repository takes 3 ms to look at each Observation of a search."""
    return Moving(stack, 12 if request.config.getoption("--fhir-server") == "medplum" else 40)


@pytest.fixture
def stack(tmp_path, fhir_url):
    settings = {
        "SyncSchedule": "* * * * * *",
        "DicomCast__GapGracePeriod": "00:00:01",
        "DicomCast__StudySettle": "0",  # a study that grows is looked for in FHIR at once
        **GENERATE,
    }
    running = Stack(StackOptions(PortNumbers.free(), tmp_path, settings=settings, fhir_url=fhir_url))
    try:
        running.start("azurite", "dicom", "functions")
        yield running
    finally:
        running.stop()


class Moving:
    """Studies of an image and a dose report, each of a patient of its own, in a stack; then of one patient."""

    def __init__(self, stack, studies):
        self.stack, run = stack, uuid4().int >> 64
        self.studies = [f"2.25.{run}.{number}" for number in range(studies)]
        self.patients = [f"P-{run}-{number}" for number in range(studies)]
        self.patient = f"P-{run}-all"
        self.reports = [f"{study}.9.1" for study in self.studies]

    def store(self):
        for study, patient, report in zip(self.studies, self.patients, self.reports, strict=True):
            image = dicom_file(
                StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=f"{study}.1.1", PatientID=patient
            )
            body, content_type = multipart([image, dose_file(report, study, patient)])
            url = f"{self.stack.dicom_url}/v1/studies"
            requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=60).raise_for_status()

    def update(self):
        """All studies are one patient's now."""
        change = {"00100020": {"vr": "LO", "Value": [self.patient]}}
        body = {"studyInstanceUids": self.studies, "changeDataset": change}
        requests.post(f"{self.stack.dicom_url}/v2/studies/$bulkUpdate", json=body, timeout=60).raise_for_status()

    def held(self, resource_type):
        named = {
            "ImagingStudy": [f"urn:dicom:uid|urn:oid:{uid}" for uid in self.studies],
            "Observation": [f"urn:dicom:uid|urn:oid:{uid}" for uid in self.reports],
            "Patient": [f"|{value}" for value in (*self.patients, self.patient)],
        }
        return search(self.stack.fhir_url, resource_type, identifier=",".join(named[resource_type]))

    def written(self, *resource_types):
        """How often each resource was."""
        return [times_written(self.stack.fhir_url, one) for type_ in resource_types for one in self.held(type_)]

    def moved(self):
        """How many studies are in FHIR as the one patient's."""
        patients = search(self.stack.fhir_url, "Patient", identifier=f"|{self.patient}")
        subjects = [f"Patient/{one['id']}" for one in patients]
        return sum(relative(one["subject"]) in subjects for one in self.held("ImagingStudy"))


def test_a_host_killed_while_studies_move(stack, moving):
    """Twice amid an update of many studies: all are the one patient's, who is there once; each was written once more."""
    moving.store()
    await_(lambda: status(stack)["lag"]["entries"] == 0, seconds=120)
    moving.update()
    for before in (0, len(moving.studies) // 2):
        await_(lambda before=before: moving.moved() > before, seconds=120)
        stack.kill("functions")
        assert moving.moved() < len(moving.studies), "killed too late to be in the middle"
        end_lease(stack)
        stack.start("functions")
    await_(lambda: status(stack)["lag"]["entries"] == 0, seconds=120)
    assert recorded_failures(stack.storage_connection) == []
    told = compare(stack.dicom_url, stack.fhir_url, (), rules=Rules(observations=True))
    assert [one.differences for one in told if one.differences] == []
    assert {one.observations for one in told} == {3}
    assert set(moving.written("ImagingStudy", "Observation")) == {2}
    patients = [one["identifier"][0]["value"] for one in moving.held("Patient")]
    assert sorted(patients) == sorted([*moving.patients, moving.patient])
    assert set(moving.written("Patient")) == {1}
