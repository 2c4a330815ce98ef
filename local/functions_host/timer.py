"""Timer triggers: six-field NCRONTAB, one run at a time; one run makes up for all that were missed."""

import asyncio
import contextlib
import logging
import re
from datetime import datetime
from pathlib import Path

from azure.functions.timer import TimerRequest
from croniter import CroniterError, croniter

from local.functions_host.indexing import Function
from local.functions_host.invocation import invoke
from local.functions_host.settings import HostError

logger = logging.getLogger("host")

_FIELD = re.compile(r"[0-9A-Za-z*/,\-]+")
_FIELDS = (5, 6)


class Schedule:
    """An NCRONTAB expression. Day of month and day of week must both match, as NCrontab has it.

    `where`: what the expression is of, for the error. Raises HostError if it is invalid.
    """

    def __init__(self, expression: str, where: str) -> None:
        fields = expression.split()
        if len(fields) not in _FIELDS or not all(_FIELD.fullmatch(field) for field in fields):
            raise HostError(f"{where}: {expression!r} is not an NCRONTAB expression of six fields, seconds first")
        if re.search(r"7", fields[-1]) or re.fullmatch(r".*\bL\b.*", " ".join(fields), re.IGNORECASE):
            raise HostError(f"{where}: {expression!r}: NCRONTAB knows days of the week 0 to 6, and no L")
        self._expression = " ".join(fields if len(fields) == max(_FIELDS) else ["0", *fields])
        try:
            self.next_after(_now())
        except CroniterError as error:
            raise HostError(f"{where}: {expression!r} is not an NCRONTAB expression: {error}") from None

    def next_after(self, moment: datetime) -> datetime:
        """The first time after the moment that matches the expression."""
        due: datetime = croniter(
            self._expression, moment, ret_type=datetime, second_at_beginning=True, day_or=False
        ).get_next()
        return due


class Timer:
    """Runs one function by its schedule until it is stopped."""

    def __init__(self, function: Function, schedule: Schedule, root: Path) -> None:
        self.function = function
        self._schedule = schedule
        self._root = root
        self._busy = asyncio.Lock()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Runs the function at each due time. Due times that pass during a run are made up for by one run, past due."""
        if self.function.trigger.get("runOnStartup"):
            await self.fire("Timer fired at startup.")
        due, past_due = self._schedule.next_after(_now()), False
        while not await self._stopped_before(due):
            await self.fire(f"Timer fired at {_now().isoformat()}", past_due=past_due)
            following = self._schedule.next_after(due)
            past_due = following <= _now()
            due = _now() if past_due else following

    async def fire(self, reason: str, *, past_due: bool = False) -> None:
        """Runs the function once, after a run under way has ended. What it raises is logged, and not raised again."""
        async with self._busy:
            request = TimerRequest(past_due=past_due, schedule={"AdjustForDST": True}, schedule_status={})
            with contextlib.suppress(Exception):  # logged by `invoke`
                await invoke(self.function, request, reason, self._root)

    async def _stopped_before(self, due: datetime) -> bool:
        """Waits until the time is due, or `stop` is called. Returns whether `stop` was called."""
        try:
            async with asyncio.timeout(max(0.0, (due - _now()).total_seconds())):
                await self._stopping.wait()
        except TimeoutError:
            return self._stopping.is_set()
        return True

    async def stop(self, seconds: float) -> None:
        """Lets no new run start, and waits for the one under way, for at most `seconds`."""
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._busy.acquire()


def _now() -> datetime:
    return datetime.now().astimezone()
