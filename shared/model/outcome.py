"""How a batch and a tick ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.model.counts import Counts
from shared.model.failures import ErrorTable
from shared.model.watermark import Watermark

DURATION_BUCKETS = ("0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0", "120.0", "240.0", "+Inf")
"""Upper bounds in seconds, as Prometheus writes them: an idle tick takes tenths, the longest 240 s by default."""

STUDIES_OF_AN_OUTAGE = 3
"""If this many studies fail, each by itself, and none succeeds, it is the server and not the studies."""


class Outcome(StrEnum):
    """How a tick ended. `standstill`: without an error, but as several before it changed nothing while entries wait."""

    SYNCED = "synced"
    IDLE = "idle"
    LEASE_HELD = "leaseHeld"
    STANDSTILL = "standstill"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BatchResult(Counts):
    """What one batch did. The watermark stands before the first of the carried entries."""

    outcome: Outcome
    watermark: Watermark
    held_by: str | None = None
    """Why the feed was not read to its end, None if it was."""
    recorded: Mapping[ErrorTable, int] = field(default_factory=dict)
    """Rows written, by error table."""
    codings_without_system: Mapping[str, int] = field(default_factory=dict)
    """Codings written that have no `system`, by FHIR element."""
    brought_on: bool = True
    """Whether a study was synced or is carried, a row was written, or the next tick reads further on."""
    waiting: int = 0
    """Entries that are carried at the end of the batch, those of earlier ticks included."""
    waiting_studies: int = 0
    """The studies that these are of."""
    read_through: Watermark | None = None
    """How far the feed was read, by this batch or earlier ones; None if an older release wrote the record."""
    but_settling: Watermark | None = None
    """Where the watermark would stand if no study settled, from which the lag counts; None like `read_through`."""

    @property
    def done(self) -> Watermark:
        """The watermark from which the lag counts: entries of studies that settle are not behind."""
        return self.but_settling or self.watermark


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the sync is behind the feed: sequence numbers, and the age of the oldest entry that is not synced."""

    entries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TickDurations:
    """How many ticks took how long, by bucket, and the sum in seconds. A bucket does not include those below it."""

    buckets: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ticks(self) -> int:
        """The number of ticks."""
        return sum(self.buckets.get(bucket, 0) for bucket in DURATION_BUCKETS)

    def with_tick(self, seconds: float) -> "TickDurations":
        """With one more tick."""
        bucket = next(bucket for bucket in DURATION_BUCKETS if seconds <= float(bucket))
        buckets = {**self.buckets, bucket: self.buckets.get(bucket, 0) + 1}
        return TickDurations(buckets, round(self.seconds + seconds, 3))


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One tick. `result`: None if its batch did not end; `lag`: None if the feed could not be asked.

    `system`: the one that `error` is about, None if it is about none.
    """

    started: datetime
    duration_seconds: float
    outcome: Outcome
    result: BatchResult | None = None
    error: str | None = None
    lag: Lag | None = None
    system: str | None = None

    @property
    def ended_well(self) -> bool:
        """Whether it synced, or found nothing to do."""
        return self.outcome in (Outcome.SYNCED, Outcome.IDLE)

    @property
    def ended(self) -> datetime:
        """When it ended."""
        return self.started + timedelta(seconds=self.duration_seconds)

    @property
    def stood_still(self) -> bool:
        """Whether it ended well but changed nothing though entries wait: no study was even tried."""
        result = self.result
        is_behind = self.lag is not None and self.lag.entries > 0
        return self.ended_well and is_behind and result is not None and not result.brought_on

    @property
    def is_quiet(self) -> bool:
        """Whether there was nothing to do, and no entry waits."""
        return self.outcome is Outcome.IDLE and self.lag is not None and self.lag.entries == 0

    @property
    def unread(self) -> int | None:
        """Sequence numbers of the feed that no tick has read yet; None if that is not known."""
        result = self.result
        if result is None or self.lag is None or result.read_through is None:
            return None
        return max(0, self.lag.entries - (result.read_through.sequence - result.done.sequence))

    @property
    def waits_for_few(self) -> bool:
        """Whether only carried studies wait, and so few that it is their fault and not the FHIR server's."""
        return self.unread == 0 and self.result is not None and self.result.waiting_studies < STUDIES_OF_AN_OUTAGE

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it did anything, or failed."""
        return self.outcome is not Outcome.IDLE
