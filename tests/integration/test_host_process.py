"""The functions host killed or interrupted in mid-batch, on a whole stack: nothing lost, nothing doubled."""

import json
import signal
import subprocess
import sys

import pytest
import requests

from local.compare import compare
from local.processes import StackError
from local.stack import ROOT, PortNumbers, Stack, StackOptions
from local.stow import multipart
from tests.integration.awaiting import await_
from tests.integration.dicom_service_client import dicom_file

STUDIES = 150


def study(number, instances=2):
    uids = {"StudyInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.2.{number}.1", "Modality": "CT"}
    return [
        dicom_file(PatientID="P-1", SOPInstanceUID=f"1.2.{number}.1.{instance}", **uids)
        for instance in range(1, instances + 1)
    ]


def store(stack, files):
    body, content_type = multipart(files)
    answer = requests.post(
        f"{stack.dicom_url}/v1/studies", data=body, headers={"Content-Type": content_type}, timeout=60
    )
    assert answer.status_code == 200


def count(stack, resource_type):
    query = {"_summary": "count"}
    return requests.get(f"{stack.fhir_url}/{resource_type}", params=query, timeout=30).json()["total"]


def status(stack):
    headers = {"x-functions-key": stack.function_key}
    return requests.get(f"{stack.functions_url}/api/status", headers=headers, timeout=30).json()


@pytest.fixture
def quick(tmp_path):
    """Ticks every second; a killed holder's lease ends after 15 s, the least that blob leases allow."""
    settings = {"SyncSchedule": "* * * * * *", "DicomCast__LeaseDuration": "00:00:15"}
    with Stack(StackOptions(PortNumbers.free(), tmp_path, settings=settings)) as running:
        yield running


def test_killed_and_interrupted_in_mid_batch(quick):
    """kill -9, then Ctrl-C, each while studies of one patient appear one by one; then it goes on to the end."""
    store(quick, [file for number in range(STUDIES) for file in study(number)])
    await_(lambda: count(quick, "ImagingStudy") > 10, seconds=90)
    quick.kill("functions")
    killed_at = count(quick, "ImagingStudy")
    assert killed_at < STUDIES
    quick.start("functions")
    await_(lambda: count(quick, "ImagingStudy") > killed_at, seconds=90)
    quick._running["functions"].process.send_signal(signal.SIGINT)
    assert quick._running["functions"].process.wait(30) == 0
    quick.start("functions")
    await_(lambda: status(quick)["lag"]["entries"] == 0, seconds=90)
    assert not [one for one in compare(quick.dicom_url, quick.fhir_url, ()) if one.differences]
    assert (count(quick, "ImagingStudy"), count(quick, "Patient"), count(quick, "Endpoint")) == (STUDIES, 1, 1)


def test_a_taken_port_is_named(stack):
    """Before anything is started."""
    with pytest.raises(StackError, match=rf"port {stack.ports.dicom} \(DICOM service\)"), Stack(stack.options):
        pass


def test_malformed_settings_are_named_at_start(stack, tmp_path):
    """One line in the log, every fault in it; the functions stay, and fail."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"Values": stack.settings | {"Fhir__Endpoint": "", "DicomCast__BatchSize": "x"}}))
    port = PortNumbers.free().functions
    command = [
        sys.executable,
        "-m",
        "local.functions_host",
        "--settings",
        str(path),
        "--no-timers",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as host:
        said = host.stderr.readline()
        host.terminate()
    assert "The app's settings are not usable" in said
    assert "Fhir__Endpoint is missing" in said
    assert "DicomCast__BatchSize: a whole number" in said
