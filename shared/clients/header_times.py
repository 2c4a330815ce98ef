"""Times in the headers of a service's answers: its clock, and how long it asks the app to wait."""

import contextlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_WAIT_SECONDS = 86_400.0
"""The longest wait that is taken from a server's answer; the caller limits it further."""
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
"""A date out of this range is ignored, as computing with it could leave the range of datetime."""


def served_at(headers: Mapping[str, str]) -> datetime:
    """The service's clock in whole seconds (RFC 9110, 6.6.1); the app's if there is no `Date` that can be read."""
    return clock_of(headers) or datetime.now(UTC)


def clock_of(headers: Mapping[str, str]) -> datetime | None:
    """The service's clock; None if there is no `Date` that can be read."""
    return _date(headers.get("Date", ""))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """How long the server asks the app to wait, at most `MOST_WAIT_SECONDS`; None if it does not.

    Read from `x-ms-retry-after-ms`, or from `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
    """
    milliseconds = _number(headers.get("x-ms-retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, MOST_WAIT_SECONDS)
    text = headers.get("Retry-After", "").strip()
    seconds = _number(text)
    if seconds is None and (moment := _date(text)):
        seconds = max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return None if seconds is None else min(seconds, MOST_WAIT_SECONDS)


def _number(text: str) -> float | None:
    """A number of ASCII digits, which may have a fraction. `float` alone would also take `inf` and other scripts."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()):
        return None
    number = float(text)
    return number if math.isfinite(number) else MOST_WAIT_SECONDS * 1000


def _date(text: str) -> datetime | None:
    """An HTTP date in any of its three forms (RFC 9110, 5.6.7). One without a zone is in UTC."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if _FIRST_YEAR < moment.year < _LAST_YEAR:
            return moment
    return None
