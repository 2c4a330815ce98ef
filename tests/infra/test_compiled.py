"""infra/ as the Bicep compiler takes it: clean, formatted, true to the table of posture and to its snapshots."""

import difflib
import subprocess

import pytest

from tests.infra.checks import edges, faults, lint
from tests.infra.compiler import DEPLOYMENT, VERSION
from tests.infra.snapshots import INFRA, SAMPLES, as_text, stored

FILES = sorted([*INFRA.rglob("*.bicep"), *INFRA.rglob("*.bicepparam")])


@pytest.mark.parametrize("path", [INFRA / "main.bicep", *SAMPLES], ids=lambda path: path.name)
def test_every_file_compiles_without_a_warning(compiler, path):
    """`bicep lint`, with the rules of infra/bicepconfig.json: main.bicep with its modules, a sample with main.bicep."""
    assert lint(compiler.compile(path).diagnostics) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_formatted(compiler, path):
    """`bicep format` would change nothing."""
    assert compiler.formatted(path) == path.read_text()


def test_what_is_compiled_is_what_must_be_true(compiler):
    """Dependencies, settings, and the posture of each sample's deployment."""
    assert faults(INFRA, compiler) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_deployment_is_what_its_snapshot_says(compiler, sample):
    """`bicep snapshot --mode validate`: a change is a difference that somebody has read. `make snapshots` writes it."""
    if (version := compiler.version()) != VERSION:
        pytest.fail(f"snapshots are of Bicep {VERSION}, this is {version}: az bicep install --version v{VERSION}")
    was, now = stored(sample).read_text().splitlines(), as_text(compiler.snapshot(sample)).splitlines()
    assert "\n".join(difflib.unified_diff(was, now, "stored", "compiled", lineterm="", n=2)) == ""


def test_the_commands_say_the_same(compiler):
    """What a person runs: `bicep lint` and `bicep snapshot --mode validate` find nothing either."""
    where = ["--tenant-id", DEPLOYMENT["tenantId"], "--subscription-id", DEPLOYMENT["subscriptionId"]]
    where += ["--resource-group", DEPLOYMENT["resourceGroup"], "--location", DEPLOYMENT["location"]]
    where += ["--deployment-name", DEPLOYMENT["deploymentName"]]
    snapshot = ["snapshot", SAMPLES[0], "--mode", "validate", *where]
    for command in (["lint", INFRA / "main.bicep"], snapshot):
        told = subprocess.run([compiler.path, *command], capture_output=True, text=True, check=False)
        assert (told.returncode, "Error" in told.stderr, "Warning" in told.stderr) == (0, False, False), told.stdout


def test_no_module_is_left_out(compiler):
    """Each file is compiled with main.bicep, so that none is without a check of what it deploys."""
    assert {path for path in FILES if path.suffix == ".bicep"} <= compiler.files_of(INFRA / "main.bicep")


def test_a_dependency_that_is_dropped_is_named():
    """From the compiled JSON alone: no snapshot knows of it."""
    assert "module roles does not wait for identity, monitoring, storage" in edges({"resources": {"roles": {}}})
