"""`python -m local load`, against the real DICOM service."""

import subprocess
import sys
from pathlib import Path

from local.processes import free_port
from local.samples import ct_study
from tests.integration.dicom_service_client import dicom_file

ROOT = Path(__file__).parents[2]


def load(url, *paths):
    command = [sys.executable, "-m", "local", "load", "--dicom", url, *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_folder_is_stored(dicom, tmp_path):
    """Recursively, in requests of bounded size; again, all is already there."""
    for number, content in enumerate(ct_study()):
        folder = tmp_path / f"{number % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.dcm").write_bytes(content)
    first = load(dicom.url, tmp_path)
    assert (first.returncode, "300 stored, 0 already there, 0 refused" in first.stdout) == (0, True)
    assert len(dicom.feed(limit=200)) == 200
    second = load(dicom.url, tmp_path)
    assert (second.returncode, "0 stored, 300 already there, 0 refused" in second.stdout) == (0, True)


def test_a_partition_can_be_named(dicom, tmp_path):
    """What is stored there is not in another; a name that the service refuses is said with what to check."""
    (tmp_path / "one.dcm").write_bytes(dicom_file())
    for partition in ("north", "south"):
        assert "1 stored, 0 already there" in load(dicom.url, tmp_path, "--partition", partition).stdout
    assert [entry["PartitionName"] for entry in dicom.feed()] == ["north", "south"]
    for name in ("a b", "a/b", "?"):
        ended = load(dicom.url, tmp_path, "--partition", name)
        assert (ended.returncode, "is a partition named where" in ended.stdout) == (1, True)
    assert len(dicom.feed()) == 2


def test_a_bad_file_is_named_and_the_rest_goes_on(dicom, tmp_path):
    """Which file and why, a line each, wherever it lies and whatever its name; exit code 1; nothing of the patient.

    Files that are no DICOM are counted and skipped.
    """
    folder = tmp_path / ("[red] :cat: " + "long " * 40)
    folder.mkdir()
    (folder / "good.dcm").write_bytes(dicom_file())
    (folder / "lacks.dcm").write_bytes(dicom_file(SeriesInstanceUID=None))
    (folder / "text.dcm").write_text("not DICOM")
    (folder / "two\nlines.dcm").write_text("not DICOM")
    ended = load(dicom.url, folder, folder / "no\nwhere.dcm")
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        f"{folder}/lacks.dcm: no SeriesInstanceUID",
        f"{folder}/no\\nwhere.dcm: no such file",
        "1 stored, 0 already there, 2 refused, 2 not DICOM (skipped)",
    ]
    assert "Nightingale" not in ended.stdout + ended.stderr


def test_a_service_that_is_not_there_is_named(tmp_path):
    """One message with the URL, exit code 1."""
    (tmp_path / "good.dcm").write_bytes(dicom_file())
    url = f"http://127.0.0.1:{free_port()}"
    ended = load(url, tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == f"{url} does not answer (ConnectionError); is the DICOM service up?\n"
    assert "Traceback" not in ended.stderr
