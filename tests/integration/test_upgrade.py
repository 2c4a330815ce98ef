"""From release 0.1.0 to this tree, back, and here again, on one storage account and one FHIR server.

Each host is a process that runs the code of its own release, and is seen as operators see it: by its API.
"""

import io
import shutil
import subprocess
import tarfile
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from azure.data.tables import TableServiceClient

from local.compare import compare
from local.compare_rules import Rules
from local.fhir_account import search
from local.processes import free_port
from local.stack import ROOT, PortNumbers, Stack, StackOptions
from tests.integration.awaiting import await_
from tests.integration.dicom_service_client import dicom_file, multipart
from tests.integration.faults.proxy import Fault, origin, proxy_to
from tests.integration.fhir_versions import times_written

RELEASE = "7ade8bd454ae710077ee429ff6cbda3f6206a3e2"
"""0.1.0: the last commit before what CHANGELOG.md has under Unreleased."""
SECONDS = 60
TABLES = {
    "bad": "DicomFailToStoreExceptionTable",
    "refused": "FhirFailToStoreExceptionTable",
    "carried": "TransientRetryExceptionTable",
    "tag": "InvalidDicomTagExceptionTable",
}
"""By the name of a study that has an open row there before the upgrade."""


class Host(Stack):
    """A functions host of the release whose code is in `code`."""

    code = ROOT

    def _functions(self):
        return replace(super()._functions(), directory=self.code)


class Deployment:
    """One deployment, whose host can be replaced by one of another release; studies are called by names."""

    def __init__(self, dicom, fhir, fhir_url, storage, directory):
        """`fhir`: a proxy before the FHIR server of `fhir_url`."""
        self.dicom, self.fhir, self.fhir_url, self.storage, self.directory = dicom, fhir, fhir_url, storage, directory
        self.root, self.prefix, self.host = f"2.25.{uuid4().int >> 64}", f"t{uuid4().hex[:8]}", None
        self.uids = {}
        self.settings = {
            "AzureWebJobsStorage": storage,
            "TableStore__TableNamePrefix": self.prefix,
            "DicomWeb__Endpoint": dicom.url,
            "Fhir__Endpoint": fhir.url + urlsplit(fhir_url).path,
            "SyncSchedule": "* * * * * *",
            "DicomCast__GapGracePeriod": "00:10:00",  # a hole is still open when another release takes over
        }

    def run(self, code, **settings):
        """Ends the host, and starts one of the release in the folder `code`."""
        self.stop()
        ports = replace(PortNumbers(), functions=free_port())
        folder = self.directory / f"host-{ports.functions}"
        self.host = Host(StackOptions(ports, folder, settings={**self.settings, **settings}))
        self.host.code = code
        self.host.start("functions")

    def stop(self):
        if self.host:
            self.host.stop()

    def call(self, path, method="GET", **body):
        headers = {"x-functions-key": self.host.function_key}
        answer = requests.request(
            method, f"{self.host.functions_url}/api{path}", json=body or None, headers=headers, timeout=SECONDS
        )
        assert answer.ok, answer.text
        return answer

    def status(self):
        return self.call("/status").json()

    def replay(self, **target):
        return self.call("/replay", "POST", **target).json()["id"]

    def state_of(self, replay_id):
        return self.call(f"/replay/{replay_id}").json()["state"]

    def await_replay(self, replay_id):
        """It has ended, and as it should."""
        await_(lambda: self.state_of(replay_id) not in ("queued", "running"), SECONDS)
        assert self.state_of(replay_id) == "done"

    def file(self, name, number=1, **tags):
        study = self.uids.setdefault(name, f"{self.root}.{len(self.uids)}")
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": f"{study}.1.{number}"}
        people = {"PatientID": study, "PerformingPhysicianName": "House^G", "OperatorsName": "Wilson^J"}
        return dicom_file(**{**uids, **people, "Modality": "CT", "ImageLaterality": "L", **tags})

    def store(self, name, number=1, partition=None, **tags):
        assert self.dicom.store(self.file(name, number, **tags), partition=partition).ok

    def refuse(self, name, status):
        """Stores a study whose transactions the FHIR server answers with the status."""
        file = self.file(name)
        fault = Fault("POST", "/", times=1_000_000, status=status, body=self.uids[name].encode())
        self.fhir.faults.append(fault)
        assert self.dicom.store(file).ok

    def synced(self):
        """All of the feed is in FHIR or in a row, no tick has failed, and the app says that it is well."""

        def is_drained():
            status = self.status()
            return status["watermark"]["sequence"] == status["latest"]["sequence"] and not status["lease"]["held"]

        await_(is_drained, SECONDS)
        status = self.status()
        assert [tick["error"] for tick in status["ticks"] if tick["error"]] == []
        assert status["state"] not in ("behind", "not syncing")
        self.call("/health")

    def rows(self, table):
        with TableServiceClient.from_connection_string(self.storage) as service:
            return list(service.get_table_client(self.prefix + table).list_entities())

    def open_rows(self):
        """The studies that have an open row, by name; the index of open rows has just as many."""
        names = {uid: name for name, uid in self.uids.items()}
        found = [names[row["StudyUid"]] for one in TABLES.values() for row in self.rows(one) if not row["ResolvedAt"]]
        assert len(found) == len([row for row in self.rows("OpenRowTable") if row["PartitionKey"] != "head"])
        return set(found)

    def differing(self):
        """The studies whose ImagingStudy is not as DICOM has it, by name."""
        names = {uid: name for name, uid in self.uids.items()}
        found = compare(self.dicom.url, self.fhir_url, (), rules=Rules.of(self.settings))
        return {names[one.study_instance_uid] for one in found if one.differences}

    def versions(self):
        """By its reference, the name of the study, else the reference, and how often each of ours was written."""
        names = {f"urn:oid:{uid}": name for name, uid in self.uids.items()}
        found = {
            f"{kind}/{one['id']}": one
            for kind in ("ImagingStudy", "Patient", "Endpoint")
            for one in search(self.fhir_url, kind)
            if one["meta"].get("source", "").startswith(self.dicom.url) or self._is_patient(one)
        }
        return {
            reference: (names.get(one["identifier"][0]["value"], reference), times_written(self.fhir_url, one))
            for reference, one in found.items()
        }

    def await_written(self, name, times):
        await_(lambda: (name, times) in self.versions().values(), SECONDS)

    def written_since(self, before):
        """What was there before, and has been written since."""
        now = self.versions()
        return {now[reference][0] for reference in now.keys() & before.keys() if now[reference] != before[reference]}

    def _is_patient(self, resource):
        """Whether it is one of ours: on the tests' FHIR server there may be others, without an identifier too."""
        identifiers = resource.get("identifier", ()) if resource["resourceType"] == "Patient" else ()
        return any(one.get("value") in self.uids.values() for one in identifiers)


@pytest.fixture
def release(tmp_path):
    """The folder of the older release's code; skips if git, or the commit, is not there, as in a shallow clone."""
    git = ["git", "-C", str(ROOT), "archive", RELEASE, "shared", "local", "function_app.py", "host.json"]
    made = subprocess.run(git, capture_output=True, check=False) if shutil.which("git") else None
    if made is None or made.returncode:
        pytest.skip("0.1.0 is not in the history of this checkout")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(tmp_path / "0.1.0", filter="data")
    return tmp_path / "0.1.0"


@pytest.fixture
def deployment(dicom, fhir_url, storage, tmp_path):
    with proxy_to(origin(fhir_url)) as fhir:
        made = Deployment(dicom, fhir, fhir_url, storage, tmp_path)
        yield made
        made.stop()


def test_an_upgrade_a_rollback_and_an_upgrade(release, deployment):
    """No study and no row is lost, no tick fails, and nothing is written of what has not changed."""
    hole, replay = leave_unfinished(deployment, release)
    upgrade(deployment, hole, replay)
    roll_back(deployment, release)
    upgrade_again(deployment)


def leave_unfinished(one, release):
    """0.1.0 leaves open rows, a carried entry, one that settles, a hole in the feed and a replay. Returns the last two."""
    one.run(release, DicomCast__StudySettle="600")  # what has grown waits in the memory of a host that ends before that
    for name in ("kept", "grown", "deleted", "updated"):
        one.store(name)
    one.store("north", partition="north")
    one.refuse("refused", 422)
    one.store("bad", PatientID="")
    one.store("tag", PatientBirthDate="1935-07-04")
    one.synced()
    one.refuse("carried", 503)
    await_(lambda: one.rows(TABLES["carried"]), SECONDS)
    hole = one.dicom.post("/admin/reserve", content_type=None).json()["sequence"]
    one.store("settles")
    one.await_written("settles", 1)
    one.store("settles", 2)
    replay = one.replay(study=one.uids["carried"])
    await_(lambda: one.state_of(replay) == "running", SECONDS)
    assert one.open_rows() == set(TABLES)
    assert one.differing() == {"refused", "bad", "carried", "settles"}
    return hole, replay


def upgrade(one, hole, replay):
    """First nothing is new but what settled. Then the faults are over, the hole is filled, and more arrives.

    The second identifier is left out in data partitions, as CHANGELOG.md says for those who may go back.
    """
    before = one.versions()
    one.run(ROOT, DicomCast__StudySettle="0", DicomCast__Features__StudyUidInPartitions="false")
    one.await_written("settles", 2)
    assert one.open_rows() == set(TABLES)
    assert one.written_since(before) == {"settles"}
    one.fhir.faults.clear()
    assert one.dicom.post(f"/admin/reserve/{hole}/studies", multipart(one.file("late"))).ok
    one.store("grown", 2)
    one.store("new")
    one.store("new north", partition="north")
    one.synced()
    one.await_replay(replay)
    assert one.open_rows() == {"refused", "bad", "tag"}
    assert one.differing() == {"refused", "bad"}
    assert one.written_since(before) == {"settles", "grown"}


def roll_back(one, release):
    """0.1.0 takes over a replay, and goes on with what this release wrote: it grows, changes and is deleted."""
    replay = one.replay(study=one.uids["new"])
    before = one.versions()
    one.run(release, DicomCast__StudySettle="0")
    one.store("grown", 3)
    one.store("new", 2)
    one.store("new north", 2)
    one.store("tag of now", PatientBirthDate="1935-07-04")
    one.dicom.delete(f"/v2/studies/{one.uids['deleted']}")
    one.dicom.bulk_update(one.uids["updated"], StudyDescription="Thorax")
    one.synced()
    one.await_replay(replay)
    assert one.open_rows() == {"refused", "bad", "tag", "tag of now"}
    assert one.differing() == {"refused", "bad"}
    assert one.written_since(before) == {"grown", "new", "updated"}


def upgrade_again(one):
    """All rows that can be closed are, by a replay."""
    before = one.versions()
    one.run(ROOT, DicomCast__StudySettle="0")
    one.store("grown", 4)
    one.store("newest")
    one.synced()
    assert one.written_since(before) == {"grown"}
    one.await_replay(one.replay(errors="all"))
    assert one.open_rows() == {"bad", "tag", "tag of now"}
    assert one.differing() == {"bad"}
