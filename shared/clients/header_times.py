"""The times that a service tells in its answers' headers: its clock, and how long it asks us to wait."""

import contextlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_WAIT_SECONDS = 86_400.0
"""No server is taken to mean more; what a study is rested for is bounded further by who rests it."""
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
"""A date beyond these is none: what is reckoned from it would leave the calendar."""


def served_at(headers: Mapping[str, str]) -> datetime:
    """The service's own clock, whole seconds (RFC 9110, 6.6.1); ours where it sends no `Date` that can be read."""
    return clock_of(headers) or datetime.now(UTC)


def clock_of(headers: Mapping[str, str]) -> datetime | None:
    """The service's own clock; None where it does not tell it."""
    return _date(headers.get("Date", ""))


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """How long the server asks us to wait, at most `MOST_WAIT_SECONDS`; None where it does not say.

    By `x-ms-retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
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
    """Digits of ASCII, and a fraction: `float` takes more, `inf` and digits of other scripts among it."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text.strip()):
        return None
    number = float(text)
    return number if math.isfinite(number) else MOST_WAIT_SECONDS * 1000


def _date(text: str) -> datetime | None:
    """An HTTP date in any of its three forms; one without a zone is UTC (RFC 9110, 5.6.7), as one given twice is."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if _FIRST_YEAR < moment.year < _LAST_YEAR:
            return moment
    return None
