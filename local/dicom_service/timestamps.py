"""Times of the change feed, in ticks of 100 ns since 1970-01-01 UTC: `datetime` has only microseconds."""

import re
import time
from datetime import UTC, datetime, timedelta

TICKS_PER_SECOND = 10_000_000
_NANOSECONDS_PER_TICK = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO_8601 = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?)(\.(?P<fraction>\d{1,7}))?(?P<zone>Z|[+-]\d\d:\d\d)", re.ASCII
)


def now() -> int:
    """The current time in ticks."""
    return time.time_ns() // _NANOSECONDS_PER_TICK


def iso_format(ticks: int) -> str:
    """ISO 8601 with seven fractional digits and +00:00."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:07d}+00:00"


def parse_iso(text: str) -> int:
    """The ticks of an ISO 8601 date-time with a zone. Raises ValueError for anything else."""
    match = _ISO_8601.fullmatch(text)
    if not match:
        raise ValueError("not an ISO 8601 date-time with a zone")
    whole = datetime.fromisoformat(match["seconds"] + match["zone"])
    seconds = (whole - _EPOCH) // timedelta(seconds=1)
    return seconds * TICKS_PER_SECOND + int((match["fraction"] or "").ljust(7, "0"))
