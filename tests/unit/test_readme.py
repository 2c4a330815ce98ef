"""The README says what the code does."""

import re
from pathlib import Path

import pytest

from docs.readme_tables import README, TABLES, written
from shared.config import SETTINGS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_the_tables_are_the_codes(path):
    """`make docs` writes them."""
    assert written(path) == path.read_text(encoding="utf-8")


def test_every_make_target_of_the_readme_is_there():
    """A command that a newcomer copies works."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README.read_text(encoding="utf-8"))) <= targets


def test_settings_that_the_readme_names_are_settings():
    """No setting is promised that nothing reads."""
    known = {setting.name for setting in SETTINGS}
    named = set(
        re.findall(r"\b((?:DicomCast|DicomWeb|Fhir|Patient|TableStore)__\w+)", README.read_text(encoding="utf-8"))
    )
    assert named <= known
