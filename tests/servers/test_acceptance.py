"""The acceptance run, as a user of one of these servers would run it."""

import argparse
import json

import pytest

from local.acceptance import command
from local.acceptance.sizes import WHOLE, Sizes

SIZES = {"medplum": Sizes(real_studies=15, dose_events=25, studies_for_two_hosts=8)}
"""Smaller where the server holds all in lists that each search walks through: the whole takes it five minutes."""


@pytest.mark.not_on("local", reason="tests/integration/test_acceptance.py runs it there")
@pytest.mark.timeout(600)
def test_every_promise_holds(fhir_url, request, tmp_path, capsys):
    """The whole life cycle, another writer, two hosts at once; what was made is removed again."""
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers(dest="command"))
    asked = parser.parse_args(["acceptance", "--fhir", fhir_url, "--yes", "--json"])
    code = command.accept(asked, tmp_path, SIZES.get(request.config.getoption("--fhir-server"), WHOLE))
    told = json.loads(capsys.readouterr().out)
    assert [one for one in told["promises"] if one["verdict"] != "held"] == []
    assert code == 0
