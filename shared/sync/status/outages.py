"""Logs an outage once when it begins and once when it ends, not at every tick; likewise a change of the state."""

import logging
from collections.abc import Callable
from datetime import datetime

from shared.errors import OutageError
from shared.process.log_lines import log_line
from shared.sync.status.snapshot import State, SyncState

logger = logging.getLogger(__name__)
_LEVELS = {State.NOT_SYNCING: logging.ERROR, State.BEHIND: logging.WARNING, State.DEGRADED: logging.WARNING}


class OutageLog:
    """Remembers which systems are down, as long as the process runs."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._since: dict[str, datetime] = {}

    def down(self, error: OutageError) -> None:
        """Notes that a system is down; logs the first error of several in a row."""
        if error.system not in self._since:
            self._since[error.system] = self._now()
            log_line(logger, logging.ERROR, f"outage, nothing is skipped: {error}", System=error.system)

    def since(self, system: str) -> datetime | None:
        """Since when the system is down; None if it is not."""
        return self._since.get(system)

    def up(self) -> None:
        """To be called once a batch has ended well: what was down is back."""
        for system, since in self._since.items():
            seconds = (self._now() - since).total_seconds()
            log_line(logger, logging.WARNING, f"{system} is back after {seconds:.0f} s", System=system)
        self._since.clear()


def log_change(before: State | None, found: SyncState) -> None:
    """Logs the state if it differs from the one before; `before`: None if that is not known."""
    if found.state is before:
        return
    log_line(
        logger,
        _LEVELS.get(found.state, logging.INFO),
        f"state {found.state}: {found.reason}",
        State=found.state,
        Before=before,
        Since=found.since.isoformat() if found.since else None,
        Action=found.action,
    )
