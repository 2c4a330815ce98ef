"""`make run`: on the FHIR server that is named on the command line, and on no other."""

import json
import os
import signal
import subprocess
import sys
import time
from uuid import uuid4

import pytest
import requests

from local.fhir_account import search
from local.stack import ROOT, PortNumbers
from local.stow import multipart
from tests.integration.test_sync import Uids

RUN = """
import signal, sys
from pathlib import Path
from local.run import run
from local.stack import PortNumbers
signal.signal(signal.SIGINT, signal.default_int_handler)
run(PortNumbers({ports}), Path({folder!r}), Path({settings!r}), {url!r}, core_tools=False)
"""


def test_the_server_of_the_command_line_is_used(tmp_path, storage, fhir_url):
    """It is said first; it goes before the settings file's, in whatever case that names it; the local one is not started."""
    ports, uids = PortNumbers.free(), Uids()
    settings = tmp_path / "local.settings.json"
    values = {
        "AzureWebJobsStorage": storage,
        "DicomWeb__Endpoint": f"http://127.0.0.1:{ports.dicom}",
        "FHIR__ENDPOINT": f"http://127.0.0.1:{ports.fhir}/fhir",
        "SyncSchedule": "* * * * * *",
        "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
        "DicomCast__GapGracePeriod": "00:00:01",
    }
    settings.write_text(json.dumps({"Values": values}))
    arguments = ", ".join(
        str(getattr(ports, name)) for name in ("functions", "dicom", "fhir", "blob", "queue", "table")
    )
    program = RUN.format(ports=arguments, folder=str(tmp_path), settings=str(settings), url=fhir_url)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        await_(process, lambda: f"FHIR      {fhir_url}/ImagingStudy" in log.read_text())
        assert log.read_text().startswith(f"using the FHIR server {fhir_url}: what is stored will be written there\n")
        body, content_type = multipart([uids.file()])
        url = f"http://127.0.0.1:{ports.dicom}/v1/studies"
        requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=30).raise_for_status()
        study = f"urn:dicom:uid|urn:oid:{uids.study}"
        await_(process, lambda: search(fhir_url, "ImagingStudy", identifier=study))
        assert not (tmp_path / "run" / "fhir.log").exists()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def await_(process, reached, seconds=60):
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("command", "environment", "is_used"),
    [
        (["FHIR=http://a/fhir"], {}, True),
        (["FHIR=http://a/fhir"], {"FHIR": "http://b/fhir"}, True),
        ([], {"FHIR": "http://a/fhir"}, False),
        (["-e"], {"FHIR": "http://a/fhir"}, False),
        ([], {}, False),
    ],
)
def test_it_must_be_asked_for_by_name(command, environment, is_used):
    """A variable of the environment is no consent to write to somebody's server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "FHIR"}
    told = subprocess.run(
        ["make", "--dry-run", "run", *command],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in told.stdout.splitlines() if "local run" in line] == [
        ".venv/bin/python -m local run  " + ("--fhir 'http://a/fhir'" if is_used else "")
    ]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("run", "run --port '8071'"),
        ("demo", "demo --port '8071'"),
        ("compare", "compare --port '8071'"),
        ("check", "check --port '8071'"),
        ("stop PART=azurite", "stop --port '8071' azurite"),
        ("start PART=functions", "start --port '8071' functions"),
    ],
)
def test_other_ports_are_passed_on(target, words):
    """By each target that speaks to the stack."""
    command = ["make", "--dry-run", *target.split(), "PORT=8071"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.strip() for line in told.splitlines() if "-m local" in line] == [f".venv/bin/python -m local {words}"]
