"""The package: what is uploaded is what runs, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest
from pathspec import GitIgnoreSpec

from infra.package import packaged, write
from tests.integration.dicom_service_client import dicom_file

ROOT = Path(__file__).parents[2]
GIT_FILES = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
LARGEST = 700_000
"""Bytes; libraries are not in it. Far below, so that a file that strays in is seen."""


def test_the_package_is_the_app_and_nothing_else():
    """function_app.py, host.json, requirements.txt and shared/: all of it that git knows, and no more."""
    known = subprocess.run(GIT_FILES, cwd=ROOT, capture_output=True, check=True)
    root = {"function_app.py", "host.json", "requirements.txt"}
    wanted = {name for name in known.stdout.decode().split() if name in root or name.startswith("shared/")}
    assert {path.as_posix() for path in packaged(ROOT)} == wanted


def test_what_lies_about_is_left_out(tmp_path):
    """Settings with secrets, keys, the local stack, tests, caches: by Core Tools' rule, and by git's, which azd follows."""
    shutil.copy(ROOT / ".funcignore", tmp_path)
    strays = ["local.settings.json", "local.settings.mine.json", ".env", ".git/config", ".local/azurite/db.json"]
    strays += [".venv-infra/lib/x.py", "local/stack.py", "tests/fakes.py", "infra/main.bicep", "docs/deploy.md"]
    strays += [".github/workflows/deploy.yml", "shared/__pycache__/model.cpython-313.pyc", "pyproject.toml"]
    strays += [
        "__pycache__/function_app.cpython-313.pyc",
        "shared/sync/__pycache__/.nfs1",
        "tests/.hidden",
        "shared/.env",
    ]
    strays += ["azure.yaml", "local.settings.json.bak"]
    for name in [*strays, "function_app.py", "shared/model.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.as_posix() for path in packaged(tmp_path)] == ["function_app.py", "shared/model.py"]
    by_git = GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())
    assert sorted(by_git.match_tree_files(tmp_path, negate=True)) == ["function_app.py", "shared/model.py"]


def test_the_same_files_make_the_same_package(tmp_path):
    """Byte for byte, and small."""
    packages = [tmp_path / "one.zip", tmp_path / "other.zip"]
    for package in packages:
        write(ROOT, package)
    assert packages[0].read_bytes() == packages[1].read_bytes()
    assert packages[0].stat().st_size < LARGEST


@pytest.fixture(scope="module", params=["3.11", "3.12", "3.13", "3.14"])
def deployed(request, tmp_path_factory):
    """The package unpacked, and a Python in which only requirements.txt is installed: each that is at hand."""
    version = request.param
    if sys.version_info[:2] != tuple(map(int, version.split("."))) and not os.environ.get("BICEP"):
        pytest.skip("make check-infra tries the other versions")
    folder = tmp_path_factory.mktemp("deployed" + version.replace(".", ""))
    write(ROOT, folder / "package.zip")
    with zipfile.ZipFile(folder / "package.zip") as package:
        package.extractall(folder / "wwwroot")
    uv, venv = Path(sys.executable).with_name("uv"), folder / "venv"
    made = subprocess.run(
        [uv, "venv", "--quiet", "--no-python-downloads", "--python", _python(version), venv], check=False
    )
    if made.returncode:
        pytest.skip(f"no Python {version} here")
    requirements = folder / "wwwroot" / "requirements.txt"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", venv, "-r", requirements], check=True)
    return folder


def _python(version):
    """pyenv's of that version where there is one; else uv looks on PATH."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next((str(path) for path in root.glob(f"versions/{version}.*/bin/python")), version)


def test_the_package_runs_with_its_requirements_alone(deployed, dicom, storage, fhir_url):
    """A stored instance is synced by the timer of the unpacked app, against the real parts."""
    dicom.store(dicom_file(PatientID=deployed.name, StudyInstanceUID=f"2.25.{uuid4().int}"))
    settings = {
        "AzureWebJobsStorage": storage,
        "DicomWeb__Endpoint": dicom.url,
        "Fhir__Endpoint": fhir_url,
        "TableStore__TableNamePrefix": deployed.name,
    }
    told = subprocess.run(
        [deployed / "venv" / "bin" / "python", "-c", (Path(__file__).parent / "packaged_app.py").read_text()],
        cwd=deployed / "wwwroot",
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    assert {"sync", "status", "check", "health"} <= set(said["functions"])
    assert (said["status"]["lastTick"]["outcome"], said["status"]["lastTick"]["written"]) == ("synced", 1)
    assert said["others"] == []
