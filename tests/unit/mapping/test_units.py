"""Units: UCUM where it is UCUM, words where it only says so."""

import pytest

from shared.mapping.dose.units import UCUM_SYSTEM, unit_of
from shared.mapping.text import InvalidValueError


def unit(scheme, code, meaning=None):
    tags = {"00080100": code, "00080102": scheme, "00080104": meaning}
    return {key: {"vr": "SH", "Value": [value]} for key, value in tags.items() if value}


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("mGy.cm", "mGy.cm"),
        ("Gy.m2", "Gy.m2"),
        ("dGy.cm2", "dGy.cm2"),
        ("Gym2", "Gy.m2"),  # as old editions of PS3.16, and devices still today
        ("mGycm", "mGy.cm"),
        ("uGym2", "uGy.m2"),
        ("Gy", "Gy"),
        ("MBq", "MBq"),
        ("mCi", "mCi"),
        ("cm3", "cm3"),
        ("mL", "mL"),
        ("s", "s"),
        ("1", "1"),
        ("{events}", "{events}"),
        ("mGy/{frame}", "mGy/{frame}"),
    ],
)
def test_ucum(code, written):
    """System and code, so that a machine may compute with it."""
    assert unit_of(unit("UCUM", code, "as it is said")) == {"unit": written, "system": UCUM_SYSTEM, "code": written}


@pytest.mark.parametrize(
    ("scheme", "code", "meaning", "text"),
    [
        ("UCUM", "MGY", "milligray", "milligray"),
        ("UCUM", "mGy*cm", None, "mGy*cm"),
        ("UCUM", "{two words}", None, "{two words}"),
        ("UCM", "Gy", "Gy", "Gy"),  # a real device's
        ("99MAKER", "uGym2", "µGy·m²", "µGy·m²"),
        ("UCUM", None, "mGy", "mGy"),
    ],
)
def test_what_is_not_ucum_is_text(scheme, code, meaning, text):
    """No system and code that would mean something else, or nothing."""
    assert unit_of(unit(scheme, code, meaning)) == {"unit": text}


def test_an_empty_unit_is_none():
    """It has no name."""
    with pytest.raises(InvalidValueError, match="neither a code nor a meaning"):
        unit_of({"00080102": {"vr": "SH", "Value": ["UCUM"]}})
