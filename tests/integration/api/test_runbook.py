"""The runbook's commands, each as it stands there but for host, key and names; all on one stack."""

import json
import re
import subprocess
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from local.stack import ROOT
from shared import bootstrap
from shared.clients.azure import open_rows
from shared.clients.azure.error_tables import ErrorTables
from shared.clients.azure.tables import Tables
from shared.errors import WatermarkError
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.outcome import Outcome
from shared.settings.config import read_settings
from tests.integration.azure_cli import ACCOUNT, AzureCli, served

RUNBOOK = (Path(__file__).parents[3] / "docs/runbook.md").read_text(encoding="utf-8")
RECIPE = re.compile(r"^\*\*(.+?)\.?\*\*", re.MULTILINE)
TITLE = re.compile(RECIPE.pattern + r"|^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHELL = """
curl() { command curl --silent --show-error --write-out '\\n' "$@"; }
az() { printf '%s\\0' "$@" | command curl --silent --fail-with-body --data-binary @- AZURE_CLI; }
"""
NOT_RUN = {"A timer that does not fire (2)": "they speak to Azure's management"}
BY_HAND = {
    "What FHIR holds cannot be merged with": "mended in FHIR, then 'What failed, again'",
    "A replaced Patient that cannot be followed": "mended in the registry, then 'What failed, again'",
    "A version that is not told": "mended in FHIR, then 'What failed, again'",
    "`403 … But other requests are answered`": "a firewall's rule, then 'What failed, again'",
    "One study, several patients": "corrected in the DICOM service",
    "A system for PatientIDs": "identifiers added in FHIR, then settings",
    "Codings without a system": "a setting, then 'One bad study'",
    "An order that is not linked": "corrected in the DICOM service or in FHIR",
    "Pages that cannot be followed": "a setting of the FHIR server or its proxy, then 'What failed, again'",
    "The server answers searches and refuses every transaction": "the FHIR server's log, and the self-check of 'First look'",
    "`FhirRefusedError … again and again, while others are written`": "the FHIR server's log, then 'What failed, again'",
    "The change feed ends before the watermark": "settings, or 'Start from now' with another number",
    "A window of the feed is answered 500, 503, 404 or 424": "a setting, then 'What failed, again'",
    "Open rows that are none": "the app is stopped, and a table deleted",
    "A table was deleted": "nothing, or 'Start from now'",
    "Move over from DICOM Cast": "the steps of docs/deploy.md",
    "The page shows old numbers, or asks for the key again and again": "the right key",
}


def blocks():
    """The runbook's commands by recipe or section; a second block there is "title (2)"."""
    found = {}
    for block in BLOCK.finditer(RUNBOOK):
        *_, last = TITLE.finditer(RUNBOOK, 0, block.start())
        title = last[1] or last[2]
        count = sum(name.split(" (")[0] == title for name in found)
        found[title if not count else f"{title} ({count + 1})"] = textwrap.dedent(block[2])
    return found


BLOCKS = blocks()
shown = set()


def recipe(title):
    """The test has the block as `commands`."""
    shown.add(title)
    return pytest.mark.parametrize("commands", [BLOCKS[title]], ids=[title])


class Desk:
    """Where the commands are typed: the words in capitals, and the names that a recipe has as examples, are replaced."""

    def __init__(self, api, az_url):
        self.api = api
        self._az_url = az_url
        self._words = {
            "HOST": api.stack.functions_url,
            "KEY": api.stack.function_key,
            "MASTERKEY": api.stack.function_key,
            "ACCOUNT": ACCOUNT,
            "FHIR(?=/)": api.stack.fhir_url,
            "DICOM(?=/)": api.stack.dicom_url,
        }

    def type(self, commands, **names):
        """The lines that are answered, read as JSON where they are. `names`: example -> what stands in its place."""
        for word, value in self._words.items():
            commands = re.sub(rf"\b{word}\b" if word.isalpha() else rf"\b{word}", value, commands)
        for example, value in names.items():
            assert example in commands, f"{example} is no part of the recipe"
            commands = commands.replace(example, str(value))
        script = SHELL.replace("AZURE_CLI", self._az_url) + commands
        done = subprocess.run(
            ["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [as_read(line) for line in done.stdout.splitlines() if line]

    def replay(self, commands, **names):
        """The replay that the recipe asks for, once it has ended."""
        [answer] = self.type(commands, **names)
        assert "id" in answer, answer
        self.tick()
        return self.api.ended(answer["id"])

    def tick(self):
        """Now, not at the timer's next second."""
        key = {"x-functions-key": self.api.stack.function_key}
        requests.post(f"{self.api.stack.functions_url}/admin/functions/sync", headers=key, json={}, timeout=30)

    def errors(self):
        """The app's error tables, to plant rows in."""
        service = TableServiceClient.from_connection_string(self.api.stack.storage_connection)
        return ErrorTables(Tables(service, "", (*ErrorTable, open_rows.TABLE)), lambda: datetime.now(UTC))


def as_read(line):
    try:
        return json.loads(line)
    except ValueError:
        return line


@pytest.fixture(scope="module")
def desk(api):
    """With four studies, 1.2.701 to 1.2.704, in sync."""
    api.store(701, 702, 703, 704)
    with served(AzureCli(api.stack.storage_connection)) as az_url:
        desk = Desk(api, az_url)
        desk.tick()
        api.drained()
        yield desk


class Deployment:
    """Another app on the same servers, with tables and a lease of its own; it ticks when it is told to."""

    def __init__(self, stack):
        self.prefix = f"t{uuid4().hex[:8]}"
        self.app = bootstrap.build(read_settings({**stack.settings, "TableStore__TableNamePrefix": self.prefix}))
        self.names = {"SyncStateTable": f"{self.prefix}SyncStateTable"}

    @property
    def sequence(self):
        return self.app.ports.watermarks.read().watermark.sequence


@pytest.fixture
def deployment(api):
    return Deployment(api.stack)


def patched(api, resource, **elements):
    """The resource as somebody else has changed it."""
    url = f"{api.stack.fhir_url}/{resource['resourceType']}/{resource['id']}"
    requests.put(url, json={**resource, **elements}, timeout=30).raise_for_status()


def test_every_command_is_run_or_named():
    """By its recipe or section; what is not run is told in the runbook, with the reason."""
    assert set(BLOCKS) == shown | NOT_RUN.keys()
    assert not shown & NOT_RUN.keys()
    told = RUNBOOK.split("## What no test runs")[1]
    assert all(reason in told for reason in NOT_RUN.values())


def test_every_recipe_has_commands_or_is_a_persons_work():
    """Each is looked at: none is forgotten because its commands stand in a sentence."""
    recipes = set(RECIPE.findall(RUNBOOK.split("## Recipes")[1]))
    assert recipes - {title.split(" (")[0] for title in BLOCKS} == BY_HAND.keys()


@recipe("First look")
def test_the_first_look(commands, desk):
    """Three answers, all well."""
    health, status, check = desk.type(commands)
    assert health == "healthy"
    assert (status["faults"], status["lag"]["entries"]) == ([], 0)
    assert check["ok"], check


@recipe("A timer that does not fire")
def test_a_tick_is_woken(commands, desk):
    """The host takes it, and a tick that has something to do is the last that is written down."""
    before = desk.api.get("/status").json()["lastTick"]["started"]
    desk.api.store(709)
    assert desk.type(commands) == []
    desk.api.awaited(lambda status: status["lastTick"]["started"] > before)


@recipe("Recipes")
def test_replays_are_listed_read_and_ended(commands, desk):
    """One that has ended stays as it is."""
    replay_id = desk.api.call("POST", "/replay", json={"study": "1.2.701", "dryRun": True}).json()["id"]
    listed, one, ended = desk.type(commands, **{"/ID": f"/{replay_id}"})
    assert replay_id in [replay["id"] for replay in listed["replays"]]
    assert (one["id"], ended["id"]) == (replay_id, replay_id)
    assert ended["state"] in ("cancelled", "done")


@recipe("One bad study")
def test_one_bad_study(commands, desk):
    """The recipe says what would be written; without its dryRun it is."""
    study = desk.api.study(701)
    patched(desk.api, study, series=[])
    names = {"1.2.840.99": "1.2.701"}
    [write] = desk.replay(commands, **names)["writes"]
    assert write["url"] == f"ImagingStudy/{study['id']}"
    assert not desk.api.study(701).get("series")
    desk.replay(commands, **names, **{', "dryRun": true': ""})
    assert desk.api.study(701)["series"] == study["series"]


@recipe("What differs, now")
def test_what_differs_is_found_and_healed(commands, desk):
    """The studies of these tests have no day: of all of them a round is asked for."""
    study = desk.api.study(701)
    requests.delete(f"{desk.api.stack.fhir_url}/ImagingStudy/{study['id']}", timeout=30).raise_for_status()
    days = '"dates": {"from": "2024-05-06", "to": "2024-05-07"}, '
    for _ in range(5):
        begun, state = desk.type(commands, **{days: ""})
        assert (begun["id"], begun["request"]["deep"]) == (state["rounds"][0]["id"], True)
        ended = desk.api.audit_ended()["rounds"][0]
        if not ended["counts"]["putOff"]:
            break  # on a busy machine a tick's time for the audit may be over in the midst of a study: it is put off
    assert (ended["state"], ended["counts"]["healed"]) == ("done", 1), ended
    assert desk.api.study(701)["series"] == study["series"]


@recipe("Deletes wait for a person")
def test_deletes_are_confirmed_by_the_round_s_id(commands, desk):
    """Of one that is stopped, and of no other; tests/integration/api/test_replays.py confirms one."""
    [answer] = desk.type(commands, **{'"ID"': '"0"'})
    assert answer["status"] == 404


FAILURES = [
    ("What failed, again", "FhirRefusedError", {701, 702}),
    ("A delete that the FHIR server refuses", "DeleteRefusedError", {702}),
]


@pytest.mark.parametrize(("commands", "exception", "mended"), [(BLOCKS[title], *rest) for title, *rest in FAILURES], ids=[title for title, *_ in FAILURES])  # fmt: skip
def test_failures_are_replayed(commands, exception, mended, desk):
    """Open rows of the table; of one class where the recipe says so."""
    rows = {701: "FhirRefusedError", 702: exception}
    sequences = {number: 1 + 2 * (number - 701) for number in rows}
    desk.errors().record(
        [
            FailedEntry(ErrorTable.FHIR, sequences[number], f"1.2.{number}", f"1.2.{number}.1", f"1.2.{number}.1.1", name, "x")
            for number, name in rows.items()
        ]
    )  # fmt: skip
    replay = desk.replay(commands)
    assert (replay["progress"]["done"], replay["progress"]["failed"]) == (len(mended), 0)
    page = desk.api.get("/errors/FhirFailToStoreExceptionTable").json()
    assert {row["studyInstanceUID"] for row in page["rows"]} == {f"1.2.{number}" for number in rows.keys() - mended}


shown.update(title for title, *_ in FAILURES)


@recipe("A torn entry that says nothing of its study")
def test_the_row_of_a_torn_entry_is_closed(commands, desk):
    """It is marked, and stays."""
    torn = FailedEntry(ErrorTable.DICOM, 900_017, "", "", "", "TornEntryError", "entry 900017: no JSON")
    desk.errors().record([torn])
    assert desk.type(commands, **{"/17": "/900017"}) == [{"closed": True}]
    assert desk.errors().torn(900_017) == []


@recipe("A Patient's name or gender is older than DICOM's")
def test_patients_are_overwritten(commands, desk):
    """Without `"patients": true` nothing would be."""
    url = f"{desk.api.stack.fhir_url}/{desk.api.study(702)['subject']['reference']}"
    patient = requests.get(url, timeout=30).json()
    patched(desk.api, patient, name=[{**patient["name"][0], "family": "Before"}])
    names = {"1.2.840.99": "1.2.702"}
    [write] = desk.replay(commands, **names)["writes"]
    assert write["url"] == f"Patient/{patient['id']}"
    assert desk.replay(commands, **names, **{', "patients": true': ""})["writes"] == []


@recipe("Two Patients for one PatientID")
def test_what_links_to_a_patient(commands, desk):
    """Its study; it has no dose report."""
    study = desk.api.study(703)
    studies, observations = desk.type(commands, **{"Patient/ID": study["subject"]["reference"]})
    assert [entry["resource"]["id"] for entry in studies["entry"]] == [study["id"]]
    assert observations["resourceType"] == "Bundle"
    assert not observations.get("entry")


@recipe("Doubles of the Endpoint")
def test_what_links_to_an_endpoint(commands, desk):
    """The studies."""
    study = desk.api.study(703)
    [studies] = desk.type(commands, **{"Endpoint/ID": study["endpoint"][0]["reference"]})
    assert study["id"] in [entry["resource"]["id"] for entry in studies["entry"]]


@recipe("An ImagingStudy was deleted in FHIR")
def test_a_study_deleted_in_fhir_is_made_again(commands, desk):
    """Once: what is left of it is found and used."""
    study = desk.api.study(703)
    requests.delete(f"{desk.api.stack.fhir_url}/ImagingStudy/{study['id']}", timeout=30).raise_for_status()
    desk.replay(commands, **{"1.2.840.99": "1.2.703"})
    made = desk.api.study(703)
    assert made["subject"] == study["subject"]
    assert made["series"] == study["series"]


@recipe("Rebuild everything")
def test_everything_is_rebuilt(commands, desk):
    """Nobody has to know where the feed ends."""
    study = desk.api.study(704)
    requests.delete(f"{desk.api.stack.fhir_url}/ImagingStudy/{study['id']}", timeout=30).raise_for_status()
    replay = desk.replay(commands)
    latest = desk.api.get("/status").json()["latest"]["sequence"]
    assert (replay["state"], replay["progress"]["done"]) == ("done", latest)
    assert desk.api.study(704)["series"] == study["series"]


@recipe("FHIR was restored from a backup")
def test_a_time_is_replayed(commands, desk):
    """From the hour before to the hour after."""
    now, hour = datetime.now(UTC).replace(microsecond=0), timedelta(hours=1)
    times = {"2026-05-01T00:00:00Z": (now - hour).isoformat(), "2026-05-04T00:00:00Z": (now + hour).isoformat()}
    replay = desk.replay(commands, **times)
    assert (replay["state"], replay["progress"]["done"]) == (
        "done",
        desk.api.get("/status").json()["latest"]["sequence"],
    )


@recipe("FHIR server that drops `meta.source`, resources of an older release")
def test_what_bears_no_sign_is_named(commands, desk):
    """All that the app made here bears one."""
    servers = {
        "https://fhir.example.org/r4": desk.api.stack.fhir_url,
        "https://dicom.example.org": desk.api.stack.dicom_url,
    }
    [*_, last] = desk.type(commands, **servers)
    assert last.startswith("0 ImagingStudy, 0 Observation made for")


@recipe("Start from now instead of from the beginning")
@pytest.mark.parametrize("ticked", [False, True], ids=["before the first tick", "stopped"])
def test_start_from_now(commands, ticked, desk, deployment):
    """Whether tables and row are there or not; `latest` is the first answer's. The next tick finds nothing to do."""
    if ticked:
        deployment.app.tick()
    latest = desk.api.get("/status").json()["latest"]["sequence"]
    told, *_ = desk.type(commands, **deployment.names, **{"123456": latest})
    assert told["Sequence"] == latest
    assert deployment.sequence == latest
    assert deployment.app.tick().outcome is Outcome.IDLE
    desk.type(commands, **deployment.names, **{"123456": 0})  # as where the feed was made anew
    assert deployment.sequence == 0


@recipe("The sync stands still")
def test_a_page_of_the_feed(commands, desk):
    """From the sequence on that is named."""
    [page] = desk.type(commands, **{"123456": 2})
    assert [entry["Sequence"] for entry in page][:2] == [3, 4]


@recipe("The watermark cannot be read")
@pytest.mark.parametrize("column", ["SyncedSequence", "SyncedTimestamp", "ReadSequence"])
def test_a_row_that_cannot_be_read_is_replaced(commands, column, desk, deployment):
    """Whichever column it is."""
    deployment.app.tick()
    with TableServiceClient.from_connection_string(desk.api.stack.storage_connection) as service:
        table = service.get_table_client(deployment.names["SyncStateTable"])
        table.update_entity({"PartitionKey": "SyncStatePartitionKey", "RowKey": "SyncStateRowKey", column: "x"})
    with pytest.raises(WatermarkError, match=column):
        _ = deployment.sequence
    desk.type(commands, **deployment.names, **{"123456": 5})
    assert deployment.sequence == 5


@recipe("A lease that never ends")
def test_an_infinite_lease_is_broken(commands, desk, deployment):
    """No host works before, the next tick does."""
    deployment.app.tick()
    service = BlobServiceClient.from_connection_string(desk.api.stack.storage_connection)
    blob = service.get_blob_client("dicom-cast", f"{deployment.prefix}sync.lock")
    BlobLeaseClient(blob).acquire()
    assert deployment.app.tick().outcome is Outcome.LEASE_HELD
    desk.type(commands, PREFIX=deployment.prefix)
    assert deployment.app.tick().outcome is Outcome.IDLE


def test_a_merge_of_a_row_that_is_missing_fails(desk, deployment):
    """As in Azure, where its table is missing too; Azure CLI's words for what it does not know."""
    words = "--auth-mode login --account-name ACCOUNT --table-name SyncStateTable --entity PartitionKey=p RowKey=r A=1"
    names = deployment.names
    for command, told in [
        (f"az storage entity merge {words}", "ERROR"),
        (f"az storage table create --auth-mode login --account-name ACCOUNT --name SyncStateTable && az storage entity merge {words}", "ERROR"),
        (f"az storage entity upsert {words}", "misspelled"),
        (f"az storage entity insert --if-there merge {words}", "if-there"),
    ]:  # fmt: skip
        with pytest.raises(AssertionError, match=told):
            desk.type(command, **names)
    with (
        TableServiceClient.from_connection_string(desk.api.stack.storage_connection) as service,
        pytest.raises(HttpResponseError),
    ):
        service.get_table_client(names["SyncStateTable"]).get_entity("p", "r")
