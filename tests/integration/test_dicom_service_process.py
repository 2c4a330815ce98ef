"""The local DICOM service as a process: its command line, its database, its log; and DICOM files by others."""

import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from pydicom.data import get_charset_files, get_testdata_file, get_testdata_files

from local.dicom_service import create_app
from local.dicom_service.database import SCHEMA
from local.processes import free_port
from local.stack import PortNumbers, Stack, StackOptions
from tests.integration.dicom_service_client import Client, dicom_file, running

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what the tests do on purpose

REPOSITORY = Path(__file__).parents[2]


def until_healthy(process: subprocess.Popen[bytes], client: Client) -> None:
    while True:
        assert process.poll() is None, f"the service ended with {process.returncode}"
        try:
            if client.get("/health").status_code == 200:
                return
        except requests.ConnectionError:
            continue


@contextmanager
def service_process(log: Path, *arguments: str, stop: signal.Signals = signal.SIGTERM) -> Iterator[Client]:
    port = free_port()
    command = [sys.executable, "-m", "local.dicom_service", "--port", str(port), *arguments]
    with log.open("ab") as stderr, subprocess.Popen(command, cwd=REPOSITORY, stderr=stderr, stdout=stderr) as process:
        client = Client(f"http://127.0.0.1:{port}")
        try:
            until_healthy(process, client)
            yield client
        finally:
            os.kill(process.pid, stop)
            process.wait()


def test_what_was_answered_survives_a_kill(tmp_path):
    """With --database every STOW and DELETE is there after kill -9, and the sequence numbers go on."""
    database = ("--database", str(tmp_path / "dicom.db"))
    with service_process(tmp_path / "log", *database, stop=signal.SIGKILL) as service:
        service.store(dicom_file(), dicom_file(SOPInstanceUID="1.2.3.5"))
        service.delete("/v2/studies/1.2/series/1.2.3/instances/1.2.3.5")
        service.post("/admin/reserve", content_type=None)
        service.post("/admin/holes?count=2", content_type=None)
        before = service.feed()
    with service_process(tmp_path / "log", *database, stop=signal.SIGKILL) as service:
        assert service.feed() == before
        service.store(dicom_file(SOPInstanceUID="1.2.3.6"))
        service.store(dicom_file(SOPInstanceUID="1.2.3.7"), path="/admin/reserve/4/studies")
        assert [entry["Sequence"] for entry in service.feed()] == [1, 2, 3, 4, 7]


def test_updates_operations_and_partitions_survive_a_kill(tmp_path):
    """With --database, as what was stored does; also the first version of what was updated."""
    database = ("--database", str(tmp_path / "dicom.db"))
    metadata, original = "/v2/partitions/north/studies/1.2/metadata", {"msdicom-request-original": "true"}

    def held(service: Client):
        first = requests.get(f"{service.url}{metadata}", headers=original, timeout=30).json()
        return [service.get(path).json() for path in (metadata, operation, "/v2/partitions", "/v2/changefeed")] + [
            first
        ]

    with service_process(tmp_path / "log", *database, stop=signal.SIGKILL) as service:
        service.store(dicom_file(), partition="north")
        operation = f"/v2/operations/{service.bulk_update('1.2', partition='north', PatientID='P2').json()['id']}"
        before = held(service)
    with service_process(tmp_path / "log", *database, stop=signal.SIGKILL) as service:
        assert held(service) == before
    assert [one[0]["00100020"]["Value"] for one in (before[0], before[-1])] == [["P2"], ["P1"]]


def test_new_uids_survive_a_kill(tmp_path):
    """And that no entry tells of the old ones' end: those that told of them stay as they were."""
    database = ("--database", str(tmp_path / "dicom.db"))
    changes = {"0020000D": {"vr": "UI", "Value": ["1.9"]}}
    with service_process(tmp_path / "log", *database, stop=signal.SIGKILL) as service:
        service.store(dicom_file())
        body = json.dumps({"studyInstanceUids": ["1.2"], "changeDataset": changes}).encode()
        assert service.post("/v2/studies/$bulkUpdate", body, "application/json").status_code == 202
        before = service.feed()
    with service_process(tmp_path / "log", *database, stop=signal.SIGKILL) as service:
        assert service.feed() == before
        assert service.get("/v2/studies/1.2/metadata").status_code == 404
        assert len(service.metadata("/v2/studies/1.9")) == 1
    assert [(one["StudyInstanceUid"], one["Action"], one["State"]) for one in before] == [
        ("1.2", "create", "current"),
        ("1.9", "update", "current"),
    ]


def test_without_a_database_nothing_is_kept(tmp_path):
    """All is in memory."""
    for _ in range(2):
        with service_process(tmp_path / "log") as service:
            assert service.feed() == []
            service.store(dicom_file())


def test_the_log_holds_no_patient_values(tmp_path):
    """Requests are not logged; what is logged names counts, reasons and tags, even where a value is bad."""
    secrets = {"PatientName": "Nightingale^Florence", "PatientID": "secret-id" * 9, "PatientBirthDate": "secret-date"}
    log = tmp_path / "log"
    with service_process(log) as service:
        service.store(dicom_file(**secrets, SpecificCharacterSet="secret-charset"), b"secret-file")
        service.store(Path(get_testdata_file("badVR.dcm")).read_bytes())
        service.get("/v2/studies", PatientID="secret-query")
        service.bulk_update("1.2", PatientName="secret-name", PatientComments="secret-comment")
        service.bulk_update("1.2", PatientID="secret-id" * 9, ManufacturerModelName="secret-model")
    text = log.read_text(encoding="utf-8")
    assert "stored 1, refused 1 {272: 1}" in text
    assert "updated 1 instances of 1 studies" in text
    assert not [word for word in ("secret", "Nightingale", "Lastname", "GET", "POST") if word in text]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does its folder exist?"), ("PRAGMA user_version = 99", "schema version 99, not 4 or less")],
)
def test_a_database_that_cannot_be_used_is_said_so(tmp_path, content, message):
    """An error names the file, what is wrong and what to do."""
    path = tmp_path / ("missing/dicom.db" if content is None else "dicom.db")
    if content is not None:
        with sqlite3.connect(path) as connection:
            connection.execute(content)
    with pytest.raises((FileNotFoundError, ValueError), match=r"dicom\.db") as caught:
        create_app(str(path))
    assert message in str(caught.value)


def test_a_database_of_an_earlier_version_is_brought_up_to_date(tmp_path):
    """What it holds stays, and can be updated; sequence numbers go on."""
    path = tmp_path / "dicom.db"
    metadata = json.dumps({"00100020": {"vr": "LO", "Value": ["P1"]}})
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA[0].read_text(encoding="utf-8"))
        key = ("Microsoft.Default", "1.2", "1.2.3", "1.2.3.4")
        connection.execute("UPDATE counter SET last_sequence = 7")
        connection.execute("INSERT INTO change VALUES (7, 17700000000000000, 'create', ?, ?, ?, ?, 7)", key)
        connection.execute("INSERT INTO instance VALUES (?, ?, ?, ?, 7, 'P1', 'OT', ?)", (*key, metadata))
    connection.close()
    for _ in range(2):  # the second time there is nothing to do
        with running(create_app(str(path))) as service:
            (entry,) = service.feed()
    assert (entry["Sequence"], entry["State"], entry["Metadata"]) == (7, "current", json.loads(metadata))
    with running(create_app(str(path))) as service:
        service.bulk_update("1.2", PatientID="P2")
        assert [(entry["Sequence"], entry["State"]) for entry in service.feed()] == [(7, "replaced"), (8, "current")]
        assert len(service.get("/v2/partitions").json()) == 1


def test_every_dicom_file_of_pydicom_is_stored_or_refused_for_a_reason():
    """Real and broken files of many makers: none fails the service; the refused lack a UID, exist, or are no DICOM."""
    paths = sorted({Path(path) for path in (*get_testdata_files(), *get_charset_files()) if Path(path).is_file()})
    statuses: Counter[str] = Counter()
    with running(create_app(None)) as service:
        for path in paths:
            response = service.post("/v2/studies", path.read_bytes(), "application/dicom")
            answer = response.json()
            assert response.status_code in (200, 409), path.name
            failed = answer["00081198"]["Value"][0]["00081197"]["Value"][0] if "00081198" in answer else "stored"
            statuses[str(failed)] += 1
        stored = [entry["Metadata"] for offset in (0, 200) for entry in service.feed(offset=offset, limit=200)]
    assert set(statuses) == {"stored", "272", "43264", "45070"}
    assert statuses["stored"] == len(stored) > 100
    for metadata in stored:
        assert list(metadata) == sorted(metadata)
        assert all(len(attribute["vr"]) == 2 for attribute in metadata.values())
        assert not [tag for tag in metadata if tag.endswith("0000") or tag.startswith(("0000", "0002"))]
        json.dumps(metadata, allow_nan=False)


def connected_from_a_port_of_nobody(address: tuple[str, int]) -> socket.socket:
    """From a port below those that the system gives away, which once it is free stays so."""
    for port in range(21000, 32000):
        with suppress(OSError):
            return socket.create_connection(address, source_address=("127.0.0.1", port))
    raise AssertionError("no port is free")


def test_a_part_waits_for_a_port_that_a_connection_has_for_a_moment(tmp_path):
    """The system gives a dead part's port to any connection as its own: the part is started again once that is over."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        connected_from_a_port_of_nobody(server.getsockname()) as passing,
    ):
        stack = Stack(StackOptions(replace(PortNumbers.free(), dicom=passing.getsockname()[1]), tmp_path))
        passing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its end frees the port
        threading.Timer(3, passing.close).start()
        try:
            stack.start("dicom")
            assert requests.get(f"{stack.dicom_url}/health", timeout=30).ok
        finally:
            stack.stop()
