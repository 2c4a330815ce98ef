"""Query parameters, strictly: a fault is answered with 400 and a message that names the parameter."""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request

from local.dicom_service import timestamps

MAX_INTEGER = 2**63 - 1
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class Parameters:
    """The query of one request. Names are compared without regard to letter case, as ASP.NET does."""

    def __init__(self, request: Request, *known: str) -> None:
        self._values: dict[str, str] = {}
        names = {name.lower(): name for name in known}
        for given, value in request.query_params.multi_items():
            name = names.get(given.lower())
            if name is None:
                raise bad_request(f"unknown parameter {given!r}; known here: {', '.join(known) or 'none'}")
            if name in self._values:
                raise bad_request(f"{name} is given more than once")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value == "":
            raise bad_request(f"{name} is empty")
        return value

    def integer(self, name: str, *, default: int, least: int, most: int = MAX_INTEGER) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if not _INTEGER.fullmatch(value):
            raise bad_request(f"{name} is not an integer")
        if not least <= int(value) <= most:
            raise bad_request(f"{name} is out of range; it must be {least} to {most}")
        return int(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise bad_request(f"{name} is neither true nor false")
        return value.lower() == "true"

    def ticks(self, name: str, *, default: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        try:
            return timestamps.parse_iso(value)
        except ValueError as error:
            hint = "an ISO 8601 date-time with a zone, such as 2026-01-31T23:59:59Z; write + as %2B"
            raise bad_request(f"{name} is not a valid time; it must be {hint}") from error


def bad_request(message: str) -> HTTPException:
    return HTTPException(400, message)
