"""Value rules by VR (PS3.5 6.2): from an item of DICOM JSON to a Python value, or the rule that it breaks.

pydicom's tables decide lengths and characters. No error here carries the value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from typing import Any

from pydicom.valuerep import MAX_VALUE_LEN, VR_REGEXES

PADDING = " \0"
"""Values are padded to an even length with a blank, UIDs with NUL (PS3.5 6.2); archives mix the two."""

_MAX_COMPONENT_GROUP = 64  # characters of a PN component group (PS3.5 6.2)
_MAX_COMPONENTS = 5
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # FHIR string: nothing below 32 but tab, CR, LF
_REGEX = {vr: re.compile(pattern) for vr, pattern in VR_REGEXES.items()}
_TIME = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?")
_LEGACY_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?")
_LEGACY_DATE = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
_IS_RANGE = range(-(2**31), 2**31)

CODES: Mapping[str, frozenset[str]] = {
    "PatientSex": frozenset("MFO"),
    "Laterality": frozenset("RL"),
}
"""Code values that PS3.3 enumerates for a tag, over and above its VR's rules."""


class InvalidValueError(ValueError):
    """A value breaks a rule. The message is the rule, never the value."""


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A DICOM time, as exact as it was given. `second` may be None; `millisecond` is cut, not rounded."""

    hour: int
    minute: int | None = None
    second: int | None = None
    millisecond: int | None = None


@dataclass(frozen=True, slots=True)
class NameGroup:
    """The five components of one PN component group (PS3.5 6.2.1.1), trimmed, '' where absent."""

    family: str = ""
    given: str = ""
    middle: str = ""
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class PersonName:
    """The three component groups of a PN, None where a group is absent."""

    alphabetic: NameGroup | None = None
    ideographic: NameGroup | None = None
    phonetic: NameGroup | None = None


def parser(keyword: str, vr: str) -> Callable[[Any], Any]:
    """The function that parses one item of the tag's value; raises InvalidValueError."""
    if keyword == "TimezoneOffsetFromUTC":
        return utc_offset
    if keyword in CODES:
        codes = CODES[keyword]
        return lambda item: _code(item, codes)
    return _PARSERS[vr]


def _text(item: Any, vr: str) -> str:
    if not isinstance(item, str):
        raise InvalidValueError("a string is expected")
    text = item.strip(PADDING)
    if (limit := MAX_VALUE_LEN.get(vr)) and len(text) > limit:
        raise InvalidValueError(f"longer than {limit} characters")
    if _FORBIDDEN.search(text):
        raise InvalidValueError("control characters are not allowed")
    return text


def _matched(item: Any, vr: str, rule: str) -> str:
    text = _text(item, vr)
    if not _REGEX[vr].fullmatch(text):
        raise InvalidValueError(rule)
    return text


def code_string(item: Any) -> str:
    """PS3.5 6.2, VR CS: upper case letters, digits, blank, underscore; at most 16."""
    return _matched(item, "CS", "only A-Z, 0-9, blank and underscore are allowed")


def _code(item: Any, codes: frozenset[str]) -> str:
    text = code_string(item)
    if text not in codes:
        raise InvalidValueError(f"not one of {', '.join(sorted(codes))}")
    return text


def uid(item: Any) -> str:
    """PS3.5 9.1: at most 64 of digits and dots, no component with a leading zero. FHIR's `oid` wants a dot too."""
    text = _matched(item, "UI", "only components of digits without leading zeros, joined by dots, are allowed")
    if not re.match(r"[0-2]\.", text):
        raise InvalidValueError("a UID starts with 0, 1 or 2 and has more than one component")
    return text


def integer_string(item: Any) -> int:
    """PS3.5 6.2, VR IS: a whole number of 32 bits; DICOM JSON allows number or string (PS3.18 F.2.3.1)."""
    if isinstance(item, bool) or not isinstance(item, int | str):
        if isinstance(item, float) and item.is_integer() and int(item) in _IS_RANGE:
            return int(item)
        raise InvalidValueError("a whole number is expected")
    if isinstance(item, str):
        item = int(_matched(item, "IS", "a whole number is expected"))
    if item not in _IS_RANGE:
        raise InvalidValueError("outside the 32 bits of an integer string")
    return int(item)


def calendar_date(item: Any) -> date:
    """PS3.5 6.2, VR DA: YYYYMMDD; the legacy YYYY.MM.DD of ACR-NEMA is read too. A range is for queries only."""
    text = _text(item, "DA")
    if legacy := _LEGACY_DATE.fullmatch(text):
        text = "".join(legacy.groups())
    if not re.fullmatch(r"\d{8}", text):
        raise InvalidValueError("a date YYYYMMDD is expected")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise InvalidValueError("no such day in the calendar") from None


def time_of_day(item: Any) -> TimeOfDay:
    """PS3.5 6.2, VR TM: HH[MM[SS[.F{1,6}]]]; the legacy HH:MM:SS is read too. 24 h and second 60 are invalid here."""
    text = _text(item, "TM")
    match = _TIME.fullmatch(text) or _LEGACY_TIME.fullmatch(text)
    if not match:
        raise InvalidValueError("a time HHMMSS.FFFFFF, or its beginning, is expected")
    hour, minute, second, fraction = match.groups()
    time = TimeOfDay(
        int(hour),
        None if minute is None else int(minute),
        None if second is None else int(second),
        None if fraction is None else int(fraction.ljust(3, "0")[:3]),
    )
    if time.hour > 23 or (time.minute or 0) > 59 or (time.second or 0) > 59:  # noqa: PLR2004 the clock's own numbers
        raise InvalidValueError("no such time of day")
    return time


def utc_offset(item: Any) -> timezone:
    """PS3.3 C.12.1.1.8: &ZZXX, -1200 to +1400."""
    match = _OFFSET.fullmatch(_text(item, "SH"))
    if not match:
        raise InvalidValueError("an offset +HHMM or -HHMM is expected")
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    if int(minutes) > 59 or not timedelta(hours=-12) <= offset <= timedelta(hours=14):  # noqa: PLR2004 minutes of an hour
        raise InvalidValueError("an offset from -1200 to +1400 is expected")
    return timezone(offset)


def person_name(item: Any) -> PersonName:
    """PS3.5 6.2.1: an object of component groups (PS3.18 F.2.2), or a string with `=` between them."""
    if isinstance(item, str):
        groups = [*item.split("="), "", ""]
        if len(groups) > 5:  # noqa: PLR2004 three groups and the two just added
            raise InvalidValueError("more than three component groups")
        given = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), groups, strict=False))
    elif isinstance(item, Mapping):
        given = dict(item)
    else:
        raise InvalidValueError("a person name is expected")
    return PersonName(*(_name_group(given.get(name)) for name in ("Alphabetic", "Ideographic", "Phonetic")))


def _name_group(item: Any) -> NameGroup | None:
    if item is None:
        return None
    text = _text(item, "PN")
    if len(text) > _MAX_COMPONENT_GROUP:
        raise InvalidValueError(f"a component group is longer than {_MAX_COMPONENT_GROUP} characters")
    components = [" ".join(component.split()) for component in text.rstrip("^").split("^")]
    if len(components) > _MAX_COMPONENTS:
        raise InvalidValueError(f"more than {_MAX_COMPONENTS} components in a group")
    return NameGroup(*components) if any(components) else None


def _plain(vr: str) -> Callable[[Any], str]:
    return lambda item: _text(item, vr)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "CS": code_string,
    "DA": calendar_date,
    "IS": integer_string,
    "LO": _plain("LO"),
    "PN": person_name,
    "SH": _plain("SH"),
    "SQ": lambda item: item,
    "TM": time_of_day,
    "UI": uid,
}
