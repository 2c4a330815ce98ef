"""`python -m local check`: what the app answers, as a table."""

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.check import check
from local.processes import free_port
from tests.integration.dicom_service_client import running

ADVICE = f"403 from [::1]; {'give the app the role Storage Table Data Contributor, ' * 5}then wait"


def served(*steps):
    """An app whose self-check says so step by step, to who has the key."""

    def answer(request):
        if request.headers.get("x-functions-key") != "key":
            return JSONResponse({}, 401)
        number = int(request.query_params["step"])
        named = [dict(zip(("name", "state", "seconds", "message", "action"), step, strict=True)) for step in steps]
        more = {"step": number + 1, "name": steps[number][0]} if number < len(steps) else None
        return JSONResponse({"ok": True, "steps": named[number - 1 : number], "next": more})

    return running(Starlette(routes=[Route("/api/check", answer)]))


@pytest.mark.parametrize("columns", ["20", "200"])
def test_a_step_is_one_line_of_a_log(columns, capsys, monkeypatch):
    """Whole, as the app said it, whatever the width of the terminal that the pipe was made in."""
    monkeypatch.setenv("COLUMNS", columns)
    with served(("storage: tables", "failed", 0.25, "403", ADVICE), ("clock", "ok", 1, "two\nlines", None)) as app:
        assert check(app.url, "key") == 1
    lines = capsys.readouterr().out.splitlines()
    (failed,) = [line for line in lines if "storage: tables" in line]
    assert all(part in failed for part in ("failed", "0.25", ADVICE))
    (clock,) = [line for line in lines if "clock" in line]
    assert "two\\nlines" in clock


def test_all_is_well(capsys):
    """Exit code 0."""
    with served(("clock", "skipped", 0, "", None)) as app:
        assert check(app.url, "key") == 0
    assert "skipped" in capsys.readouterr().out


def test_what_hinders_the_check_is_one_line(capsys):
    """Exit code 1: an app that does not answer, a key that it does not take."""
    url = f"http://127.0.0.1:{free_port()}"
    assert check(url, "key") == 1
    assert capsys.readouterr().out == (
        f"nothing answers at {url}: start it with `make run`, or where that is up with"
        " `make start PART=functions`, or name another with --functions\n"
    )
    with served() as app:
        assert check(app.url, "another") == 1
    assert (
        capsys.readouterr().out == "401: the function key is missing or wrong; `make run` prints it, --key takes it\n"
    )


@pytest.mark.parametrize("answer", ["<html>", "[]", '{"detail": "Not Found"}', '{"steps": "none", "ok": true}'])
def test_another_server_is_a_sentence(answer, capsys):
    """A wrong URL leads to somebody: the DICOM service, a proxy's page."""
    routes = [Route("/api/check", lambda _: Response(answer, 404))]
    with running(Starlette(routes=routes)) as other:
        assert check(other.url, "key") == 1
    assert capsys.readouterr().out == (
        f"{other.url} answers 404 to /api/check, and not as this app does: is it the functions host?"
        " --functions names another\n"
    )
