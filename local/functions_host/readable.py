"""What a person reads at the terminal of `make run`: a sentence for each tick that did something, no page requests."""

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
_TICKS = "shared.sync.tick"
_JSON = re.compile(r' (\{".*\})\Z', re.DOTALL)
"""What is for queries at the end of a line of the app."""
_SAID = frozenset({"State", "Before", "Since", "Action", "System"})
"""What the text of such a line says already, or is said in words."""
_CALLS = "host"
FORMAT, DATE_FORMAT = "%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"


@dataclass(frozen=True, slots=True)
class TickLine:
    """What the app's own line says of a tick.

    `ended`: entries that are in FHIR, or recorded as failed; `carried`: those that wait for another try. `behind`:
    entries of the change feed; None where it is not known.
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
        """None where the record is another line than a tick's."""
        if record.name != _TICKS or not hasattr(record, "Outcome"):
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
        """Whether it brought entries on; else it is told again only once in a while."""
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
    """Leaves out the calls of functions, but for one that raises, and ticks that do nothing new within a minute."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._told: tuple[str, str | None] | None = None
        self._told_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be read."""
        if record.name == _CALLS and record.levelno <= logging.INFO:
            return False
        tick = TickLine.of(record)
        if tick is None:
            return True
        said = (tick.outcome, tick.error)
        if said == self._told and not tick.did_something and self._now() - self._told_at < HEARTBEAT_SECONDS:
            return False
        self._told, self._told_at = said, self._now()
        return True


class ReadableFormatter(logging.Formatter):
    """A tick as a sentence; of other lines the text, and what of the JSON behind it the text does not say."""

    def __init__(self) -> None:
        super().__init__(FORMAT, DATE_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The line; the record, and so what else reads it, stays as it is."""
        tick = TickLine.of(record)
        if tick is not None:
            return f"{self.formatTime(record, self.datefmt)} {tick}"
        plain = copy(record)
        plain.msg, plain.args = _JSON.sub(_in_words, record.getMessage()), None
        return super().format(plain)


def _in_words(found: re.Match[str]) -> str:
    try:
        said = json.loads(found[1])
    except ValueError:  # no line of the app's
        return found[0]
    more = ", ".join(f"{name} {value}" for name, value in said.items() if name not in _SAID and value is not None)
    return (f" ({more})" if more else "") + (f". What to do: {said['Action']}" if said.get("Action") else "")
