"""The dashboard while a part is down: it says so, nothing looks fresh that is not, and it comes back by itself."""

from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP
from threading import Event

import pytest

from tests.integration.faults.proxy import Fault, OnSocketError

pytest.importorskip("selenium", reason="make test-browser installs it")
FOR_LONG = 10**9


@contextmanager
def frozen(proxy):
    """It accepts connections and never answers; afterwards it breaks them, so that no tick waits for them any more."""
    thawed, answered = Event(), proxy.rewrite

    def never(_content):
        thawed.wait()
        raise OnSocketError(lambda _connection: None)

    proxy.rewrite = never
    try:
        yield
    finally:
        proxy.rewrite = answered
        thawed.set()


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
        board.awaited_text("check-result", "What to do", "steps failed", seconds=60)
        steps = {row[0]: row[1:] for row in board.rows("#check-result")}
        assert steps["FHIR server: R4 with transactions"][0] == "failed"
        assert "Fhir__Endpoint" in steps["FHIR server: R4 with transactions"][-1]
        assert {steps[f"FHIR server: {name}"][0] for name in ("searches are allowed", "clock")} == {"skipped"}
        board.is_well_made("check-failed")


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
