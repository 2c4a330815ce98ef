"""`pytest --fhir-server`: which tests run on which server, and what a server that is not here means."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, **environment):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        "tests/integration/test_sync.py",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=ROOT, env=environment or None, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("server", "is_left_out"), [("local", False), ("medplum", True), ("http://127.0.0.1:1", False)]
)
def test_what_a_server_cannot_do_is_left_out_there(server, is_left_out):
    """And nothing else is."""
    told = run("--collect-only", "--fhir-server", server).stdout
    assert ("is_found_again[a,b" not in told) is is_left_out
    assert "is_found_again[a|b" in told


def test_a_server_that_cannot_be_started():
    """By hand it is left out, and that is said; where both are needed it is a failure."""
    only_ours = {"PATH": str(Path(sys.executable).parent)}
    one = ("-k", "test_a_stored_study_is_in_fhir", "--fhir-server", "hapi")
    by_hand, needed = run(*one, **only_ours), run(*one, "--fhir-server-needed", **only_ours)
    assert (by_hand.returncode, "no java, no mvn here: hapi is left out" in by_hand.stdout) == (0, True)
    assert (needed.returncode, "hapi ended with code 127" in needed.stdout) == (1, True)
