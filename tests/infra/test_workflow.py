"""The GitHub workflow and the documents name what there is."""

import re
from pathlib import Path

import pytest
import yaml

from tests.infra.compiler import VERSION
from tests.infra.posture import ALWAYS, ROLES

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
DEPLOY = ROOT / "docs" / "deploy.md"


@pytest.fixture
def jobs():
    """The workflow's jobs."""
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]


def test_the_workflow_signs_in_without_a_secret(jobs):
    """By OIDC, and only the job that deploys may ask for a token."""
    assert "secrets." not in WORKFLOW.read_text()
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["deploy"]
    (login,) = [step for step in jobs["deploy"]["steps"] if step.get("uses", "").startswith("azure/login@")]
    assert set(login["with"]) == {"client-id", "tenant-id", "subscription-id"}


def test_nothing_is_deployed_that_was_not_tested_and_compiled(jobs):
    """deploy needs package, and that needs the tests and the compiled Bicep."""
    assert jobs["deploy"]["needs"] == "package"
    assert set(jobs["package"]["needs"]) == {"test", "infra"}
    runs = [step.get("run", "") for step in jobs["infra"]["steps"]]
    assert runs[-3:] == [f"az bicep install --version v{VERSION}", "make check-infra", "make check-infra-faults"]


def test_make_targets_outputs_and_paths_are_there(template):
    """What the workflow calls by name."""
    text, makefile = WORKFLOW.read_text(), (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in re.findall(r"run: make ([\w-]+)", text))
    assert set(re.findall(r"outputs\.(\w+)", text)) <= template["outputs"].keys()
    assert all((ROOT / path).exists() for path in re.findall(r"infra/[\w./-]+", text))


def test_the_commands_of_the_document_fit_the_template(template):
    """Parameters and outputs in its commands; each parameter in its table, each role in its text."""
    text = DEPLOY.read_text()
    commands = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    given = set(re.findall(r"(?m)(?:--parameters |^ {2,})(\w+)=", commands))
    assert given <= template["parameters"].keys()
    assert set(re.findall(r"outputs\.(\w+)", commands)) <= template["outputs"].keys()
    assert [name for name in template["parameters"] if f"`{name}`" not in text] == []
    assert [role for role in ROLES.values() if role not in text] == []


def test_azd_deploys_the_service_that_the_template_tags():
    """azd finds the function app by its tag: the service's name in azure.yaml."""
    described = yaml.safe_load((ROOT / "azure.yaml").read_text())
    (name,) = described["services"]
    assert described["services"][name] == {"project": ".", "language": "python", "host": "function"}
    row = next(row for row in ALWAYS if row.path == "tags.azd-service-name")
    assert (row.kind, row.wanted) == ("Microsoft.Web/sites", name)


def test_actions_are_pinned_by_commit():
    """A tag can be moved to other code, which would run with the right to deploy."""
    used = re.findall(r"uses: (\S+)(.*)", WORKFLOW.read_text())
    assert used
    assert [name for name, version in used if not re.search(r"@[0-9a-f]{40}$", name) or " # v" not in version] == []


def test_the_self_check_waits_as_long_as_roles_take(jobs):
    """Ten minutes, as the document says."""
    (step,) = [step for step in jobs["deploy"]["steps"] if step.get("name") == "Self-check"]
    tries, pause = (int(re.search(pattern, step["run"])[1]) for pattern in (r"seq (\d+)", r"sleep (\d+)"))
    assert (tries - 1) * pause >= 600
