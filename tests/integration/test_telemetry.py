"""What the whole stack tells Application Insights of real syncs: all that it should, and nothing of a patient."""

import time
from pathlib import Path

import pytest

from local.stack import PortNumbers, Stack, StackOptions
from tests.integration.api.conftest import SETTINGS, Api
from tests.integration.dicom_service_client import running
from tests.integration.ingestion_endpoint import IngestionEndpoint

PATIENT = {"PatientID": "ZQ-7731-X", "PatientName": "Quillfeather^Zebedee", "PatientBirthDate": "19510309"}
PLANTED = ("ZQ-7731-X", "Quillfeather", "Zebedee", "19510309", "1951-03-09")
STUDY = "1.2.901"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The endpoint, when a stack has synced a study, met an invalid tag, replayed, lost its FHIR server, and ended."""
    endpoint = IngestionEndpoint()
    directory = tmp_path_factory.mktemp("telemetry")
    with running(endpoint.app) as client:
        endpoint.url = client.url
        options = StackOptions(PortNumbers.free(), directory, settings=SETTINGS | endpoint.settings)
        with Stack(options) as stack:
            api = Api(stack)
            api.store(901, **PATIENT)
            api.drained()
            api.store(902, PatientSex="Q", **PATIENT)
            api.drained()
            api.replayed({"study": STUDY})
            stack.kill("fhir")
            api.store(903, **PATIENT)
            api.awaited(lambda status: status["lastTick"]["outcome"] == "failed")
            time.sleep(1)
        endpoint.log = (Path(directory) / "functions.log").read_text()
        yield endpoint


def spans(told, name):
    return [one for one in told.items("RemoteDependencyData") if one["name"] == name]


def test_nothing_of_a_patient_is_told(told):
    """Neither by spans, metrics and log lines nor by live metrics; yet the patient was read and written all the while."""
    assert spans(told, "POST /fhir/")
    everything = "\n".join(told.bodies)
    assert STUDY in everything
    assert not [value for value in PLANTED if value.lower() in everything.lower()]
    assert not [value for value in PLANTED if value.lower() in told.log.lower()]


def test_only_the_apps_own_spans_are_told(told):
    """What the distro's instrumentations would record has no place there: neither HTTP libraries nor storage."""
    names = {one["name"] for one in told.items("RemoteDependencyData")}
    assert names == {
        "tick",
        "study",
        "GET /fhir/metadata",
        "GET /fhir/Endpoint",
        "GET /fhir/ServiceRequest",
        "POST /fhir/",
        "GET /v1/changefeed",
        "GET /v1/changefeed/latest",
        "GET /v1/studies/*/metadata",
    }
    assert not told.items("RequestData")
    assert not [one for one in told.items("RemoteDependencyData") if "?" in one.get("data", "")]


def test_a_tick_is_a_trace(told):
    """A call is part of a study's try, that of the tick; the log lines belong to it too."""
    ticks = {one["ai.operation.id"]: one for one in spans(told, "tick")}
    study = spans(told, "study")[0]
    tick = ticks[study["ai.operation.id"]]
    assert (tick["properties"], tick["success"]) == ({"Outcome": "synced"}, True)
    assert study["ai.operation.parentId"] == tick["id"]
    assert spans(told, "POST /fhir/")[0]["ai.operation.parentId"] == study["id"]
    line = next(one for one in told.items("MessageData") if one["message"].startswith("tick synced"))
    assert line["ai.operation.id"] == study["ai.operation.id"]
    assert {one["success"] for one in ticks.values() if one["properties"]["Outcome"] == "failed"} == {False}


def test_a_study_is_a_span(told):
    """With its UID, the entries it had, whether it was written and how many failed."""
    first = next(one for one in spans(told, "study") if one["properties"]["StudyInstanceUID"] == STUDY)
    assert first["properties"] == {"StudyInstanceUID": STUDY, "Entries": "2", "Wrote": "True", "Failed": "0"}
    assert first["success"]
    lost = next(one for one in spans(told, "study") if one["properties"]["StudyInstanceUID"] == "1.2.903")
    assert (lost["success"], lost["properties"]["Error"]) == (False, "OutageError")


def test_a_call_is_a_span(told):
    """Method, status and what was called; that it failed."""
    transaction = spans(told, "POST /fhir/")[0]
    assert (transaction["resultCode"], transaction["success"], transaction["type"]) == ("200", True, "HTTP")
    assert transaction["data"].endswith("/fhir/")
    broken = [one for one in spans(told, "POST /fhir/") if not one["success"]]
    assert broken[0]["properties"] == {"System": "FHIR server", "Route": "/", "Error": "ConnectionError"}


def test_a_tick_is_counted(told):
    """By outcome, with what it did, as the status has it."""
    assert {point["properties"]["Outcome"] for point in told.metrics("dicom_cast.ticks")} >= {
        "synced",
        "idle",
        "failed",
    }
    fates = {}
    for point in told.metrics("dicom_cast.entries"):
        fate = point["properties"]["Fate"]
        fates[fate] = fates.get(fate, 0) + point["value"]
    assert fates == {"written": 4, "unchanged": 0, "failed": 0}
    (rows,) = [point for point in told.metrics("dicom_cast.error_rows") if point["value"]]
    assert (rows["properties"]["Table"], rows["value"]) == ("InvalidDicomTagExceptionTable", 1)
    assert sum(point["count"] for point in told.metrics("dicom_cast.tick.duration")) > 2
    assert told.metrics("dicom_cast.lag.entries")[-1]["value"] == 2
    assert told.metrics("dicom_cast.lag.seconds")[-1]["value"] > 0
    assert {point["value"] for point in told.metrics("dicom_cast.carried")} == {0}
    (replay,) = [point for point in told.metrics("dicom_cast.replays") if point["value"]]
    assert (replay["properties"]["State"], replay["value"]) == ("done", 1)


def test_calls_are_counted(told):
    """By system, method, route and status."""
    answered = {tuple(one["properties"].values()) for one in told.metrics("dicom_cast.call.duration")}
    assert ("FHIR server", "POST", "/", "200") in answered
    assert ("DICOM service", "GET", "/v1/changefeed/latest", "200") in answered
    assert ("FHIR server", "POST", "/", "none") in answered


def test_a_log_line_has_its_dimensions(told):
    """The tick's, and a failed entry's: a query needs no parsing."""
    lines = told.items("MessageData")
    tick = next(one["properties"] for one in lines if one["message"].startswith("tick synced"))
    assert (tick["Outcome"], tick["Entries"], tick["Written"], tick["LagEntries"]) == ("synced", "2", "2", "0")
    row = next(one["properties"] for one in lines if one["properties"].get("Table"))
    assert (row["Table"], row["StudyInstanceUID"]) == ("InvalidDicomTagExceptionTable", "1.2.902")


def test_lines_of_the_storage_sdk_are_not_told(told):
    """Each of its requests would be a line; what telemetry says of its own before the app is there is not the app's."""
    lines = [one["message"] for one in told.items("MessageData")]
    ticks = [number for number, line in enumerate(lines) if line.startswith("tick")]
    assert not [line for line in lines[ticks[0] :] if line.startswith(("Request URL", "Response status"))]
