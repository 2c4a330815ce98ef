"""What the systems say at one moment, and the state that it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.failures import OpenErrors
from shared.journal import Journal
from shared.model import LeaseState, Watermark
from shared.outcome import Lag, TickRecord

STORAGE, DICOM_SERVICE, FHIR_SERVER = "storage", "DICOM service", "FHIR server"
SYSTEMS = (STORAGE, DICOM_SERVICE, FHIR_SERVER)
"""As their errors name them."""
PATIENCE_SECONDS = 300.0


class State(StrEnum):
    """How the sync is. `degraded`: it goes on, but some of it failed, or a system does not answer at this moment."""

    SYNCING = "syncing"
    CAUGHT_UP = "caught up"
    BEHIND = "behind"
    NOT_SYNCING = "not syncing"
    NEVER_RAN = "never ran"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class SyncState:
    """`since`: when it began, None where that is not known. `action`: what to do, None where nothing is."""

    state: State
    since: datetime | None
    reason: str
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the systems say at one moment; None: not known, as one of them did not answer.

    `unread`: sequence numbers of the feed that no tick has read yet. `carried`: entries that wait for another try, the
    first of them since `carried_since`. `down`: what is wrong at this moment, by system. `patience_seconds`: how long
    entries may wait without any being written.
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
    patience_seconds: float = PATIENCE_SECONDS

    @property
    def last(self) -> TickRecord | None:
        """The last tick that ended."""
        return self.journal.last if self.journal else None

    @property
    def waiting(self) -> int | None:
        """Entries that wait: now, else after the last tick."""
        lag = self.lag or (self.last.lag if self.last else None)
        return lag.entries if lag else None

    @property
    def at_work_since(self) -> datetime | None:
        """When the tick began that is at work."""
        return self.lease.since if self.lease and self.lease.held else None

    @property
    def has_moved(self) -> bool:
        """Whether the tick that is at work has moved the watermark."""
        before = self.last.result.watermark.sequence if self.last and self.last.result else None
        return self.watermark is not None and before is not None and self.watermark.sequence > before

    def is_over(self, moment: datetime | None) -> bool:
        """Whether the patience with what began then is over."""
        return moment is not None and self.now - moment > timedelta(seconds=self.patience_seconds)
