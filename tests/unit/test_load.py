"""`python -m local load`: what becomes of the files that are named, before a DICOM service is asked."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from local.load import load

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def folder(tmp_path):
    """Of a CD: a text, an empty file and a DICOMDIR; a damaged file, and a folder without files."""
    (tmp_path / "cd").mkdir()
    (tmp_path / "cd" / "README.TXT").write_text("not DICOM")
    (tmp_path / "cd" / "DICOMDIR").write_bytes(Path(get_testdata_file("DICOMDIR")).read_bytes())
    (tmp_path / "cd" / "empty").write_bytes(b"")
    (tmp_path / "damaged").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\4\0\xff")
    (tmp_path / "empty" / "in").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (["cd"], 1, "0 stored, 0 already there, 0 refused, 3 not DICOM (skipped)\n"),
        (["empty"], 1, "no files in {folder}/empty\n"),
        (["empty", "empty/in"], 1, "no files in {folder}/empty, {folder}/empty/in\n"),
        (
            ["damaged"],
            1,
            "{folder}/damaged: begins as a DICOM file, and cannot be read as one\n0 stored, 0 already there, 1 refused, 0 not DICOM (skipped)\n",
        ),
        (
            ["none"],
            1,
            "{folder}/none: no such file\n0 stored, 0 already there, 1 refused, 0 not DICOM (skipped)\n",
        ),
    ],
)
def test_nothing_to_store_is_said(folder, names, code, said, capsys):
    """No DICOM service is asked for it; exit code 1, as nothing was stored."""
    assert load(NOWHERE, [folder / name for name in names]) == code
    assert capsys.readouterr().out == said.format(folder=folder)
