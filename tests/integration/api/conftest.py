"""A whole stack for the tests of the API, and a client that holds the function key."""

import time
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import requests
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from local.compare import compare
from local.failures import recorded_failures
from local.stack import PortNumbers, Stack, StackOptions
from local.stow import multipart
from shared.clients.azure.lease import CONTAINER
from tests.integration.dicom_service_client import dicom_file, studies_path

SETTINGS = {
    "SyncSchedule": "* * * * * *",
    "DicomCast__GapGracePeriod": "00:00:01",
    "DicomCast__StudySettle": "0",  # a study that grows is looked for in FHIR at once
    "DicomCast__Audit": "heal",
    "DicomCast__AuditDeleteAfter": "00:00:01",
    "DicomCast__AuditRequestsPerHour": "10000000",
}


@dataclass
class Api:
    """The stack, as somebody sees it who has the function key and a DICOM device."""

    stack: Stack

    def call(self, method, path, **arguments):
        headers = {"x-functions-key": self.stack.function_key}
        return requests.request(
            method, f"{self.stack.functions_url}/api{path}", headers=headers, timeout=30, **arguments
        )

    def get(self, path):
        return self.call("GET", path)

    def store(self, *studies, instances=2, partition=None, **tags):
        """One series each, in the default data partition or another; the numbers are the studies' names."""
        files = [
            dicom_file(
                **{
                    "StudyInstanceUID": f"1.2.{study}",
                    "SeriesInstanceUID": f"1.2.{study}.1",
                    "SOPInstanceUID": f"1.2.{study}.1.{number}",
                    "PatientID": f"P-{study}",
                    "Modality": "CT",
                    **tags,
                }
            )
            for study in studies
            for number in range(1, instances + 1)
        ]
        body, content_type = multipart(files)
        url = self.stack.dicom_url + studies_path(partition)
        answer = requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=60)
        assert answer.status_code == 200

    def drained(self):
        """The status once everything is synced."""
        return self.awaited(lambda status: status["lag"]["entries"] == 0 and not status["lease"]["held"])

    def awaited(self, reached, seconds=60):
        deadline = time.monotonic() + seconds
        while not reached(status := self.get("/status").json()):
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        return status

    def replayed(self, body, seconds=60):
        """The replay when it has ended."""
        answer = self.call("POST", "/replay", json=body)
        assert answer.status_code == 202, answer.text
        return self.ended(answer.json()["id"], seconds)

    def ended(self, replay_id, seconds=60):
        deadline = time.monotonic() + seconds
        while (replay := self.get(f"/replay/{replay_id}").json())["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, replay
            time.sleep(0.1)
        return replay

    @contextmanager
    def without_ticks(self):
        """Holds the app's lease, as another host would: what is asked for meanwhile is not begun."""
        with BlobServiceClient.from_connection_string(self.stack.storage_connection) as service:
            lease = BlobLeaseClient(service.get_blob_client(CONTAINER, "sync.lock"))
            for attempt in Retrying(
                retry=retry_if_exception_type(ResourceExistsError), wait=wait_fixed(0.02), stop=stop_after_delay(60)
            ):
                with attempt:
                    lease.acquire(60)
            try:
                yield
            finally:
                lease.release()

    def audited(self, seconds=60, **body):
        """The audit's state once a round has ended that is asked for."""
        answer = self.call("POST", "/audit", json=body)
        assert answer.status_code == 202, answer.text
        return self.audit_ended(seconds)

    def audit_ended(self, seconds=60):
        """The audit's state once no round is under way."""
        deadline = time.monotonic() + seconds
        while (said := self.get("/audit?size=200").json())["rounds"][0]["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        return said

    def study(self, number):
        """The ImagingStudy, None where there is none."""
        query = {"identifier": f"urn:dicom:uid|urn:oid:1.2.{number}"}
        bundle = requests.get(f"{self.stack.fhir_url}/ImagingStudy", params=query, timeout=30).json()
        return next((one["resource"] for one in bundle.get("entry", [])), None)

    def differences(self):
        """FHIR against DICOM, but for what is recorded as failed."""
        rows = recorded_failures(self.stack.storage_connection)
        failed = {row.sop_instance_uid for row in rows if row.is_final}
        return [one for one in compare(self.stack.dicom_url, self.stack.fhir_url, failed) if one.differences]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """One stack for a module's tests: they tell their studies apart by number."""
    with Stack(StackOptions(PortNumbers.free(), tmp_path_factory.mktemp("api"), settings=SETTINGS)) as stack:
        yield Api(stack)


@pytest.fixture
def own_api(tmp_path):
    """A stack of the test's own, to break parts of."""
    settings = SETTINGS | {"DicomCast__HealthMaxAge": "00:00:03", "DicomCast__LeaseDuration": "00:00:15"}
    with Stack(StackOptions(PortNumbers.free(), tmp_path, settings=settings)) as stack:
        yield Api(stack)
