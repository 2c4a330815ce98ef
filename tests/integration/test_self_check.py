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

from local.processes import free_port
from shared import bootstrap
from shared.config import read_settings
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
    found = states(deployment.check())
    assert {name for name, state in found.items() if state != "ok"} == {
        "DICOM service: a token",
        "FHIR server: a token",
    }
    assert set(found.values()) == {"ok", "skipped"}
    assert requests.get(f"{fhir_url}/Endpoint", params={"_summary": "count"}, timeout=30).json()["total"] == before


def refused(where, method, path):
    return lambda deployment: deployment.proxies[where].faults.append(Fault(method, path, times=99, status=403))


def clock_ahead(where):
    def plant(deployment):
        ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
        deployment.proxies[where].headers["Date"] = ahead

    return plant


def torn_feed(deployment):
    deployment.proxies["dicom"].rewrite = lambda _: b"<html>sign in</html>"


# what is broken, the steps that fail, and what they say
BROKEN = [
    (refused("fhir", "POST", "/fhir"), {"FHIR server: writes are allowed": "403 from .* the app sends no token; Fhir__Authentication__Enabled turns it on"}),
    (refused("fhir", "GET", "/fhir/Patient"), {"FHIR server: searches are allowed": "403 from"}),
    (refused("tables", "GET|POST|PUT|PATCH|DELETE|MERGE", "/"), {"storage: tables can be written": "403; give the app's identity the role Storage Table Data Contributor"}),
    (refused("blobs", "PUT|POST", "/"), {"storage: the lease can be taken": "403; give the app's identity the role Storage Blob Data Owner"}),
    (refused("dicom", "GET", "/changefeed"), {"DICOM service: the change feed can be read": "403 from", "DICOM service: clock": "403 from"}),
    (clock_ahead("fhir"), {"FHIR server: clock": "its clock and the app's are [23]\\d\\d s apart: set them by NTP"}),
    (clock_ahead("dicom"), {"DICOM service: clock": "set them by NTP"}),
    (torn_feed, {"DICOM service: the change feed can be read": "no JSON at character 0"}),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "failed"), BROKEN, ids=[next(iter(row[1])) for row in BROKEN])
def test_what_is_broken_is_told(plant, failed, deployment, dicom):
    """That step, and what depends on it, with what to do; the others are ok."""
    dicom.store(dicom_file())
    plant(deployment)
    steps = deployment.check()
    assert {name for name, step in steps.items() if step.state.value == "failed"} == set(failed)
    for name, said in failed.items():
        assert re.search(said, steps[name].message), steps[name].message


def test_a_token_that_cannot_be_had(deployment):
    """The step of that service fails, and so do its requests."""
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
    assert states(steps)["FHIR server: searches are allowed"] == "failed"
    assert "the-client-secret" not in repr(steps)


def test_a_server_whose_transactions_are_not_all_or_nothing(deployment):
    """It refuses the bundle, and has written the first half of it: FHIR could not be kept true."""
    kept = []

    async def transact(request):
        kept.append((await request.json())["entry"][0]["resource"])
        return JSONResponse({"resourceType": "OperationOutcome"}, 412)

    def search(request):
        found = [{"resource": one} for one in kept if one["name"] == request.query_params.get("name:exact")]
        return JSONResponse({"resourceType": "Bundle", "entry": found})

    app = Starlette(routes=[Route("/", transact, methods=["POST"]), Route("/{type}", search)])
    with running(app) as server:
        steps = deployment.check(Fhir__Endpoint=server.url)
    assert "not all-or-nothing" in steps["FHIR server: writes are allowed"].message


def test_settings_that_are_at_fault_are_the_only_step(monkeypatch):
    """Nothing can be asked without them."""
    monkeypatch.delenv("DicomWeb__Endpoint", raising=False)
    bootstrap.app.cache_clear()
    (step,) = bootstrap.check().steps
    assert (step.name, step.state.value) == ("settings", "failed")
    assert "DicomWeb__Endpoint is missing" in step.message
