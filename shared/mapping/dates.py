"""Dates, times and offsets (PS3.5 6.2: DA, TM, DT; PS3.3 C.12.1.1.8), partial and legacy forms included."""

import re
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from typing import Any

from shared.mapping.text import InvalidValueError, text

_TIME = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?")
_LEGACY_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?")
_LEGACY_DATE = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)")
_DATE_TIME = re.compile(r"(\d{8})(\d{2}[\d.]*)?([+-]\d{4})?")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A DICOM time, as exact as it was given. `second` may be None; `millisecond` is cut, not rounded."""

    hour: int
    minute: int | None = None
    second: int | None = None
    millisecond: int | None = None


@dataclass(frozen=True, slots=True)
class DateTime:
    """A DICOM date and time in one value, as exact as it was given; `offset` is None if it has none of its own."""

    day: date
    time: TimeOfDay | None = None
    offset: timezone | None = None


def calendar_date(item: Any) -> date:
    """PS3.5 6.2, VR DA: YYYYMMDD; the legacy YYYY.MM.DD of ACR-NEMA is read too. A range is invalid."""
    value = text(item, "DA")
    if legacy := _LEGACY_DATE.fullmatch(value):
        value = "".join(legacy.groups())
    if not re.fullmatch(r"\d{8}", value):
        raise InvalidValueError("a date YYYYMMDD is expected")
    try:
        return date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        raise InvalidValueError("no such day in the calendar") from None


def time_of_day(item: Any) -> TimeOfDay:
    """PS3.5 6.2, VR TM: HH[MM[SS[.F{1,6}]]]; the legacy HH:MM:SS is read too. 24 h and second 60 are invalid here."""
    value = text(item, "TM")
    match = _TIME.fullmatch(value) or _LEGACY_TIME.fullmatch(value)
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
    match = _OFFSET.fullmatch(text(item, "SH"))
    if not match:
        raise InvalidValueError("an offset +HHMM or -HHMM is expected")
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    if int(minutes) > 59 or not timedelta(hours=-12) <= offset <= timedelta(hours=14):  # noqa: PLR2004 minutes of an hour
        raise InvalidValueError("an offset from -1200 to +1400 is expected")
    return timezone(offset)


def date_time(item: Any) -> DateTime:
    """PS3.5 6.2, VR DT: YYYYMMDD[HH[MM[SS[.F{1,6}]]]][&ZZXX]. A year or a month alone is invalid here."""
    match = _DATE_TIME.fullmatch(text(item, "DT"))
    if not match:
        raise InvalidValueError("a date and time YYYYMMDDHHMMSS.FFFFFF&ZZXX, or its beginning, is expected")
    day, time, offset = match.groups()
    return DateTime(calendar_date(day), time_of_day(time) if time else None, utc_offset(offset) if offset else None)
