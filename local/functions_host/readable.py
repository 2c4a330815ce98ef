"""The log at the terminal of `make run`: a sentence for each tick that did something, and no line for each request."""

import json
import logging
import re
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Self

from local.plural import number

HEARTBEAT_SECONDS = 60
_TICK_LOGGER = "shared.sync.tick"
_JSON = re.compile(r' (\{".*\})\Z', re.DOTALL)
"""The JSON at the end of a line of the app's log, which is there for queries."""
_LEFT_OUT = frozenset({"State", "Before", "Since", "Action", "System"})
"""Names in that JSON that are left out here: the line's text has them, or `_in_words` writes them in words."""
_HOST_LOGGER = "host"
FORMAT, DATE_FORMAT = "%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"


@dataclass(frozen=True, slots=True)
class TickLine:
    """The values of the line that the app logs for a tick.

    `ended`: how many entries are in FHIR or recorded as failed. `carried`: how many are kept for a later tick.
    `behind`: how many entries of the change feed are not synced yet; None if that is not known. `seconds`: how long it
    took.
    """

    outcome: str
    error: str | None
    ended: int
    studies: int
    failed: int
    carried: int
    behind: int | None
    seconds: float

    @classmethod
    def of(cls, record: logging.LogRecord) -> Self | None:
        """Reads a log record; None if it is not the line for a tick."""
        if record.name != _TICK_LOGGER or not hasattr(record, "Outcome"):
            return None
        return cls(
            str(record.Outcome),
            getattr(record, "Error", None),
            sum(getattr(record, name, 0) for name in ("Written", "Unchanged", "Failed")),
            getattr(record, "Studies", 0),
            getattr(record, "Failed", 0),
            getattr(record, "Carried", 0),
            getattr(record, "LagEntries", None),
            getattr(record, "DurationSeconds", 0.0),
        )

    @property
    def did_something(self) -> bool:
        """Whether the tick synced entries. If not, an equal line is shown only once a minute."""
        return self.outcome == "synced"

    def __str__(self) -> str:
        behind = "how far behind is not known" if self.behind is None else f"{self.behind:,} behind"
        if self.did_something:
            entries, studies = number(self.ended, "entry", "entries"), number(self.studies, "study", "studies")
            wait = "waits" if self.carried == 1 else "wait"
            waiting = f", {self.carried:,} {wait} for another try" if self.carried else ""
            did = f"synced {entries} of {studies}, {self.failed:,} failed{waiting}"
            return f"{did}, {behind}, {self.seconds:.1f} s"
        if self.outcome == "idle":
            return f"nothing new in the change feed, {behind}"
        if self.outcome == "leaseHeld":
            return "another host syncs: it has the lease"
        return f"{self.outcome}: {self.error or 'no reason is known'}, {behind}"


class ReadableFilter(logging.Filter):
    """Leaves out calls of functions that succeed, and ticks that did nothing if the last tick's line was the same.

    After a minute, such a line is shown again.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._shown: tuple[str, str | None] | None = None
        self._shown_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        if record.name == _HOST_LOGGER and record.levelno <= logging.INFO:
            return False
        tick = TickLine.of(record)
        if tick is None:
            return True
        fields = (tick.outcome, tick.error)
        if fields == self._shown and not tick.did_something and self._now() - self._shown_at < HEARTBEAT_SECONDS:
            return False
        self._shown, self._shown_at = fields, self._now()
        return True


class ReadableFormatter(logging.Formatter):
    """Writes a tick as a sentence. Of other lines, it writes the text, and the rest of the JSON in words."""

    def __init__(self) -> None:
        super().__init__(FORMAT, DATE_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The line. The record is not changed, since other handlers read it too."""
        tick = TickLine.of(record)
        if tick is not None:
            return f"{self.formatTime(record, self.datefmt)} {tick}"
        plain = copy(record)
        plain.msg, plain.args = _JSON.sub(_in_words, record.getMessage()), None
        return super().format(plain)


def _in_words(found: re.Match[str]) -> str:
    """The JSON at a line's end in words, as ` (name value, ...). What to do: ...`."""
    try:
        fields = json.loads(found[1])
    except ValueError:  # the text is not JSON, so the app did not write it
        return found[0]
    more = ", ".join(f"{name} {value}" for name, value in fields.items() if name not in _LEFT_OUT and value is not None)
    return (f" ({more})" if more else "") + (f". What to do: {fields['Action']}" if fields.get("Action") else "")
