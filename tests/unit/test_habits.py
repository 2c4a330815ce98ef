"""What a stranger expects of a repository, and that it says one thing everywhere."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml

from shared.app import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MANIFESTS = {"pip": "requirements*.txt", "npm": "package-lock.json", "github-actions": ".github/workflows/*.yml"}
UPDATES = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))["updates"]


def test_there_is_one_version():
    """That of the app: the package's and the API's are the same, and the changes say when it was made."""
    described = yaml.safe_load((ROOT / "shared/web/openapi.yaml").read_text(encoding="utf-8"))
    assert (PROJECT["version"], described["info"]["version"]) == (VERSION, VERSION)
    unreleased, latest, *_ = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert unreleased == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)}, \d{{4}}-\d\d-\d\d", latest)


def test_the_licence_is_the_package_s():
    """MIT, as the file says."""
    [name] = PROJECT["license-files"]
    assert (ROOT / name).read_text(encoding="utf-8").startswith(f"{PROJECT['license']} License\n")


def test_hooks_are_the_venv_s_own():
    """Nothing is fetched from elsewhere, and what they run is there."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [one["repo"] for one in config["repos"]] == ["local"]
    words = [word for one in config["repos"][0]["hooks"] for word in one["entry"].split()]
    assert {word.split("/")[-1] for word in words if word.startswith(".venv/bin/")} == {"ruff", "python"}
    assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


def _is_aside(folder):
    """What is installed or made here, and is not the repository's."""
    return folder == "node_modules" or folder.startswith(".")


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update["package-ecosystem"])
def test_dependabot_looks_where_something_is(update):
    """In each folder, and in all that have such a file."""
    manifest = MANIFESTS[update["package-ecosystem"]]
    asked = [one.strip("/") for one in update.get("directories", [update.get("directory")])]
    folders = {one: [it for it in (ROOT.glob(one) if one else [ROOT]) if any(it.glob(manifest))] for one in asked}
    assert all(folders.values()), folders
    above = ROOT / ".github/workflows" if manifest.startswith(".") else ROOT
    known = {path.parent for one in ("", "*/", "*/*/", "*/*/*/") for path in ROOT.glob(f"{one}{manifest}")}
    known = {ROOT if one == above else one for one in known}
    known = {one for one in known if not any(_is_aside(part) for part in one.relative_to(ROOT).parts)}
    assert set(chain(*folders.values())) == known - {ROOT / "tests/data/dose_reports"}, "of real devices, as they are"
