"""Servers that are not what the contract says: named clearly, the watermark unmoved."""

import logging
from uuid import uuid4

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from local.processes import free_port
from shared import bootstrap
from shared.model.outcome import Outcome
from shared.model.watermark import Watermark
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import running

ENTRY = {
    "Sequence": 1,
    "StudyInstanceUid": "1.2",
    "SeriesInstanceUid": "1.3",
    "SopInstanceUid": "1.4",
    "Action": "create",
    "State": "current",
    "Timestamp": "2024-05-06T07:08:09+00:00",
}


def serving(answers):
    """An app that gives one answer per path, and counts the requests."""
    asked = []

    def answer(request):
        asked.append(request.url.path)
        return answers.get(request.url.path, Response(status_code=404))

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    return app, asked


def build(storage, dicom_url, fhir_url):
    return bootstrap.build(
        read_settings(
            {
                "AzureWebJobsStorage": storage,
                "DicomWeb__Endpoint": dicom_url,
                "Fhir__Endpoint": fhir_url,
                "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
            }
        )
    )


def capability(version="4.0.1", interactions=("transaction",), kind="CapabilityStatement"):
    rest = [{"mode": "server", "interaction": [{"code": code} for code in interactions]}]
    return JSONResponse({"resourceType": kind, "fhirVersion": version, "rest": rest})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (capability(version="4.3.0"), "is not a FHIR R4 server (fhirVersion 4.3.0)"),
        (capability(version="5.0.0"), "is not a FHIR R4 server"),
        (capability(interactions=("batch",)), "does not support transactions"),
        (capability(kind="Bundle"), "is not a FHIR R4 server"),
        (PlainTextResponse("welcome"), "no JSON at character 0"),
        (Response(status_code=401), "401 from"),
    ],
)
def test_an_unfit_fhir_server(storage, answer, said):
    """One clear error, which names the server once; the feed is not read."""
    dicom_app, asked = serving({})
    fhir_app, _ = serving({"/metadata": answer})
    with running(fhir_app) as fhir, running(dicom_app) as dicom:
        app = build(storage, dicom.url, fhir.url)
        record = app.tick()
    assert record.outcome is Outcome.FAILED
    assert said in record.error
    assert record.error.count("FHIR server: ") == 1
    assert set(asked) <= {"/v1/changefeed/latest"}, "how far behind is told; nothing is read"


FEEDS = [
    ("no JSON", PlainTextResponse("<html>"), "no JSON at character 0 of 6 bytes (text/plain; charset=utf-8)"),
    ("torn JSON", Response('[{"Sequence": 1, "Stu', media_type="application/json"), "no JSON at character"),
    ("no array", JSONResponse({"value": []}), "not a JSON array"),
    ("no object", JSONResponse([1]), "a change feed entry is not a JSON object"),
    ("no sequence", JSONResponse([{}]), "Sequence is not a positive whole number"),
    ("no action", JSONResponse([ENTRY | {"Action": None}]), "entry 1: Action is missing"),
    ("not found", Response(status_code=404), "status 404"),
    ("server error", Response(status_code=500), "500 from"),
    ("too many", Response(status_code=429, headers={"Retry-After": "7"}), "429 from"),
    ("forbidden", Response(status_code=403), "403 from"),
]


@pytest.mark.parametrize(("name", "answer", "said"), FEEDS, ids=[row[0] for row in FEEDS])
def test_a_feed_that_is_not_the_contracts(storage, fhir_url, name, answer, said, caplog):
    """URL and fault are named, in the record and the log; the watermark does not move, nothing of the body is told."""
    caplog.set_level(logging.INFO)
    app_, _ = serving({"/v1/changefeed/latest": JSONResponse(ENTRY), "/v1/changefeed": answer})
    with running(app_) as dicom:
        app = build(storage, dicom.url, fhir_url)
        record = app.tick()
        assert app.ports.watermarks.read().watermark == Watermark()
    assert record.outcome is Outcome.FAILED
    assert dicom.url in record.error
    assert said in record.error
    assert record.error.partition(": ")[2] in caplog.text
    assert "<html>" not in caplog.text


def test_servers_that_are_not_there(storage, fhir_url):
    """Named by what they are and where they should be."""
    nobody = f"http://127.0.0.1:{free_port()}"
    assert f"DICOM service: {nobody} is not reachable" in build(storage, nobody, fhir_url).tick().error
    assert f"FHIR server: {nobody} is not reachable" in build(storage, nobody, nobody).tick().error


def test_the_status_answers_without_the_dicom_service(storage, fhir_url):
    """And says what is down."""
    nobody = f"http://127.0.0.1:{free_port()}"
    said = build(storage, nobody, fhir_url).status()
    assert said.faults == [f"DICOM service: {nobody} is not reachable"]
