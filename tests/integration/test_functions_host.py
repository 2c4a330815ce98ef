"""The functions host for machines without Core Tools, as a process of its own."""

import json
import shutil
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import requests

from local.functions_host.http import paths_of
from local.functions_host.settings import HostError, read_app_settings, resolved
from local.functions_host.timer import Schedule
from local.processes import Program, Running, free_port, ready_at

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests/data/functions_host"
KEY = {"x-functions-key": "sesame"}


def host(folder, *, settings, app=APP, arguments=()):
    """The host's program for an app, and the URL it will serve."""
    path = folder / "local.settings.json"
    path.write_text(json.dumps({"IsEncrypted": False, "Values": settings}))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "local.functions_host", "--port", str(port), "--key", "sesame"]
    command += ["--app-root", str(app), "--settings", str(path), *arguments]
    return Program("host", command, ready_at(f"{url}/admin/host/status"), folder / "host.log", ROOT, {}), url


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    program, url = host(folder, settings={"GREETING": "hi", "SCHEDULE": "* * * * * *", "TICKS": str(folder / "ticks")})
    running = Running(program)
    try:
        running.await_ready()
        yield url, folder
    finally:
        running.stop()


@pytest.mark.parametrize("key", [{}, {"x-functions-key": "wrong"}])
def test_a_call_without_the_key_gets_401(served, key):
    """As in the cloud."""
    assert requests.get(f"{served[0]}/v0/echo/a", headers=key, timeout=10).status_code == 401


def test_a_call_becomes_an_http_request(served):
    """Method, route parameters, query, body, context, app settings; and the answer back."""
    url = f"{served[0]}/v0/echo/ada/7?x=1&code=sesame"
    answer = requests.post(url, data="text", timeout=10)
    assert (answer.status_code, answer.headers["x-own"], answer.headers["content-type"]) == (
        201,
        "1",
        "application/json; charset=utf-8",
    )
    assert answer.json() == {
        "method": "POST",
        "route": {"name": "ada", "number": "7"},
        "params": {"x": "1"},
        "body": "text",
        "function": "echo",
        "setting": "hi",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v0/echo/ada", 201),
        ("GET", "/v0/echo/ada/", 201),
        ("GET", "/v0/echo/ada/7/", 201),
        ("GET", "/v0/echo/ada/x", 404),
        ("PUT", "/v0/echo/ada", 405),
        ("GET", "/v0/open", 200),
        ("GET", "/v0/open/", 200),
        ("GET", "/v0/broken", 500),
        ("GET", "/v0/nothing", 404),
        ("GET", "/api/open", 404),
    ],
)
def test_routes(served, method, path, status):
    """Methods, optional parameters, constraints, the prefix of host.json; an exception is a 500 without its text.

    A slash at the end makes no difference, as in the cloud: it is not redirected.
    """
    answer = requests.request(method, served[0] + path, headers=KEY, timeout=10, allow_redirects=False)
    assert answer.status_code == status
    assert "on purpose" not in answer.text


def test_a_timer_fires_and_can_be_fired(served):
    """By its schedule from the app settings, and now over /admin."""
    ticks = served[1] / "ticks"
    assert requests.post(f"{served[0]}/admin/functions/tick", timeout=10).status_code == 401
    assert requests.post(f"{served[0]}/admin/functions/tick", headers=KEY, timeout=10).status_code == 202
    assert requests.post(f"{served[0]}/admin/functions/echo", headers=KEY, timeout=10).status_code == 404
    _await(lambda: ticks.exists() and len(ticks.read_text().splitlines()) >= 3)


def _await(reached):
    while not reached():
        pass


def test_the_log_reads_like_func_start(served):
    """Functions with their URLs, each call with its outcome; the traceback of a failure."""
    requests.get(f"{served[0]}/v0/broken", timeout=10)
    log = (served[1] / "host.log").read_text()
    assert f"echo: [GET,POST] {served[0]}/v0/echo/{{name}}/{{number:int?}}" in log
    assert "tick: timerTrigger * * * * * *" in log
    assert "Executed 'Functions.broken' (Failed" in log
    assert "ZeroDivisionError: on purpose" in log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tmp_path, number):
    """Exit code 0: what runs is finished first."""
    program, _ = host(tmp_path, settings={"GREETING": "", "SCHEDULE": "0 0 0 1 1 *", "TICKS": "x"})
    running = Running(program)
    running.await_ready()
    running.process.send_signal(number)
    assert running.process.wait(20) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GREETING": "hi", "TICKS": "x"}, "function tick: the app setting SCHEDULE is missing"),
        ({"SCHEDULE": "daily"}, "'daily' is not an NCRONTAB expression"),
    ],
)
def test_what_cannot_start_says_why(tmp_path, settings, said):
    """Exit code 1 and one message."""
    program, _ = host(tmp_path, settings=settings)
    ended = subprocess.run(program.command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert said in ended.stderr


def test_a_taken_port_is_named(served, tmp_path):
    """Not a traceback of bind()."""
    program, _ = host(tmp_path, settings={"SCHEDULE": "* * * * * *"})
    port = served[0].rpartition(":")[2]
    command = [*program.command, "--port", port]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, f"port {port} is taken" in ended.stderr) == (1, True)


def test_two_apps_are_one_too_many(tmp_path):
    """As the worker has it."""
    app = tmp_path / "app"
    shutil.copytree(APP, app)
    (app / "function_app.py").write_text(
        "import azure.functions as func\na = func.FunctionApp()\nb = func.FunctionApp()\n"
    )
    program, _ = host(tmp_path, settings={}, app=app)
    ended = subprocess.run(program.command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "exactly one FunctionApp is expected, 2 are there" in ended.stderr


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("*/10 * * * * *", "2024-05-06T07:08:01", "2024-05-06T07:08:10"),
        ("0 */5 * * * *", "2024-05-06T07:08:01", "2024-05-06T07:10:00"),
        ("30 9 * * *", "2024-05-06T07:08:01", "2024-05-06T09:30:00"),
        ("0 0 0 13 * 5", "2024-05-06T07:08:01", "2024-09-13T00:00:00"),  # a Friday the 13th: both fields are to fit
    ],
)
def test_schedules(expression, after, due):
    """NCRONTAB: six fields with seconds first, or five."""
    assert Schedule(expression, "f").next_after(datetime.fromisoformat(after)) == datetime.fromisoformat(due)


@pytest.mark.parametrize(
    "expression", ["@daily", "* * * * * 7", "0 0 0 L * *", "0 0 0 ? * *", "* * *", "61 * * * * *", ""]
)
def test_what_ncrontab_does_not_know(expression):
    """croniter knows more than the real host: an expression that works here must work there."""
    with pytest.raises(HostError):
        Schedule(expression, "function f")


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        ("/api/replay", ["/api/replay"]),
        ("/api/replay/{id}", ["/api/replay/{id}"]),
        ("/api/replay/{id:int}", ["/api/replay/{id:int}"]),
        ("/api/replay/{id:guid?}", ["/api/replay/{id:uuid}", "/api/replay"]),
        ("/api/{*rest}", ["/api/{rest:path}"]),
    ],
)
def test_route_templates(template, paths):
    """Azure's templates as Starlette's."""
    assert list(paths_of(template)) == paths


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "a JSON object is expected"),
        ('{"Values": []}', "an object `Values` is expected"),
        ('{"Values": {"A": 1, "B": "x"}}', "the value of A must be a string"),
    ],
)
def test_malformed_settings(tmp_path, text, said):
    """The file and the key are named."""
    path = tmp_path / "local.settings.json"
    path.write_text(text)
    with pytest.raises(HostError, match=said):
        read_app_settings(path)


def test_missing_settings(tmp_path):
    """File or value."""
    with pytest.raises(HostError, match="is not there"):
        read_app_settings(tmp_path / "none.json")
    with pytest.raises(HostError, match="function f: the app setting B is missing"):
        resolved("%A% %B%", {"A": "1"}, "function f")
