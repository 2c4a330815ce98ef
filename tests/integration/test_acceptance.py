"""`python -m local acceptance`: it says that all holds where it does, names what does not, and leaves nothing behind."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
import requests

from local.acceptance import command
from local.acceptance.ledger import FILE
from local.acceptance.paging import next_link_shape
from local.acceptance.sizes import WHOLE, Sizes
from local.processes import StackError
from local.stack import ROOT, PortNumbers, Stack, StackOptions

SMALL = Sizes(real_studies=3, ct_instances=6, dose_events=25, studies_for_two_hosts=4)
TYPES = ("Patient", "Endpoint", "ImagingStudy", "Observation", "Basic")
OTHER_WRITER = "what another system writes between the app's read and its write is kept"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The base URL of a FHIR server of these tests' own, which holds a Patient and an Endpoint of others."""
    stack = Stack(StackOptions(PortNumbers.free(), tmp_path_factory.mktemp("fhir")))
    try:
        stack.start("fhir")
        patient = {"resourceType": "Patient", "identifier": [{"value": "somebody"}]}
        requests.post(f"{stack.fhir_url}/Patient", json=patient, timeout=30).raise_for_status()
        yield stack.fhir_url
    finally:
        stack.stop()


def run(tmp_path, capsys, *words, sizes=SMALL):
    """Exit code, output and what stands beside it."""
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers(dest="command"))
    code = command.accept(parser.parse_args(["acceptance", *words]), tmp_path, sizes)
    told = capsys.readouterr()
    return code, told.out, told.err


def held(base):
    """`Type/id/version` of all that the server holds."""
    bundles = [requests.get(f"{base}/{one}", params={"_count": "1000"}, timeout=60).json() for one in TYPES]
    found = [entry["resource"] for bundle in bundles for entry in bundle.get("entry", [])]
    return sorted(f"{one['resourceType']}/{one['id']}/{one['meta']['versionId']}" for one in found)


def broken(document):
    return [one["promise"] for one in document["promises"] if one["verdict"] != "held"]


def test_all_holds_on_the_local_server(server, tmp_path, capsys):
    """The whole life cycle: exit code 0, each promise held, the server as it was; no PatientID is printed."""
    before = held(server)
    code, out, err = run(tmp_path, capsys, "--fhir", server, "--yes", "--json", sizes=WHOLE)
    document = json.loads(out)
    assert broken(document) == []
    assert (code, document["ok"], document["left"]) == (0, True, {})
    assert len(document["promises"]) == 19
    assert held(server) == before
    told = document["server"]
    assert told["software"].startswith("SEKMET")
    assert told["stale If-Match"] == "412, refused"
    assert told["stale If-Match on DELETE"] == "200, ignored: it was deleted"
    assert told["conditional create, two at once"].startswith("a lock")
    assert told["page size"] == "20"
    (noted,) = tmp_path.glob(f"*/{FILE}")
    patient_ids = [json.loads(line).get("patients") for line in noted.read_text().splitlines()]
    assert not [one for one in patient_ids if one and one in out + err]


def test_nothing_is_written_without_yes(server, tmp_path, capsys):
    """Exit code 2; URL and software are printed, and neither the server nor the folder of runs has anything new."""
    before = held(server)
    code, out, err = run(tmp_path, capsys, "--fhir", server)
    assert code == 2
    assert server in out
    assert "SEKMET" in out
    assert "--yes" in err
    assert held(server) == before
    assert list(tmp_path.iterdir()) == []


def without_if_match(bundle):
    for entry in bundle["entry"]:
        entry["request"].pop("ifMatch", None)


def without_descriptions(bundle):
    """What an update says of a study's description is lost, though the answer is that of a good update."""
    for entry in bundle["entry"]:
        if entry["request"]["method"] == "PUT" and entry["resource"]["resourceType"] == "ImagingStudy":
            entry["resource"].pop("description", None)
            entry["resource"].pop("note", None)


@pytest.mark.parametrize(
    ("edit", "promise", "seen"),
    [
        (without_if_match, OTHER_WRITER, "is lost: extension, identifier, note"),
        (without_descriptions, "an update of tags reaches FHIR", "does not have the new StudyDescription"),
    ],
)
def test_a_server_that_loses_writes_is_told_of(server, tmp_path, capsys, edit, promise, seen):
    """The promise that it breaks is named, the exit code is 1, and all is removed all the same."""
    before = held(server)
    with edited(server, edit) as url:
        code, out, _ = run(tmp_path, capsys, "--fhir", url, "--yes", "--json")
    document = json.loads(out)
    told = {one["promise"]: one for one in document["promises"]}
    assert (code, document["ok"]) == (1, False)
    assert told[promise]["verdict"] == "broken"
    assert seen in told[promise]["seen"]
    assert told["what DICOM holds is in FHIR"]["verdict"] == "held"
    assert held(server) == before


def refused_on_delete(server, kind):
    """A server that keeps all resources of a type."""

    def answer(method, path):
        return 409 if method == "DELETE" and f"/{kind}/" in path else None

    return edited(server, lambda bundle: None, answer)


def test_what_cannot_be_removed_is_named_and_can_be_removed_later(server, tmp_path, capsys):
    """Each id with the server's answer, the exit code 1; `--clean` removes it when the server lets it."""
    before = held(server)
    with refused_on_delete(server, "Endpoint") as url:
        code, out, err = run(tmp_path, capsys, "--fhir", url, "--yes", "--json")
        document = json.loads(out)
        assert code == 1
        assert document["left"]
        assert all(one.startswith("Endpoint/") and "409" in why for one, why in document["left"].items())
        assert f"--clean {document['run']}" in err
        assert sorted(one.rpartition("/")[0] for one in set(held(server)) - set(before)) == sorted(document["left"])
    (noted,) = tmp_path.glob(f"*/{FILE}")
    noted.write_text(noted.read_text().replace(url, server))
    assert run(tmp_path, capsys, "--clean", document["run"])[0] == 0
    assert held(server) == before


def test_an_interrupted_run_is_cleaned(server, tmp_path, capsys):
    """Killed in the middle of it: what it had made is removed by its name, and nothing else."""
    before = held(server)
    killed = start_and_kill(server, tmp_path)
    assert len(held(server)) > len(before) + 10
    code, out, _ = run(tmp_path, capsys, "--clean", killed)
    assert code == 0
    assert "removed" in out
    assert held(server) == before


def start_and_kill(server, tmp_path):
    """The run's id; it is killed when the server has told of a few resources."""
    arguments = argparse.Namespace(fhir=server, settings=None, yes=True, json=False, clean=None)
    code = "import argparse, pathlib, sys; from local.acceptance import command\n"
    code += f"command.accept(argparse.{arguments!r}, pathlib.Path({str(tmp_path)!r}))"
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=output, stderr=output)
    deadline = time.monotonic() + 120
    noted = []
    while sum(one.read_text().count('"made": "ImagingStudy') for one in noted) < 20:
        assert process.poll() is None, (tmp_path / "output").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
        noted = list(tmp_path.glob(f"*/{FILE}"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return noted[0].parent.name


def test_an_id_alone_is_no_reason_to_delete(server, tmp_path, capsys):
    """A server that was set up anew gives the same ids to others: `--clean` leaves them."""
    patient = {"resourceType": "Patient", "identifier": [{"value": "somebody else"}]}
    made = requests.post(f"{server}/Patient", json=patient, timeout=30).json()
    run_id = str(uuid4())
    (tmp_path / run_id).mkdir()
    lines = [{"fhir": server}, {"made": f"Patient/{made['id']}"}]
    (tmp_path / run_id / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"made": "Pa')
    assert run(tmp_path, capsys, "--clean", run_id)[0] == 0
    assert requests.get(f"{server}/Patient/{made['id']}", timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clean", str(uuid4())], "there is no run"),
        (["--clean", "../x"], "there is no run"),
        (["--yes"], "name the FHIR server"),
        (["--fhir", "http://127.0.0.1:9/fhir", "--yes"], "not reachable"),
    ],
)
def test_what_cannot_begin_says_why(tmp_path, capsys, words, said):
    """One message for the person at the terminal, and nothing is noted."""
    with pytest.raises(StackError, match=said):
        run(tmp_path, capsys, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_url_that_is_none_is_told_as_a_wrong_argument(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, capsys, "--fhir", "ftp://host/fhir")
    assert "'ftp://host/fhir' is no URL" in capsys.readouterr().err


def test_the_apps_settings_open_the_server(server, tmp_path, capsys):
    """A server that wants a token gets it from the settings file's endpoint, for the checks as for the app."""
    token = "a-token-of-the-test"
    with token_endpoint(token) as token_uri, edited(server, lambda bundle: None, wants=f"Bearer {token}") as url:
        given = {
            "Fhir__Endpoint": "https://elsewhere.invalid/fhir",
            "Fhir__Authentication__Enabled": "true",
            "Fhir__Authentication__AuthenticationType": "OAuth2ClientCredential",
            "Fhir__Authentication__OAuth2ClientCredential__TokenUri": token_uri,
            "Fhir__Authentication__OAuth2ClientCredential__ClientId": "app",
            "Fhir__Authentication__OAuth2ClientCredential__ClientSecret": "planted-secret",
        }
        file = tmp_path / "settings.json"
        file.write_text(json.dumps({"Values": given}))
        with pytest.raises(StackError, match="401"):
            run(tmp_path / "runs", capsys, "--fhir", url, "--yes")
        code, out, err = run(tmp_path / "runs", capsys, "--fhir", url, "--yes", "--json", "--settings", str(file))
    document = json.loads(out)
    assert (code, broken(document)) == (0, [])
    noted = "".join(one.read_text() for one in (tmp_path / "runs").glob(f"*/{FILE}"))
    assert "planted-secret" not in out + err + noted


@pytest.mark.parametrize(
    ("link", "shape"),
    [
        ("https://a/fhir?_getpages=1&x=2", "<base>?_getpages=…"),
        ("https://a/fhir/Patient?ct=1", "<base>/Patient?ct=…"),
        ("https://b:8/fhir?page=2", "<base>?page=…, on another origin (https://b:8)"),
        ("https://b/r4?page=2", "a path that is not below the base's, ?page=…, on another origin (https://b)"),
        ("/fhir/Patient?page=2", "an absolute path, ?page=…"),
        ("Patient?page=2", "a relative path, ?page=…"),
        ("?page=2", "a query alone, ?page=…"),
    ],
)
def test_a_link_is_told_by_its_shape(link, shape):
    assert next_link_shape("https://a/fhir", link) == shape


@contextmanager
def edited(server, edit, answer=lambda method, path: None, wants=None):
    """The URL of a proxy: `edit` changes a transaction on its way, `answer` gives a status in the server's place."""
    base = server.removesuffix("/fhir")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status = 401 if wants and self.headers.get("Authorization") != wants else answer(self.command, self.path)
            content = b"{}"
            if status is None:
                if b'"transaction"' in body:
                    bundle = json.loads(body)
                    edit(bundle)
                    body = json.dumps(bundle).encode()
                kept = ("Accept", "Content-Type", "If-Match", "Prefer")
                headers = {name: self.headers[name] for name in kept if name in self.headers}
                passed = requests.request(self.command, base + self.path, data=body, headers=headers, timeout=60)
                status, content = passed.status_code, passed.content
                if self.command == "GET" and not self.path.endswith("/metadata"):
                    content = content.replace(server.encode(), url.encode())  # as a proxy is set up to
            self.send_response_only(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = serve  # noqa: N815 http.server's names

        def log_message(self, *args):
            """Quiet."""

    with serving(Handler) as origin:
        url = f"{origin}/fhir"
        yield url


@contextmanager
def token_endpoint(token):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = json.dumps({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            """Quiet."""

    with serving(Handler) as origin:
        yield f"{origin}/token"


@contextmanager
def serving(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
