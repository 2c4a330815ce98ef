"""The acceptance run, as a user of one of these servers would run it."""

import json
import subprocess
import sys

from local.stack import ROOT


def test_every_promise_holds(fhir_url):
    """The whole life cycle, another writer, two hosts at once; what was made is removed again."""
    command = [sys.executable, "-m", "local", "acceptance", "--fhir", fhir_url, "--yes", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    told = json.loads(run.stdout)
    assert [one for one in told["promises"] if one["verdict"] != "held"] == []
    assert run.returncode == 0, run.stderr
