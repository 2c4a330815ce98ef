"""What we author is FHIR R4, by two validators that know nothing of each other; and they do catch what is not."""

import copy
import json

import pytest

from tests.r4 import faults
from tests.unit.test_golden import CASES, load


def resources():
    for case in CASES:
        for one in (entry for bundle in load(case, "bundle.json") for entry in bundle["entry"]):
            if "resource" in one:
                yield pytest.param(one["resource"], id=f"{case.name}-{one['resource']['resourceType']}")


@pytest.mark.parametrize("resource", list(resources()))
def test_golden_bundles_are_r4(resource):
    """Each resource of each golden case."""
    assert faults(resource) == []


STUDY = next(one.values[0] for one in resources() if one.id == "dx_with_everything-ImagingStudy")

PLANTED = [
    # what is wrong                      where                                             value
    ("a code of no value set",           ["status"],                                       "done"),
    ("a dateTime without a zone",        ["started"],                                      "2024-05-06T07:08:09"),
    ("an impossible date",               ["started"],                                      "2024-02-30"),
    ("a malformed oid",                  ["identifier", 0, "value"],                       "urn:oid:1.02"),
    ("a uid of 65 characters",           ["series", 0, "uid"],                             "1." + "2" * 63),
    ("an empty list",                    ["series", 0, "instance"],                        []),
    ("an empty string",                  ["description"],                                  ""),
    ("a control character",              ["description"],                                  "a\x00b"),
    ("a number as a string",             ["series", 0, "number"],                          "3"),
    ("a negative count",                 ["numberOfInstances"],                            -1),
    ("a reference to nowhere",           ["subject", "reference"],                         "somebody"),
    ("an unknown element",               ["laterality"],                                   "R"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "where", "value"), PLANTED, ids=[row[0] for row in PLANTED])
def test_planted_faults_are_caught(what, where, value):
    """A validator that catches nothing proves nothing."""
    broken = copy.deepcopy(STUDY)
    *path, last = where
    place = broken
    for step in path:
        place = place[step]
    place[last] = value
    assert faults(broken), json.dumps(where)
