"""The self-check: each step passes on good parts, and tells what to do where a part is not."""

import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.fhir_account import search
from local.processes import free_port
from shared import bootstrap
from shared.model.watermark import StoredWatermark, Watermark
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import dicom_file, running
from tests.integration.faults.proxy import Fault, proxy_to


class Deployment:
    """The app between proxies, and its self-check by step."""

    def __init__(self, stack, dicom_url, fhir_url, storage):
        table_url = re.search(r"TableEndpoint=(http://[^/]+)", storage)[1]
        blob_url = re.search(r"BlobEndpoint=(http://[^/]+)", storage)[1]
        urls = {"dicom": dicom_url, "fhir": fhir_url.removesuffix("/fhir"), "tables": table_url, "blobs": blob_url}
        self.proxies = {name: stack.enter_context(proxy_to(url)) for name, url in urls.items()}
        through = storage.replace(table_url, self.proxies["tables"].url).replace(blob_url, self.proxies["blobs"].url)
        self.settings = {
            "AzureWebJobsStorage": through,
            "DicomWeb__Endpoint": self.proxies["dicom"].url,
            "Fhir__Endpoint": f"{self.proxies['fhir'].url}/fhir",
            "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
        }

    def check(self, **more):
        app = bootstrap.build(read_settings(self.settings | more))
        return {step.name: step for step in app.check().steps}


@pytest.fixture
def deployment(dicom, fhir_url, storage):
    with ExitStack() as stack:
        yield Deployment(stack, dicom.url, fhir_url, storage)


def states(steps):
    return {name: step.state.value for name, step in steps.items()}


def test_a_good_deployment(deployment, dicom, fhir_url):
    """All ok, but for tokens that nobody asked for; nothing is left in FHIR or in the tables."""
    dicom.store(dicom_file())
    before = requests.get(f"{fhir_url}/Endpoint", params={"_summary": "count"}, timeout=30).json()["total"]
    steps = deployment.check()
    found = states(steps)
    assert {name for name, state in found.items() if state != "ok"} == {
        "DICOM service: a token",
        "FHIR server: a token",
    }
    assert set(found.values()) == {"ok", "skipped"}
    assert "written, read, rolled back and removed" in steps["FHIR server: writes are allowed"].message
    assert steps["FHIR server: the Endpoint"].message == "not there yet: the first study makes it"
    assert "entries of a transaction with creates: 1 taken" in steps["FHIR server: what it is like"].message
    assert requests.get(f"{fhir_url}/Endpoint", params={"_summary": "count"}, timeout=30).json()["total"] == before


def test_the_endpoint_and_its_doubles(deployment, dicom, fhir_url):
    """The Endpoint that the sync made is named; where there are two of it the step fails, and names both."""
    dicom.store(dicom_file())
    bootstrap.build(read_settings(deployment.settings)).tick()
    name = f"DICOM WADO-RS endpoint {deployment.settings['DicomWeb__Endpoint']}"
    (made,) = search(fhir_url, "Endpoint", **{"name:exact": name})
    step = deployment.check()["FHIR server: the Endpoint"]
    assert (step.state.value, step.message) == ("ok", f"Endpoint/{made['id']} is the DICOM service's")
    double = requests.post(f"{fhir_url}/Endpoint", json={**made, "id": None}, timeout=30).json()
    step = deployment.check()["FHIR server: the Endpoint"]
    assert step.state.value == "failed"
    assert all(f"Endpoint/{one['id']}" in step.message for one in (made, double))
    assert "link to it what links to the others" in step.action


def refused(where, method, path):
    return lambda deployment: deployment.proxies[where].faults.append(Fault(method, path, times=99, status=403))


def clock_ahead(where):
    def plant(deployment):
        ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
        deployment.proxies[where].headers["Date"] = ahead

    return plant


def torn_feed(deployment):
    deployment.proxies["dicom"].rewrite = lambda _: b"<html>sign in</html>"


def watermark_ahead(deployment):
    at = Watermark(5000, "2026-01-01T00:00:00+00:00")
    app = bootstrap.build(read_settings(deployment.settings))
    app.ports.watermarks.write(StoredWatermark(at, None, at))


def feed_made_anew(deployment):
    """It has an entry of the watermark's number again, of a later time."""
    at = Watermark(1, "2020-01-01T00:00:00.0000001+00:00")
    app = bootstrap.build(read_settings(deployment.settings))
    app.ports.watermarks.write(StoredWatermark(at, None, at))


# what is broken, the step that fails, what it found, and what to do
BROKEN = [
    (refused("fhir", "POST", "/fhir"), "FHIR server: writes are allowed", "403 from .* the app sends no token; Fhir__Authentication__Enabled turns it on", "FHIR Data Writer"),
    (refused("fhir", "GET", "/fhir/Patient"), "FHIR server: searches are allowed", "403 from", "FHIR Data Writer"),
    (refused("tables", "GET|POST|PUT|PATCH|DELETE|MERGE", "/"), "storage: tables can be written", "403", "Storage Table Data Contributor"),
    (refused("blobs", "PUT|POST", "/"), "storage: the lease can be taken", "403", "Storage Blob Data Owner"),
    (refused("dicom", "GET", "/changefeed"), "DICOM service: the change feed can be read", "403 from", "DICOM Data Reader"),
    (clock_ahead("fhir"), "FHIR server: clock", "its clock and the app's are [23]\\d\\d s apart", "set both clocks by NTP"),
    (clock_ahead("dicom"), "DICOM service: clock", "s apart", "set both clocks by NTP"),
    (watermark_ahead, "DICOM service: the change feed reaches the watermark", "the change feed ends before the watermark: its latest entry is 1, the watermark stands at 5000", "docs/runbook.md"),
    (feed_made_anew, "DICOM service: the change feed reaches the watermark", "entry 1 of the change feed is younger than the watermark", "docs/runbook.md"),
    (torn_feed, "DICOM service: the change feed can be read", "no JSON at character 0", "DicomWeb__Endpoint"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "failed", "found", "action"), BROKEN, ids=[row[1] for row in BROKEN])
def test_what_is_broken_is_told(plant, failed, found, action, deployment, dicom):
    """That step alone, with what to do; that system's later ones are skipped, and the others are ok."""
    dicom.store(dicom_file())
    plant(deployment)
    steps = deployment.check()
    assert {name for name, step in steps.items() if step.state.value == "failed"} == {failed}
    assert re.search(found, steps[failed].message), steps[failed].message
    assert action in steps[failed].action
    system, later = failed.partition(":")[0], list(steps)[list(steps).index(failed) + 1 :]
    skipped = {name for name in later if name.startswith(system)}
    said = {name for name, step in steps.items() if step.message.startswith("not asked, as this failed")}
    assert said == skipped
    assert {step.action for name, step in steps.items() if name != failed} == {None}


def test_a_token_that_cannot_be_had(deployment):
    """The step of that service fails, and nothing else is asked of it."""
    kind = "Fhir__Authentication__OAuth2ClientCredential"
    steps = deployment.check(
        **{
            "Fhir__Authentication__Enabled": "true",
            "Fhir__Authentication__AuthenticationType": "OAuth2ClientCredential",
            f"{kind}__TokenUri": f"http://127.0.0.1:{free_port()}/token",
            f"{kind}__ClientId": "app",
            f"{kind}__ClientSecret": "the-client-secret",
        }
    )
    assert "no token from http://127.0.0.1" in steps["FHIR server: a token"].message
    assert states(steps)["FHIR server: searches are allowed"] == "skipped"
    assert "Fhir__Authentication__*" in steps["FHIR server: a token"].action
    assert "the-client-secret" not in repr(steps)


class OwnServer:
    """Endpoints in memory, by the FHIR requests of the check; `faults` are ways in which a server is no good."""

    def __init__(self, *faults):
        self.faults = faults
        self.held = {}
        self.deleted = []

    def app(self):
        routes = [
            ("/metadata", self.capabilities, "GET"),
            ("/", self.transact, "POST"),
            ("/{type}", self.search, "GET"),
            ("/{type}/{id}", self.read, "GET"),
        ]
        return Starlette(routes=[Route(path, answer, methods=[method]) for path, answer, method in routes])

    def capabilities(self, _):
        rest = [{"mode": "server", "interaction": [{"code": "transaction"}]}]
        return JSONResponse({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest})

    async def transact(self, request):
        entries = (await request.json())["entry"]
        stale = [entry for entry in entries if self.is_stale(entry["request"])]
        done = [self.apply(entry) for entry in entries if not stale or ("halves" in self.faults and entry not in stale)]
        status = 405 if "has no stale versions" in self.faults else 412
        return JSONResponse({"resourceType": "OperationOutcome"}, status) if stale else JSONResponse({"entry": done})

    def is_stale(self, request):
        held = self.held.get(request["url"])
        if "ifMatch" not in request or "takes stale versions" in self.faults:
            return False
        if held is None:
            return "makes it again" not in self.faults
        return request["ifMatch"] != f'W/"{held["meta"]["versionId"]}"'

    def apply(self, entry):
        request = entry["request"]
        url = request["url"] if request["method"] != "POST" else f"Endpoint/{len(self.held) + 1}"
        if request["method"] == "POST" and "finds what is deleted" in self.faults and self.deleted:
            return {"response": {"status": "200 OK", "location": f"{self.deleted[-1]}/_history/1"}}
        if request["method"] == "DELETE":
            self.deleted.append(url)
            if "keeps what is deleted" not in self.faults:
                self.held.pop(url)
            return {"response": {"status": "204"}}
        sent = entry["resource"]
        version = int(self.held[url]["meta"]["versionId"]) + 1 if url in self.held else 1
        meta = {} if "drops meta" in self.faults else sent["meta"]
        if request["method"] == "POST" or "forgets updates" not in self.faults:
            self.held[url] = {**sent, "id": url.split("/")[1], "meta": {**meta, "versionId": f"{version}"}}
        return {
            "response": {"status": "201 Created", "location": f"{url}/_history/{version}", "etag": f'W/"{version}"'}
        }

    def told(self, held):
        meta = {
            name: value
            for name, value in held["meta"].items()
            if name != "versionId" or "no versions" not in self.faults
        }
        return {**held, "meta": meta}

    def search(self, request):
        found = [one for one in self.held.values() if one["identifier"][0]["value"] in request.url.query]
        return JSONResponse(
            {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": self.told(one)} for one in found]}
        )

    def read(self, request):
        held = self.held.get(request.url.path.lstrip("/"))
        return JSONResponse(self.told(held)) if held else JSONResponse({"resourceType": "OperationOutcome"}, 404)


# how the server is no good; what the step says; how many Endpoints are left
NO_GOOD = [
    ("halves", "a refused transaction was written in part .* not all-or-nothing", 0),
    ("takes stale versions", "If-Match is not heeded", 0),
    ("has no stale versions", "was not judged .status 405.*is not shown", 0),
    ("drops meta", "keeps neither meta.source nor meta.tag", 0),
    ("no versions", "tells no versions", 0),
    ("forgets updates", "an update was answered as done and is not there", 0),
    ("finds what is deleted", "a conditional create finds what was deleted before", 0),
    ("keeps what is deleted", "its delete was taken, and it is there still", 1),
]


@pytest.mark.parametrize(("fault", "said", "left"), NO_GOOD, ids=[row[0] for row in NO_GOOD])
def test_a_server_whose_writes_are_no_good(deployment, fault, said, left):
    """The step of writes says what FHIR could not be kept true with; what it made is removed, or named."""
    server = OwnServer(fault)
    with running(server.app()) as where:
        step = deployment.check(Fhir__Endpoint=where.url)["FHIR server: writes are allowed"]
    assert (step.state.value, len(server.held)) == ("failed", left)
    assert re.search(said, step.message), step.message
    assert all(name in step.message for name in server.held)


def test_a_server_whose_writes_are_good(deployment):
    """The server of the test above without a fault: what it is told by is the fault alone. One trap is borne, and told."""
    for faults, said in (((), "is refused (412)"), (("makes it again",), "makes it again")):
        server = OwnServer(*faults)
        with running(server.app()) as where:
            step = deployment.check(Fhir__Endpoint=where.url)["FHIR server: writes are allowed"]
        assert (step.state.value, server.held) == ("ok", {}), step.message
        assert f"an update of what was deleted {said}" in step.message


def test_settings_that_are_at_fault_are_the_only_step(monkeypatch):
    """Nothing can be asked without them."""
    monkeypatch.delenv("DicomWeb__Endpoint", raising=False)
    bootstrap.app.cache_clear()
    (step,) = bootstrap.check().steps
    assert (step.name, step.state.value) == ("settings", "failed")
    assert "DicomWeb__Endpoint is missing" in step.message
