"""Reads query parameters. One that is wrong or unknown is answered with 400 and a message that names it."""

import re
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request

from local.dicom_service import timestamps

MAX_INTEGER = 2**63 - 1
_DATES = re.compile("(?P<first>[0-9]{8})?(?P<range>-(?P<last>[0-9]{8})?)?")
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class Parameters:
    """The query parameters of one request. The case of their names is ignored, as in ASP.NET.

    All methods raise HTTPException 400 if the value is not what it must be.
    """

    def __init__(self, request: Request, *known: str, several: str | None = None) -> None:
        """`known`: names of parameters that may be given once. `several`: one that may be given more than once."""
        self._values: dict[str, str] = {}
        self.several: list[str] = []
        names = {name.lower(): name for name in (*known, *([several] if several else []))}
        for given, value in request.query_params.multi_items():
            name = names.get(given.lower())
            if name is None:
                raise bad_request(f"unknown parameter {given!r}; known here: {', '.join(names.values()) or 'none'}")
            if name == several:
                self.several.append(value)
                continue
            if name in self._values:
                raise bad_request(f"{name} is given more than once")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """The value, which must not be empty; None if the parameter is not given."""
        value = self._values.get(name)
        if value == "":
            raise bad_request(f"{name} is empty")
        return value

    def dates(self, name: str) -> tuple[str, str] | None:
        """The first and the last day of a day or a range of days (PS3.4 C.2.2.2.5), as YYYYMMDD; None if not given."""
        value = self.text(name)
        if value is None:
            return None
        found = _DATES.fullmatch(value)
        days = [found["first"], found["last"]] if found else []
        if not any(days) or not all(_is_day(day) for day in days if day):
            raise bad_request(f"{name} is neither a day nor a range of days, such as 20260131 or 20260101-20260131")
        first, last = days if found and found["range"] else (days[0], days[0])
        return first or "00000000", last or "99999999"

    def integer(self, name: str, *, default: int, least: int, most: int = MAX_INTEGER) -> int:
        """The value, from `least` to `most`."""
        value = self._values.get(name)
        if value is None:
            return default
        if not _INTEGER.fullmatch(value):
            raise bad_request(f"{name} is not an integer")
        if not least <= int(value) <= most:
            raise bad_request(f"{name} is out of range; it must be {least} to {most}")
        return int(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        """Whether the value is `true`, in any case."""
        value = self._values.get(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise bad_request(f"{name} is neither true nor false")
        return value.lower() == "true"

    def ticks(self, name: str, *, default: int) -> int:
        """The date-time as ticks (timestamps.py)."""
        value = self._values.get(name)
        if value is None:
            return default
        try:
            return timestamps.parse_iso(value)
        except ValueError as error:
            hint = "an ISO 8601 date-time with a zone, such as 2026-01-31T23:59:59Z; write + as %2B"
            raise bad_request(f"{name} is not a valid time; it must be {hint}") from error


def _is_day(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y%m%d").year > 0  # noqa: DTZ007 a day of no time zone
    except ValueError:
        return False


def bad_request(message: str) -> HTTPException:
    """The error to raise for a status of 400."""
    return HTTPException(400, message)
