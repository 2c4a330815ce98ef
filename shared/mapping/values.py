"""Which rule a tag's values are held against: by its VR, and for some tags by what PS3.3 says of them."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from shared.mapping import dates, names, text
from shared.mapping.text import InvalidValueError

CODES: Mapping[str, frozenset[str]] = {
    "PatientSex": frozenset("MFO"),
    "Laterality": frozenset("RL"),
}
"""Code values that PS3.3 enumerates for a tag, over and above its VR's rules."""


def parser(keyword: str, vr: str) -> Callable[[Any], Any]:
    """The function that parses one item of the tag's value; raises InvalidValueError."""
    if keyword == "TimezoneOffsetFromUTC":
        return _remembered(dates.utc_offset)
    if keyword in CODES:
        return _remembered(partial(_code, codes=CODES[keyword]))
    return _PARSERS[vr]


def _remembered(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Of texts that come again and again: codes, days, times of day, offsets."""
    known = lru_cache(maxsize=1024)(parse)
    return lambda item: known(item) if isinstance(item, str) else parse(item)


def _code(item: Any, codes: frozenset[str]) -> str:
    code = text.code_string(item)
    if code not in codes:
        raise InvalidValueError(f"not one of {', '.join(sorted(codes))}")
    return code


def _item(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidValueError("a sequence item that is an object is expected")
    return item


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "CS": _remembered(text.code_string),
    "DA": _remembered(dates.calendar_date),
    "DS": text.decimal_string,
    "DT": dates.date_time,
    "IS": text.integer_string,
    "LO": partial(text.text, vr="LO"),
    "PN": names.person_name,
    "SH": partial(text.text, vr="SH"),
    "SQ": _item,
    "TM": _remembered(dates.time_of_day),
    "UC": partial(text.text, vr="UC"),
    "UI": text.uid,
    "UR": partial(text.text, vr="UR"),
    "UT": partial(text.text, vr="UT"),
}
