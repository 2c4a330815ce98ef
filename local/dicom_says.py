"""DICOM values as FHIR writes them, read without the app's mapping; a value that PS3.5 does not allow is left out."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

Instance = Mapping[str, Any]
"""An instance's metadata, as DICOM JSON."""
Name = tuple[tuple[str, ...], ...]
"""A person's name as four groups of words: family, given and middle, prefix, suffix."""

_OFFSET = "00080201"
_LENGTHS = {"SH": 16, "LO": 64}
_DATE = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)")
_TIME = re.compile(r"(\d\d)(:?)(\d\d)(?:\2(\d\d)(?:\.(\d{1,6}))?)?")
_UTC_OFFSET = re.compile(r"[+-]\d\d[0-5]\d")
_UTC_OFFSETS = range(-1200, 1401)  # PS3.3 C.12.1.1.8, as a number of four digits
_COMPONENTS, _MAX_GROUP_LENGTH = 5, 64
_SCRIPTS = {"Alphabetic": "", "Ideographic": "IDE", "Phonetic": "SYL"}
_SCRIPT = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


def single_spaced(text: str | None) -> str:
    """The text with one space between words, and none at its ends; empty for None."""
    return " ".join((text or "").split())


def texts(instances: Iterable[Instance], tag: str, vr: str) -> set[str]:
    """The valid values of a text element, with one space between words. `vr`: SH or LO."""
    valid = (text for text in _single_values(instances, tag) if len(text) <= _LENGTHS[vr] and text.isprintable())
    return {single_spaced(text) for text in valid} - {""}


def codes(instances: Iterable[Instance], tag: str, known: Mapping[str, str]) -> set[str]:
    """The values' codes in FHIR, by `known`; values that are not in it are left out."""
    return {known[text] for text in _single_values(instances, tag) if text in known}


def numbers(instances: Iterable[Instance], tag: str) -> set[int]:
    """The values that FHIR's unsignedInt can have."""
    return {int(text) for text in _single_values(instances, tag) if re.fullmatch(r"\d{1,9}", text)}


def days(instances: Iterable[Instance], tag: str) -> set[str]:
    """The valid dates as FHIR writes them: `2026-01-31`."""
    return set(filter(None, map(_day, _single_values(instances, tag))))


def moments(instances: Iterable[Instance], date_tag: str, time_tag: str, default: timezone) -> set[str]:
    """Dates with their times, as `moment` writes them; without the time if that is missing or invalid.

    `default`: the UTC offset for instances that have none.
    """
    found = set()
    for one in instances:
        if not (day := _day(_single_value(one, date_tag))):
            continue
        match = _TIME.fullmatch(_single_value(one, time_tag))
        clock = f"{match[1]}:{match[3]}:{match[4] or '00'}.{(match[5] or '').ljust(6, '0')}" if match else ""
        found.add(moment(f"{day}T{clock}{_offset(one, default)}") if _is_time_of_day(clock) else day)
    return found


def moment(text: str) -> str:
    """A dateTime of FHIR with milliseconds, so that the same moment at the same offset is the same text.

    A date without a time stays as it is, and so does an invalid text.
    """
    if "T" not in text:
        return text
    try:
        return datetime.fromisoformat(text).isoformat(timespec="milliseconds")
    except ValueError:
        return text


def names(instances: Iterable[Instance], tag: str) -> Mapping[str, set[Name]]:
    """The valid names by script, as FHIR's extension has it; empty for the alphabetic one."""
    found: dict[str, set[Name]] = {}
    for one in instances:
        values = one.get(tag, {}).get("Value") or []
        if len(values) != 1 or not isinstance(values[0], Mapping):
            continue
        groups = {script: str(values[0].get(group) or "") for group, script in _SCRIPTS.items()}
        if "=" in groups[""]:
            groups = dict(zip(_SCRIPTS.values(), [*groups[""].split("="), "", ""], strict=False))
        parts = {script: _parsed_group(group) for script, group in groups.items() if group.strip("^ ")}
        if all(parts.values()):
            for script, name in parts.items():
                found.setdefault(script, set()).add(name)
    return found


def names_in_fhir(patient: Mapping[str, Any]) -> Mapping[str, Name]:
    """The Patient's usual names by script, as FHIR's extension has it; the first of each script."""
    usual = [one for one in patient.get("name", []) if one.get("use") == "usual"]
    return {_script_of(one): _name_of(one) for one in reversed(usual)}


def utc_offset(text: str) -> timezone:
    """The offset of a text such as `+01:00`; UTC if it is empty. Raises ValueError if it is no offset."""
    return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta()) if text else UTC


def _single_values(instances: Iterable[Instance], tag: str) -> Iterator[str]:
    return (text for one in instances if (text := _single_value(one, tag)))


def _single_value(instance: Instance, tag: str) -> str:
    """The element's value without its padding; empty if it has none, or several, which is invalid for these tags."""
    values: Sequence[Any] = instance.get(tag, {}).get("Value") or []
    return str(values[0]).strip(" \0") if len(values) == 1 and isinstance(values[0], str | int) else ""


def _day(text: str) -> str:
    match = _DATE.fullmatch(text)
    day = f"{match[1]}-{match[3]}-{match[4]}" if match else ""
    return day if day and _is_moment(day) else ""


def _is_time_of_day(clock: str) -> bool:
    return bool(clock) and _is_moment(f"2000-01-01T{clock}")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _offset(instance: Instance, default: timezone) -> str:
    offset = _single_value(instance, _OFFSET)
    if _UTC_OFFSET.fullmatch(offset) and int(offset) in _UTC_OFFSETS:
        return f"{offset[:3]}:{offset[3:]}"
    return datetime.now(default).isoformat()[-6:]


def _parsed_group(group: str) -> Name:
    """A component group of a PN value (PS3.5 6.2.1.1); empty if it is invalid."""
    components = [*group.rstrip("^").split("^"), *[""] * _COMPONENTS]
    if len(group) > _MAX_GROUP_LENGTH or any(components[_COMPONENTS:]) or not group.isprintable():
        return ()
    family, given, middle, prefix, suffix = (tuple(one.split()) for one in components[:_COMPONENTS])
    return family, (*given, *middle), prefix, suffix


def _name_of(name: Mapping[str, Any]) -> Name:
    lists = ([name.get("family")], *(name.get(part) or () for part in ("given", "prefix", "suffix")))
    return tuple(tuple(word for one in items if one for word in str(one).split()) for items in lists)


def _script_of(name: Mapping[str, Any]) -> str:
    return next((str(one.get("valueCode")) for one in name.get("extension", []) if one.get("url") == _SCRIPT), "")
