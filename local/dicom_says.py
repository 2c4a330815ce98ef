"""What DICOM values are in FHIR's terms, read without the app's mapping: only what no rule of PS3.5 leaves in doubt."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

Instance = Mapping[str, Any]
"""An instance's metadata, as DICOM JSON."""
Name = tuple[tuple[str, ...], ...]
"""A name's words: family, given and middle, prefix, suffix."""

_OFFSET = "00080201"
_LENGTHS = {"SH": 16, "LO": 64}
_DATE = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)")
_TIME = re.compile(r"(\d\d)(:?)(\d\d)(?:\2(\d\d)(?:\.(\d{1,6}))?)?")
_UTC_OFFSET = re.compile(r"[+-]\d\d[0-5]\d")
_UTC_OFFSETS = range(-1200, 1401)  # PS3.3 C.12.1.1.8, as a number of four digits
_COMPONENTS, _OF_A_GROUP = 5, 64
_SCRIPTS = {"Alphabetic": "", "Ideographic": "IDE", "Phonetic": "SYL"}
_SCRIPT = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


def words(text: str | None) -> str:
    """With single blanks between them; empty where there is no text."""
    return " ".join((text or "").split())


def texts(instances: Iterable[Instance], tag: str, vr: str) -> set[str]:
    """The valid values of a text, each with single blanks between its words."""
    said = {words(text) for text in _each(instances, tag) if len(text) <= _LENGTHS[vr] and text.isprintable()}
    return said - {""}


def codes(instances: Iterable[Instance], tag: str, known: Mapping[str, str]) -> set[str]:
    """FHIR's codes of those values that are known."""
    return {known[text] for text in _each(instances, tag) if text in known}


def numbers(instances: Iterable[Instance], tag: str) -> set[int]:
    """What FHIR's unsignedInt takes."""
    return {int(text) for text in _each(instances, tag) if re.fullmatch(r"\d{1,9}", text)}


def days(instances: Iterable[Instance], tag: str) -> set[str]:
    """Dates as FHIR writes them."""
    return set(filter(None, map(_day, _each(instances, tag))))


def moments(instances: Iterable[Instance], date_tag: str, time_tag: str, default: timezone) -> set[str]:
    """Dates with their times, where there is one, as `moment` has them; `default` where no offset is said."""
    found = set()
    for one in instances:
        if not (day := _day(_only(one, date_tag))):
            continue
        match = _TIME.fullmatch(_only(one, time_tag))
        clock = f"{match[1]}:{match[3]}:{match[4] or '00'}.{(match[5] or '').ljust(6, '0')}" if match else ""
        found.add(moment(f"{day}T{clock}{_offset(one, default)}") if _is_clock(clock) else day)
    return found


def moment(text: str) -> str:
    """A dateTime of FHIR so that the same moment in the same zone is the same text: to the millisecond."""
    if "T" not in text:
        return text
    try:
        return datetime.fromisoformat(text).isoformat(timespec="milliseconds")
    except ValueError:
        return text


def names(instances: Iterable[Instance], tag: str) -> Mapping[str, set[Name]]:
    """By script as FHIR's extension has it, empty for the alphabetic one; an invalid name says nothing."""
    found: dict[str, set[Name]] = {}
    for one in instances:
        values = one.get(tag, {}).get("Value") or []
        if len(values) != 1 or not isinstance(values[0], Mapping):
            continue
        groups = {script: str(values[0].get(group) or "") for group, script in _SCRIPTS.items()}
        if "=" in groups[""]:
            groups = dict(zip(_SCRIPTS.values(), [*groups[""].split("="), "", ""], strict=False))
        parts = {script: _parts(group) for script, group in groups.items() if group.strip("^ ")}
        if all(parts.values()):
            for script, name in parts.items():
                found.setdefault(script, set()).add(name)
    return found


def held_names(patient: Mapping[str, Any]) -> Mapping[str, Name]:
    """The Patient's usual names, likewise."""
    usual = [one for one in patient.get("name", []) if one.get("use") == "usual"]
    return {_script(one): _name(one) for one in reversed(usual)}


def utc_offset(text: str) -> timezone:
    """`+01:00`. Raises ValueError."""
    return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta()) if text else UTC


def _each(instances: Iterable[Instance], tag: str) -> Iterator[str]:
    return (text for one in instances if (text := _only(one, tag)))


def _only(instance: Instance, tag: str) -> str:
    """The one value; empty where there are several, which is no value of a tag that has one."""
    values: Sequence[Any] = instance.get(tag, {}).get("Value") or []
    return str(values[0]).strip(" \0") if len(values) == 1 and isinstance(values[0], str | int) else ""


def _day(text: str) -> str:
    match = _DATE.fullmatch(text)
    day = f"{match[1]}-{match[3]}-{match[4]}" if match else ""
    return day if day and _is_moment(day) else ""


def _is_clock(clock: str) -> bool:
    return bool(clock) and _is_moment(f"2000-01-01T{clock}")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _offset(instance: Instance, default: timezone) -> str:
    said = _only(instance, _OFFSET)
    if _UTC_OFFSET.fullmatch(said) and int(said) in _UTC_OFFSETS:
        return f"{said[:3]}:{said[3:]}"
    return datetime.now(default).isoformat()[-6:]


def _parts(group: str) -> Name:
    """Empty where the group is invalid."""
    components = [*group.rstrip("^").split("^"), *[""] * _COMPONENTS]
    if len(group) > _OF_A_GROUP or any(components[_COMPONENTS:]) or not group.isprintable():
        return ()
    family, given, middle, prefix, suffix = (tuple(one.split()) for one in components[:_COMPONENTS])
    return family, (*given, *middle), prefix, suffix


def _name(held: Mapping[str, Any]) -> Name:
    lists = ([held.get("family")], *(held.get(part) or () for part in ("given", "prefix", "suffix")))
    return tuple(tuple(word for one in items if one for word in str(one).split()) for items in lists)


def _script(held: Mapping[str, Any]) -> str:
    return next((str(one.get("valueCode")) for one in held.get("extension", []) if one.get("url") == _SCRIPT), "")
