"""A host process killed at random points, again and again: nothing lost, nothing doubled.

`KILLS` of the environment says how often (`make test-kills`: 500); the seed is printed by a failure.
"""

import contextlib
import os
import random
import time
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from local.compare import compare
from local.failures import recorded_failures
from local.fhir_account import search
from local.stack import PortNumbers, Stack, StackOptions
from local.stow import multipart
from tests.integration.awaiting import await_
from tests.integration.dicom_service_client import dicom_file
from tests.integration.fhir_versions import times_written

KILLS = int(os.environ.get("KILLS", "12"))
SEED = int(os.environ.get("SEED", "20240506"))
RUN = uuid4().int >> 64
STUDIES = f"2.25.{RUN}"
PLANTED = "Plantagenet"
STREAM = 1_000_000
MOST_VERSIONS = 4
"""Of a stream in two parts: its first instance, what a host reads that starts, and what comes a little later."""


@pytest.fixture
def stack(tmp_path, fhir_url):
    settings = {
        "SyncSchedule": "* * * * * *",
        "DicomCast__GapGracePeriod": "00:00:01",
        "DicomCast__BatchSize": "40",
        "DicomCast__StudySettle": "5",
    }
    running = Stack(StackOptions(PortNumbers.free(), tmp_path, settings=settings, fhir_url=fhir_url))
    try:
        running.start("azurite", "dicom")
        yield running
    finally:
        running.stop()


def patient_id(number):
    return f"{PLANTED}-{RUN % 10**9}-{number}"


def is_drained(status):
    """The watermark stands at the feed's end: nothing settles either."""
    return status["watermark"]["sequence"] == status["latest"]["sequence"]


def store(stack, number, chance):
    """A study of one to six instances, one in five without a PatientID."""
    patient = None if chance.random() < 0.2 else patient_id(number)
    send(stack, *(file(number, instance, patient) for instance in range(1, 1 + chance.randint(1, 6))))


def file(number, instance, patient):
    return dicom_file(
        StudyInstanceUID=f"{STUDIES}.{number}",
        SeriesInstanceUID=f"{STUDIES}.{number}.1",
        SOPInstanceUID=f"{STUDIES}.{number}.1.{instance}",
        PatientID=patient,
        PatientName=f"{PLANTED}^Geoffrey",
    )


def send(stack, *files):
    body, content_type = multipart(files)
    url = f"{stack.dicom_url}/v1/studies"
    assert requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=60).status_code == 200


def end_lease(stack):
    """A killed host's lease ends within its duration; here at once, so that 500 kills do not take two hours."""
    with BlobServiceClient.from_connection_string(stack.storage_connection) as blobs:
        blob = blobs.get_blob_client("dicom-cast", "sync.lock")
        with contextlib.suppress(ResourceNotFoundError, ResourceExistsError):
            BlobLeaseClient(blob).break_lease(lease_break_period=0)


def status(stack):
    headers = {"x-functions-key": stack.function_key}
    return requests.get(f"{stack.functions_url}/api/status", headers=headers, timeout=30).json()


def test_killed_again_and_again(stack):
    """At random points of its life; studies and deletes come meanwhile."""
    chance = random.Random(SEED)
    for number in range(KILLS):
        store(stack, number, chance)
        if number and chance.random() < 0.2:
            gone = f"{stack.dicom_url}/v1/studies/{STUDIES}.{chance.randrange(number)}"
            requests.delete(gone, timeout=30)
        stack.start("functions")
        time.sleep(chance.uniform(0.0, 1.5))
        stack.kill("functions")
        end_lease(stack)
    stack.start("functions")
    deadline = time.monotonic() + 120
    while not is_drained(status(stack)):
        assert time.monotonic() < deadline, f"not drained, SEED={SEED}"
        time.sleep(0.2)
    failures = recorded_failures(stack.storage_connection)
    failed = [one.sop_instance_uid for one in failures if one.is_final]
    assert len(failed) == len(set(failed)), f"an entry in two rows, SEED={SEED}"
    assert [one for one in compare(stack.dicom_url, stack.fhir_url, failed) if one.differences] == [], f"SEED={SEED}"
    assert doubled(stack) == [], f"SEED={SEED}"
    assert PLANTED not in repr(tables(stack)) + (Path(stack.options.directory) / "functions.log").read_text()


def test_killed_while_a_study_settles(stack):
    """A scanner's stream: few versions, and the next host reads again what the killed one had read and not written."""
    stack.start("functions")
    for instances in (range(1, 2), range(2, 10)):
        for instance in instances:
            send(stack, file(STREAM, instance, patient_id(STREAM)))
        await_(lambda: status(stack)["lag"]["entries"] == 0, seconds=60)
    assert not is_drained(status(stack)), "nothing settles"
    stack.kill("functions")
    end_lease(stack)
    stack.start("functions")
    for instance in range(10, 20):
        send(stack, file(STREAM, instance, patient_id(STREAM)))
    await_(lambda: is_drained(status(stack)), seconds=60)
    assert [one for one in compare(stack.dicom_url, stack.fhir_url, ()) if one.differences] == []
    (study,) = search(stack.fhir_url, "ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{STUDIES}.{STREAM}")
    assert times_written(stack.fhir_url, study) <= MOST_VERSIONS


def doubled(stack):
    """Patients that are there twice, and studies that were written more often than there were changes to write."""
    twice, rewritten = [], []
    for number in range(KILLS):
        patients = search(stack.fhir_url, "Patient", identifier=f"|{patient_id(number)}")
        studies = search(stack.fhir_url, "ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{STUDIES}.{number}")
        twice += [one["id"] for one in patients[1:]]
        # A study's instances are stored at once, and at most cut in two by the end of a batch.
        rewritten += [one["id"] for one in studies if times_written(stack.fhir_url, one) > 2]
    return twice + rewritten


def tables(stack):
    with TableServiceClient.from_connection_string(stack.storage_connection) as service:
        return [list(service.get_table_client(table.name).list_entities()) for table in service.list_tables()]
