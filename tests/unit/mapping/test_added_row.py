"""A row of the mapping is one line: two are added to a copy of the table, and nothing else is changed but by `make docs`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BEFORE = '    _row("ImagingStudy.series.instance.number", '
ROWS = """    _our("ImagingStudy.series.instance.title", "(0042,0010) DocumentTitle", NO, to.plain, SET, ""),
    _our("ImagingStudy.reasonReference", "(0008,1110) ReferencedStudySequence", NO, references, ADD, ""),
"""
CONVERTER = """

def references(_options, items):
    return [{"display": item["00081155"]["Value"][0]} for item in items]


TABLE: tuple[Row, ...] = ("""
LIFE = Path(__file__).with_name("life_of_added_rows.py")


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """What an ImagingStudy said after each step, in a process that imports the copy."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("shared", "docs", "tests"):
        leave = shutil.ignore_patterns(
            "__pycache__", "node_modules", "images", "golden", "integration", "browser", "infra"
        )
        shutil.copytree(ROOT / folder, copy / folder, ignore=leave)
    table = copy / "shared/mapping/table.py"
    text = table.read_text(encoding="utf-8")
    assert BEFORE in text
    text = text.replace(BEFORE, ROWS + BEFORE).replace("\n\nTABLE: tuple[Row, ...] = (", CONVERTER)
    table.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    subprocess.run([sys.executable, "-m", "docs.data_dictionary"], cwd=copy, env=environment, check=True)
    told = subprocess.run([sys.executable, "-P", LIFE], cwd=copy, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(told.stdout)


def titles(study):
    return {one["uid"]: one.get("title") for series in study["series"] for one in series["instance"]}


def test_it_is_mapped(life):
    """An element of an instance, and one of the study out of a sequence."""
    assert titles(life["created"]) == {"1.2.1": "Report", "1.2.2": None}
    assert life["created"]["reasonReference"] == [{"display": "1.9.1"}]
    assert life["again"] is False, "the second run writes nothing"


def test_an_update_replaces_it(life):
    """What no instance says any more goes, what another wrote stays."""
    assert titles(life["updated"]) == {"1.2.1": "Addendum", "1.2.2": None}
    assert life["updated"]["reasonReference"] == [{"display": "of another"}, {"display": "1.9.2"}]
    assert titles(life["untitled"]) == {"1.2.1": None, "1.2.2": None}


def test_it_goes_with_its_instance(life):
    """And the other stays."""
    assert titles(life["deleted"]) == {"1.2.2": None}
    assert life["deleted"]["reasonReference"] == [{"display": "of another"}]


def test_a_value_that_is_not_valid_is_left_out(life):
    """By the rules of its VR, and by FHIR's."""
    assert life["faults"] == ["(0042,0010) DocumentTitle (ST): longer than 1024 characters"]
    assert titles(life["invalid"]) == {"1.2.9": None}
    assert "ImagingStudy.series.instance.title" in life["rule"]
