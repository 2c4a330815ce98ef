"""Two functions hosts on one deployment: one works at a time; the one that holds the lease is killed, the other follows."""

import itertools
import re
import time
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests

from local.compare import compare
from local.fhir_account import search
from local.processes import free_port
from local.stack import PortNumbers, Stack, StackOptions
from local.stow import multipart
from tests.integration.awaiting import await_
from tests.integration.dicom_service_client import dicom_file
from tests.integration.faults.proxy import Fault, origin, proxy_to
from tests.integration.fhir_versions import times_written

STUDIES, INSTANCES = 60, 2
RUN = uuid4().int >> 64
FOLLOWED_WITHIN = 60  # seconds
SETTINGS = {
    "SyncSchedule": "* * * * * *",
    "DicomCast__LeaseDuration": "00:00:15",
    "DicomCast__GapGracePeriod": "00:00:01",
}


class HostProcess:
    """A functions host that reaches blobs and FHIR through proxies of its own: they see when it works."""

    def __init__(self, parts, directory, blobs, fhir) -> None:
        self.blobs, self.fhir = blobs, fhir
        self.killed_at: float | None = None
        storage = re.sub(r"BlobEndpoint=http://[^/]+", f"BlobEndpoint={blobs.url}", parts.storage_connection)
        through = {"AzureWebJobsStorage": storage, "Fhir__Endpoint": fhir.url + urlsplit(parts.fhir_url).path}
        ports = replace(parts.ports, functions=free_port())
        self.stack = Stack(StackOptions(ports, directory, settings=SETTINGS | through))

    def kill(self) -> float:
        self.stack.kill("functions")
        self.killed_at = time.monotonic()
        return self.killed_at

    def wrote(self):
        """When its transactions, and batches of searches, arrived."""
        return [one.began for one in list(self.fhir.seen) if one.method == "POST"]

    def found_it_held(self):
        return [one for one in list(self.blobs.seen) if (one.action, one.status) == ("acquire", 409)]

    def holds(self):
        """From when to when it held the lease; until it was killed where it did not give it back."""
        held = [
            one for one in list(self.blobs.seen) if (one.action, one.status) in (("acquire", 201), ("release", 200))
        ]
        for one, following in itertools.pairwise([*held, None]):
            if one.action == "acquire" and following and following.action == "release":
                yield one.ended, following.began
            elif one.action == "acquire":
                was_killed = self.killed_at is not None and one.ended < self.killed_at
                yield one.ended, self.killed_at if was_killed else time.monotonic()

    def is_drained(self):
        headers = {"x-functions-key": self.stack.function_key}
        answer = requests.get(f"{self.stack.functions_url}/api/status", headers=headers, timeout=30)
        told = answer.json()
        return told["watermark"]["sequence"] == told["latest"]["sequence"]  # a study that settles is no lag


@pytest.fixture
def parts(tmp_path, fhir_url):
    running = Stack(StackOptions(PortNumbers.free(), tmp_path, fhir_url=fhir_url))
    try:
        running.start("azurite", "dicom")
        yield running
    finally:
        running.stop()


@pytest.fixture
def hosts(parts, tmp_path):
    """Not started yet; a batch takes them some seconds."""
    with ExitStack() as proxies:
        both = []
        for name in ("one", "two"):
            blobs = proxies.enter_context(proxy_to(f"http://127.0.0.1:{parts.ports.blob}"))
            fhir = proxies.enter_context(proxy_to(origin(parts.fhir_url)))
            fhir.faults.append(Fault("POST", "/", times=10_000, delay=0.1))
            both.append(HostProcess(parts, tmp_path / name, blobs, fhir))
        try:
            yield both
        finally:
            for host in both:
                host.stack.stop()


def study_uid(number):
    return f"2.25.{RUN}.{number}"


def store(parts, numbers):
    files = [
        dicom_file(
            StudyInstanceUID=study_uid(number),
            SeriesInstanceUID=f"{study_uid(number)}.1",
            SOPInstanceUID=f"{study_uid(number)}.1.{instance}",
            PatientID=f"P-{RUN}",  # studies of one patient go one after the other
        )
        for number in numbers
        for instance in range(1, INSTANCES + 1)
    ]
    body, content_type = multipart(files)
    url = f"{parts.dicom_url}/v1/studies"
    assert requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=60).status_code == 200


def written(parts, resources):
    """How often each was."""
    return [times_written(parts.fhir_url, one) for one in resources]


def test_the_other_follows(parts, hosts):
    """kill -9 in mid-tick: within a minute the other works, and in the end FHIR says what DICOM holds, once."""
    store(parts, range(STUDIES))
    for host in hosts:
        host.stack.start("functions")
    await_(lambda: any(len(host.wrote()) >= 10 for host in hosts), seconds=90)
    holder, other = sorted(hosts, key=lambda host: len(host.wrote()), reverse=True)
    await_(other.found_it_held, seconds=90)
    assert other.wrote() == []

    killed_at = holder.kill()
    assert len(holder.wrote()) < STUDIES, "the tick was over before the host was killed"
    store(parts, range(STUDIES, STUDIES + 10))
    await_(other.wrote, seconds=2 * FOLLOWED_WITHIN)
    took = other.wrote()[0] - killed_at
    assert took < FOLLOWED_WITHIN, f"the other host followed after {took:.1f} s"

    holder.stack.start("functions")
    store(parts, range(STUDIES + 10, STUDIES + 20))
    await_(other.is_drained, seconds=90)
    holds = sorted((*period, host) for host in hosts for period in host.holds())
    assert all(end <= start for (_, end, _), (start, _, _) in itertools.pairwise(holds)), "both held the lease"
    for host in hosts:
        mine = [(start, end) for start, end, who in holds if who is host]
        assert all(any(start <= at <= end for start, end in mine) for at in host.wrote()), "written without the lease"

    assert [one for one in compare(parts.dicom_url, parts.fhir_url, ()) if one.differences] == []
    studies = ",".join(f"urn:dicom:uid|urn:oid:{study_uid(number)}" for number in range(STUDIES + 20))
    assert written(parts, search(parts.fhir_url, "ImagingStudy", identifier=studies)) == [1] * (STUDIES + 20)
    assert written(parts, search(parts.fhir_url, "Patient", identifier=f"|P-{RUN}")) == [1]
    endpoints = [one for one in search(parts.fhir_url, "Endpoint") if one["address"] == parts.dicom_url]
    assert written(parts, endpoints) == [1]
