"""The status, the health and the history, on the whole stack, with parts of it broken."""

import time
from pathlib import Path

import pytest
import requests


def test_the_status_of_a_fresh_system(own_api):
    """Nothing yet is not an error."""
    status = own_api.get("/status").json()
    assert (status["watermark"], status["latest"]) == ({"sequence": 0, "timestamp": None},) * 2
    assert (status["lag"], status["faults"], status["carried"]) == ({"entries": 0, "seconds": 0.0}, [], [])


def test_no_secret_and_no_patient_in_any_answer(api):
    """Settings are told, secrets are not; patients are in FHIR alone."""
    api.store(30, PatientID="Plantagenet-30", PatientName="Plantagenet^Geoffrey", PatientSex="X")
    api.store(31, PatientID="Plantagenet-31", Modality="pl")
    api.drained()
    api.replayed({"errors": "all", "dryRun": True})
    paths = ["/status", "/status?format=prometheus", "/history", "/replay", "/check"]
    paths += [f"/errors/{table}?open=false" for table in api.get("/status").json()["errors"]["open"]]
    said = "".join(api.get(path).text for path in paths)
    assert "30.1.1" in said
    assert "Plantagenet" not in said
    assert "Eby8vdM0" not in said, "the key of the storage account"
    assert api.get("/status").json()["settings"]["AzureWebJobsStorage"] == "***"
    log = (Path(api.stack.options.directory) / "functions.log").read_text()
    assert "Plantagenet" not in log


def test_the_status_tells_what_the_fhir_server_does(own_api):
    """Nothing is known of it but what a tick saw: before the first study a transaction's size is not seen yet."""
    before = own_api.get("/status").json()["fhirServer"]
    assert before["entries of a transaction with creates"] == "not seen yet"
    own_api.store(1)
    own_api.drained()
    after = own_api.get("/status").json()["fhirServer"]
    assert after["FHIR version"].startswith("4.0.")
    assert after["entries of a transaction with creates"].endswith(" taken, none was too many")
    assert before.keys() == after.keys()


def test_metrics(api):
    """Prometheus' own content type is plain text."""
    answer = api.get("/status?format=prometheus")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "\ndicom_cast_lag_entries " in answer.text


@pytest.mark.parametrize(
    ("part", "fault"), [("fhir", "FHIR server"), ("dicom", "DICOM service"), ("azurite", "storage")]
)
def test_the_status_answers_while_a_part_is_down(own_api, part, fault):
    """Within 2 s, and says which."""
    own_api.store(1)
    own_api.drained()
    own_api.stack.kill(part)
    began = time.monotonic()
    answer = own_api.get("/status")
    assert time.monotonic() - began < 2.0
    status = answer.json()
    assert answer.status_code == 200
    assert any(one.startswith(fault) for one in status["faults"])
    assert status["latest"] is None if part == "dicom" else status["latest"]["sequence"] == 2
    assert status["watermark"] is None if part == "azurite" else status["watermark"]["sequence"] == 2


def test_health_is_proven_by_ticks(own_api):
    """Anonymous, one word; 503 once work could not be done for HealthMaxAge, 200 again when it is."""

    def health():
        return requests.get(f"{own_api.stack.functions_url}/api/health", timeout=30)

    own_api.awaited(lambda _: health().status_code == 200)
    assert health().text == "healthy"
    own_api.stack.kill("fhir")
    own_api.store(1)
    own_api.awaited(lambda _: health().status_code == 503)
    assert health().text == "unhealthy"
    own_api.stack.start("fhir")
    own_api.awaited(lambda _: health().status_code == 200)


def test_the_history_is_kept(api):
    """Slots of five minutes with what was done in them."""
    api.store(40)
    api.drained()
    slots = api.get("/history?hours=1").json()["slots"]
    assert sum(slot["entries"] for slot in slots) >= 2
    assert all(slot["ticks"] for slot in slots)


@pytest.mark.parametrize("path", ["/history?hours=0", "/history?hours=x", "/status?format=xml", "/errors/DicomFailToStoreExceptionTable?after=x", "/errors/DicomFailToStoreExceptionTable?size=201&open=maybe"])  # fmt: skip
def test_a_bad_parameter_is_named(api, path):
    """400 and a problem."""
    answer = api.get(path)
    assert answer.status_code == 400
    assert answer.json()["errors"]


def test_the_page_with_a_slash_at_its_end(api):
    """Its files are named as seen from the page without one: it is sent there."""
    answer = requests.get(f"{api.stack.functions_url}/api/dashboard/?code=x", timeout=30)
    assert answer.status_code == 200
    assert answer.url == f"{api.stack.functions_url}/api/dashboard"
    assert [one.status_code for one in answer.history] == [308]


def test_every_data_route_wants_the_key(api):
    """The page, the health and the description are open; they hold no data."""
    url = f"{api.stack.functions_url}/api"
    for path in ("/status", "/history", "/errors/x", "/replay", "/replay/0", "/check"):
        assert requests.get(url + path, timeout=30).status_code == 401, path
    assert requests.post(f"{url}/replay", json={"errors": "all"}, timeout=30).status_code == 401
    assert requests.delete(f"{url}/replay/0", timeout=30).status_code == 401
    for path in ("/dashboard", "/openapi.yaml"):
        assert requests.get(url + path, timeout=30).status_code == 200, path
