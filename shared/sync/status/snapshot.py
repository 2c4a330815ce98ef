"""What the systems say at one moment, and the state of the sync that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from shared.model.failures import OpenErrors
from shared.model.journal import Journal
from shared.model.lease import LeaseState
from shared.model.outcome import Lag, TickRecord
from shared.model.watermark import Watermark

STORAGE, DICOM_SERVICE, FHIR_SERVER = "storage", "DICOM service", "FHIR server"
SYSTEMS = (STORAGE, DICOM_SERVICE, FHIR_SERVER)
"""As their errors name them."""
STANDSTILL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RunningTick:
    """The tick at work: since when, and how many entries of its slice are done; None if that is not known yet."""

    since: datetime
    seconds: float
    done: int | None
    entries: int | None

    def __str__(self) -> str:
        done = self.done is not None and self.entries is not None
        return f" for {lasted(self.seconds)}" + (
            f", {self.done:,} of {self.entries:,} entries are done" if done else ""
        )


def lasted(seconds: float) -> str:
    """As people say it: 45 s, 1 min 32 s, 2 h 5 min."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


class State(StrEnum):
    """How the sync is. `degraded`: it goes on, but some entries failed, or a system does not respond at this moment."""

    SYNCING = "syncing"
    CAUGHT_UP = "caught up"
    BEHIND = "behind"
    NOT_SYNCING = "not syncing"
    NEVER_RAN = "never ran"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class SyncState:
    """`since`: when the state began, None if not known. `action`: what to do, None if there is nothing to do."""

    state: State
    since: datetime | None
    reason: str
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the systems say at one moment. None: not known, as one of them did not respond.

    `unread`: sequence numbers of the feed that no tick has read yet. `carried`: carried entries, the first of them
    since `carried_since`. `down`: what is wrong at this moment, by system. `standstill_seconds`: how long entries may
    wait without any being written.
    """

    now: datetime
    journal: Journal | None
    watermark: Watermark | None = None
    lag: Lag | None = None
    unread: int | None = None
    lease: LeaseState | None = None
    errors: OpenErrors | None = None
    carried: int = 0
    carried_since: datetime | None = None
    down: Mapping[str, str] = field(default_factory=dict)
    standstill_seconds: float = STANDSTILL_SECONDS

    @classmethod
    def by_tick(cls, journal: Journal, standstill_seconds: float) -> "Snapshot":
        """What the last tick knew when it ended; it did not look at the error tables, nor for systems that are down."""
        last = journal.last
        if last is None:
            return cls(datetime.min.replace(tzinfo=UTC), journal)
        result = last.result
        return cls(
            now=last.ended,
            journal=journal,
            watermark=result.watermark if result else None,
            lag=last.lag,
            unread=last.unread,
            carried=result.waiting if result else 0,
            standstill_seconds=standstill_seconds,
        )

    @property
    def last(self) -> TickRecord | None:
        """The last tick that ended."""
        return self.journal.last if self.journal else None

    @property
    def waiting(self) -> int | None:
        """How many entries wait to be synced: now, or after the last tick if that is not known."""
        lag = self.lag or (self.last.lag if self.last else None)
        return lag.entries if lag else None

    @property
    def at_work_since(self) -> datetime | None:
        """When the tick that is at work began; None if there is none, or if that is not known."""
        return self.lease.since if self.lease and self.lease.held else None

    @property
    def running(self) -> RunningTick | None:
        """The tick that is at work; None if there is none, or if it is not known since when."""
        since = self.at_work_since
        if not (self.lease and since):
            return None
        seconds = max(0.0, (self.now - since).total_seconds())
        return RunningTick(since, round(seconds, 1), self.lease.done, self.lease.entries)

    @property
    def has_moved(self) -> bool:
        """Whether the tick that is at work has moved the watermark."""
        before = self.last.result.watermark.sequence if self.last and self.last.result else None
        return self.watermark is not None and before is not None and self.watermark.sequence > before

    def is_over(self, moment: datetime | None) -> bool:
        """Whether the moment is longer ago than entries may wait."""
        return moment is not None and self.now - moment > timedelta(seconds=self.standstill_seconds)
