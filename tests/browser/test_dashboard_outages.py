"""The dashboard while a part is down: it says so, nothing looks fresh that is not, and it comes back by itself."""

from signal import SIGCONT, SIGSTOP

import pytest

from tests.integration.faults.proxy import Fault

pytest.importorskip("selenium", reason="make test-browser installs it")
FOR_LONG = 10**9


def test_the_fhir_server_is_down(board, api):
    """Named at the top; the light turns once no tick has ended well for HealthMaxAge, and back again by itself."""
    api.fhir.faults.append(Fault("GET|POST|PUT", "/fhir", times=FOR_LONG))
    api.store(200)
    board.awaited_text("state", "FHIR server")
    board.awaited_text("state", "Not syncing since", "FHIR server", "wait", "nothing is lost", "What to do: mend it")
    board.awaited_text("light", "Unhealthy: not syncing")
    board.is_well_made("fhir-down")
    api.fhir.faults.clear()
    board.awaited_text("light", "Healthy")
    board.awaited_text("lag-summary", "Ticks failed")
    board.awaited(lambda: board.tile("Lag") == "0 entries")


def test_storage_answers_500(board, api):
    """What cannot be known is said to be unknown, and each part says since when it was not read."""
    api.tables.faults.append(Fault("GET|POST|PUT|PATCH|MERGE|DELETE", "/", times=FOR_LONG, status=500))
    board.awaited_text(
        "state", "Not syncing", "storage: http://127.0.0.1:", "answered 500", "What to do: see to AzureWebJobsStorage"
    )
    board.awaited(lambda: board.tile("Watermark") == "unknown")
    for part in ("history", "reasons", "replays"):
        board.awaited_text(f"{part}-freshness", "Not read since")
    board.is_well_made("storage-500")
    api.tables.faults.clear()
    board.awaited(lambda: board.tile("Watermark") != "unknown")
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
        board.is_well_made("app-gone")
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
