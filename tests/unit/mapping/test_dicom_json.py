"""One tag out of DICOM JSON: tolerant of what archives hold; a bad element spoils itself alone."""

import pytest

from shared.mapping.dicom_json import Tag, read
from shared.mapping.text import InvalidValueError

MODALITY = Tag.of("(0008,0060) Modality")
NAME = Tag.of("(0010,0010) PatientName")

READ = [
    # rule                                      element                                             value
    ("an absent element is absent",             None,                                               None),
    ("no Value is absent",                      {"vr": "CS"},                                       None),
    ("an empty Value is absent",                {"vr": "CS", "Value": []},                          None),
    ("a null Value is absent",                  {"vr": "CS", "Value": None},                        None),
    ("null items are absent",                   {"vr": "CS", "Value": [None]},                      None),
    ("blank items are absent",                  {"vr": "CS", "Value": ["  "]},                      None),
    ("empty items beside one do not count",     {"vr": "CS", "Value": [None, "CT", ""]},            "CT"),
    ("the dictionary's VR decides, not ours",   {"vr": "UN", "Value": ["CT"]},                      "CT"),
    ("a missing vr does not matter",            {"Value": ["CT"]},                                  "CT"),
]  # fmt: skip

BROKEN = [
    ("a list is no element",                    ["CT"],                                             "not a JSON object"),
    ("Value is a list",                         {"vr": "CS", "Value": "CT"},                        "`Value` is not a list"),
    ("bulk data is no value",                   {"vr": "CS", "BulkDataURI": "http://x/1"},          "bulk data"),
    ("binary is no value",                      {"vr": "CS", "InlineBinary": "Q1Q="},               "bulk data"),
    ("the first of two is not taken",           {"vr": "CS", "Value": ["CT", "MR"]},                "one value is expected"),
    ("a number is no string",                   {"vr": "CS", "Value": [7]},                         "a string is expected"),
    ("an object is no string",                  {"vr": "CS", "Value": [{"Alphabetic": "CT"}]},      "a string is expected"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "element", "value"), READ, ids=[row[0] for row in READ])
def test_read(rule, element, value):
    """Empty is absent (type 2), not invalid."""
    assert read({"00080060": element}, MODALITY) == value, rule


@pytest.mark.parametrize(("rule", "element", "said"), BROKEN, ids=[row[0] for row in BROKEN])
def test_broken(rule, element, said):
    """The error names the rule that the element breaks."""
    with pytest.raises(InvalidValueError, match=said):
        read({"00080060": element}, MODALITY)


def test_an_empty_person_name_is_absent():
    """PS3.18 F.2.2 writes an empty name as an empty object."""
    assert read({"00100010": {"vr": "PN", "Value": [{}]}}, NAME) is None
