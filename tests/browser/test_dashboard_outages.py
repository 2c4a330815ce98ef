"""The dashboard while a part is down: it says so, nothing looks fresh that is not, and it comes back by itself."""

from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP

import pytest
import requests

from tests.integration.faults.proxy import Fault, frozen

pytest.importorskip("selenium", reason="make test-browser installs it")
FOR_LONG = 10**9
ASK_HISTORY = "document.querySelector(`#hours [value='${arguments[0]}']`).click()"
"""It is read rarely by itself."""


@contextmanager
def stopped(api, part):
    """As a machine that hangs: the system takes connections in its place, and nobody answers."""
    process = api.stack._running[part].process
    process.send_signal(SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(SIGCONT)


@contextmanager
def ended(api, part):
    """As when the process is gone: nobody listens at its port. It keeps what it holds."""
    api.stack.end(part)
    try:
        yield
    finally:
        api.stack.start(part)


def health(api):
    """What is asked by who restarts apps, or wakes somebody."""
    answer = requests.get(f"{api.stack.functions_url}/api/health", timeout=30)
    return answer.status_code, answer.text


def test_the_fhir_server_is_down(board, api):
    """Named at the top; the light turns once no tick has ended well for HealthMaxAge, and back again by itself."""
    api.fhir.faults.append(Fault("GET|POST|PUT", "/fhir", times=FOR_LONG))
    api.store(200)
    board.awaited_text("state", "FHIR server")
    board.awaited_text("state", "Not syncing since", "FHIR server", "wait", "nothing is lost", "What to do: mend it")
    board.awaited_text("light", "Unhealthy: not syncing")
    assert health(api) == (503, "unhealthy")
    board.at_all_widths("fhir-down")
    api.fhir.faults.clear()
    board.awaited_text("light", "Healthy")
    board.awaited_text("lag-summary", "Ticks failed")
    board.awaited(lambda: board.tile("Lag") == "0 entries")


def test_the_fhir_server_is_frozen(board, api):
    """The tick at work waits for it, and that is said before the tick has failed."""
    with stopped(api, "fhir"):
        api.store(201, instances=1)
        board.awaited_text("state", "Not syncing since", "FHIR server: no answer", "the tick waits for it")
        board.awaited_text("state", "1 entry waits; nothing is lost", "What to do: mend it")
        board.awaited_text("light", "Unhealthy: not syncing")
        board.at_all_widths("fhir-frozen", is_judged=False)
    board.awaited_text("light", "Healthy")


def test_the_self_check_shows_each_step_as_it_ends(board, api):
    """While FHIR accepts connections and never answers, what is known already can be read; then its later steps are
    skipped, and what to do is said.
    """
    with frozen(api.fhir):
        board.press("Run the self-check")
        board.awaited_text("check-result", "Checking FHIR server: R4 with transactions …")
        shown = {row[0]: row[1] for row in board.rows("#check-result")}
        assert shown["storage: tables can be written"] == "ok"
        assert "FHIR server: R4 with transactions" not in shown
        said = board.awaited_text("check-result", "What to do", "steps failed", seconds=60)
        assert said.index("FHIR server: R4 with transactions: FHIR server: no answer") < said.index("settings")
        steps = {row[0]: row[1:] for row in board.rows("#check-result")}
        assert steps["FHIR server: R4 with transactions"][0] == "failed"
        assert "Fhir__Endpoint" in steps["FHIR server: R4 with transactions"][-1]
        assert {steps[f"FHIR server: {name}"][0] for name in ("searches are allowed", "clock")} == {"skipped"}
        board.at_all_widths("check-failed")


def test_the_dicom_service_is_frozen(board, api):
    """How many entries wait nobody knows then; what did when it was last asked is said, and as what."""
    with stopped(api, "dicom"):
        board.awaited_text(
            "state", "Not syncing since", "DICOM service: no answer", "the tick waits for it", "What to do: mend it"
        )
        assert "waited when the last tick ended; nothing is lost" in board.text("state")
        board.awaited_text("light", "Unhealthy: not syncing")
        assert health(api) == (503, "unhealthy")
        board.at_all_widths("dicom-frozen", is_judged=False)
    board.awaited_text("light", "Healthy")


def test_the_dicom_service_is_down(board, api):
    """What refuses connections is named with its URL."""
    with ended(api, "dicom"):
        board.awaited_text("state", "Not syncing since", "DICOM service: http://127.0.0.1:", "nothing is lost")
        board.awaited_text("state", "What to do: mend it")
        board.awaited_text("light", "Unhealthy: not syncing")
        board.at_all_widths("dicom-down", is_judged=False)
    board.awaited_text("light", "Healthy")


def test_storage_is_down(board, api):
    """As above, and which setting its URL comes from."""
    with ended(api, "azurite"):
        board.awaited_text("state", "Not syncing: storage: http://127.0.0.1:", "nothing is lost")
        board.awaited_text("state", "What to do: see to AzureWebJobsStorage")
        board.awaited_text("light", "Unhealthy: not syncing")
        board.at_all_widths("storage-down", is_judged=False)
    board.awaited_text("light", "Healthy")


def test_storage_is_frozen(board, api):
    """Nothing is known but that: its URL, and which setting it comes from."""
    with stopped(api, "azurite"):
        board.awaited_text("state", "Not syncing: storage: ", "nothing is lost", "see to AzureWebJobsStorage")
        board.awaited_text("state", "storage: http://127.0.0.1:", "does not answer; how many entries wait is not known")
        board.awaited_text("light", "Unhealthy: not syncing")
        assert health(api) == (503, "unhealthy")
        board.at_all_widths("storage-frozen")
    board.awaited_text("light", "Healthy")


def test_the_sync_is_behind(board, api):
    """FHIR is up, and takes nothing of what waits: no outage, and not healthy."""
    api.fhir.faults.append(Fault("POST|PUT", "/fhir", times=FOR_LONG, status=500, body=b"1.2.77"))
    api.store(*range(770, 774), instances=1)
    board.awaited_text("state", "Behind since", "ticks end, but nothing was written to FHIR", "4 entries wait")
    assert "nothing is lost" in board.text("state")
    assert "What to do: GET /api/check says what is wrong" in board.text("state")
    assert board.tile("Last tick").startswith(("carried\n", "idle\n")), "not `synced`"
    assert board.driver.find_element("css selector", "#carried a[href$='uid=1.2.770']")
    board.awaited_text("light", "Unhealthy: behind")
    assert health(api) == (503, "unhealthy")
    board.at_all_widths("behind")
    api.fhir.faults.clear()
    board.awaited_text("light", "Healthy")


def test_storage_answers_500(board, api):
    """What cannot be known is said to be unknown, and each part says since when it was not read."""
    api.tables.faults.append(Fault("GET|POST|PUT|PATCH|MERGE|DELETE", "/", times=FOR_LONG, status=500))
    board.awaited_text(
        "state", "Not syncing", "storage: http://127.0.0.1:", "answered 500", "What to do: see to AzureWebJobsStorage"
    )
    board.awaited(lambda: board.tile("Watermark") == "unknown")
    board.script(ASK_HISTORY, "3")
    for part in ("history", "reasons", "replays"):
        board.awaited_text(f"{part}-freshness", "Not read since")
    board.at_all_widths("storage-500", is_judged=False)
    api.tables.faults.clear()
    board.awaited(lambda: board.tile("Watermark") != "unknown")
    board.script(ASK_HISTORY, "1")
    for part in ("history", "reasons", "replays"):
        board.awaited_text(f"{part}-freshness", "as of")


def test_the_app_is_gone(board, api):
    """No number looks fresh that is not."""
    board.awaited_text("light", "Healthy")
    api.stack.kill("functions")
    try:
        said = board.awaited_text("light", "No answer since")
        assert board.text("banner") == said
        assert board.text("updated").startswith("what is shown is of ")
        assert "old" in board.by_id("board").get_attribute("class")
        board.at_all_widths("app-gone")
    finally:
        api.stack.start("functions")
    board.awaited_text("light", "Healthy")
    assert not board.by_id("banner").is_displayed()
    assert "old" not in board.by_id("board").get_attribute("class")


def test_the_app_hangs(board, api):
    """As a machine that slept: before the request runs out of time the light is no longer green."""
    board.awaited_text("light", "Healthy")
    host = api.stack._running["functions"].process
    host.send_signal(SIGSTOP)
    try:
        board.awaited_text("light", "Last heard at")
        assert "old" in board.by_id("board").get_attribute("class")
        board.awaited_text("light", "No answer since")
    finally:
        host.send_signal(SIGCONT)
    board.awaited_text("light", "Healthy")
