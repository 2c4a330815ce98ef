"""Which rule a tag's values must keep: by its VR, and for some tags also by PS3.3."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from shared.mapping import dates, names, text
from shared.mapping.text import InvalidValueError

CODES: Mapping[str, frozenset[str]] = {
    "PatientSex": frozenset("MFO"),
    "Laterality": frozenset("RL"),
    "ImageLaterality": frozenset("RLUB"),
}
"""Code values that PS3.3 enumerates for a tag, in addition to its VR's rules."""


def parser(keyword: str, vr: str) -> Callable[[Any], Any]:
    """The function that parses one item of the tag's value, and raises InvalidValueError.

    Raises ValueError if there is none for the VR, as its values are bulk data (PS3.18 F.2.2).
    """
    if keyword == "TimezoneOffsetFromUTC":
        return _cached(dates.utc_offset)
    if keyword in CODES:
        return _cached(partial(_code, codes=CODES[keyword]))
    if vr not in _PARSERS:
        raise ValueError(
            f"{keyword}: values of VR {vr} are binary, which no metadata holds: no row can be made of them"
        )
    return _PARSERS[vr]


def _cached(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function with a cache, for texts that repeat: codes, days, times of day, offsets."""
    cached = lru_cache(maxsize=1024)(parse)
    return lambda item: cached(item) if isinstance(item, str) else parse(item)


def _code(item: Any, codes: frozenset[str]) -> str:
    code = text.code_string(item)
    if code not in codes:
        raise InvalidValueError(f"not one of {', '.join(sorted(codes))}")
    return code


def _item(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise InvalidValueError("a sequence item that is an object is expected")
    return item


def _whole(bits: int, *, signed: bool = False) -> Callable[[Any], Any]:
    within = range(-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else range(2**bits)
    return partial(text.whole_number, within=within)


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "AE": partial(text.text, vr="AE"),
    "AS": text.age_string,
    "AT": text.tag,
    "CS": _cached(text.code_string),
    "DA": _cached(dates.calendar_date),
    "DS": text.decimal_string,
    "DT": dates.date_time,
    "FD": text.decimal_string,
    "FL": text.decimal_string,
    "IS": text.integer_string,
    "LO": partial(text.text, vr="LO"),
    "LT": partial(text.text, vr="LT"),
    "PN": names.person_name,
    "SH": partial(text.text, vr="SH"),
    "SL": _whole(32, signed=True),
    "SQ": _item,
    "SS": _whole(16, signed=True),
    "ST": partial(text.text, vr="ST"),
    "SV": _whole(64, signed=True),
    "TM": _cached(dates.time_of_day),
    "UC": partial(text.text, vr="UC"),
    "UI": text.uid,
    "UL": _whole(32),
    "UR": partial(text.text, vr="UR"),
    "US": _whole(16),
    "US or SS": partial(text.whole_number, within=range(-(2**15), 2**16)),
    "UT": partial(text.text, vr="UT"),
    "UV": _whole(64),
}
