"""What the ticks did, kept for the status, the health and the plots: bounded, however long the app runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared.model.counts import Counts
from shared.model.outcome import Outcome, TickDurations, TickRecord
from shared.model.stored_text import shortened

SLOT_SECONDS = 300
SLOTS = 2016
"""A week of slots; then the oldest is overwritten."""
RECENT = 20
"""How many ticks are kept whole; only texts that are too long are shortened."""
MAX_TEXT_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Slot:
    """The sums of the ticks that began within five minutes; the lag is the largest that any saw, None if none did."""

    start: datetime
    ticks: int = 0
    failed_ticks: int = 0
    entries: int = 0
    written: int = 0
    unchanged: int = 0
    failed: int = 0
    fhir_calls: int = 0
    busy_seconds: float = 0.0
    lag_entries: int | None = None
    lag_seconds: float | None = None

    @classmethod
    def of(cls, moment: datetime) -> "Slot":
        """An empty slot for the five minutes that the moment is in."""
        return cls(datetime.fromtimestamp(moment.timestamp() // SLOT_SECONDS * SLOT_SECONDS, UTC))

    @property
    def number(self) -> int:
        """Its place in the week's ring, 0 to 2015."""
        return int(self.start.timestamp()) // SLOT_SECONDS % SLOTS

    def with_tick(self, record: TickRecord) -> "Slot":
        """The slot with one more tick."""
        lag = record.lag
        return replace(
            (record.result or Counts()).added_to(self),
            ticks=self.ticks + 1,
            failed_ticks=self.failed_ticks + (not record.ended_well),
            busy_seconds=round(self.busy_seconds + record.duration_seconds, 3),
            lag_entries=max(self.lag_entries or 0, lag.entries) if lag else self.lag_entries,
            lag_seconds=max(self.lag_seconds or 0.0, lag.seconds) if lag else self.lag_seconds,
        )


@dataclass(frozen=True, slots=True)
class Journal:
    """The last tick, those before it that did anything (`recent`, newest first), sums over all, and the current slot.

    `durations`: of all ticks, by outcome. `well_at`: when a tick last ended well. `still_ticks`: how many of the last
    ticks changed nothing though the feed goes on. `failing_since`: when the first of the last ticks began that have
    failed one after the other. `unwritten_since`: when the first of those began after which entries waited, and none of
    which ended any entry: written, unchanged or failed. Entries of a few studies that fail by themselves do not count,
    as all others could be written.
    """

    last: TickRecord | None = None
    recent: tuple[TickRecord, ...] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    slot: Slot | None = None
    well_at: datetime | None = None
    still_ticks: int = 0
    failing_since: datetime | None = None
    unwritten_since: datetime | None = None
    durations: Mapping[Outcome, TickDurations] = field(default_factory=dict)
    codings_without_system: Mapping[str, int] = field(default_factory=dict)
    """Those that were written, of all ticks, by FHIR element."""

    def is_repeated_by(self, record: TickRecord, seconds: float) -> bool:
        """Whether the tick need not be written: it found nothing to do, nor did the last written one, just before."""
        return record.is_quiet and self.is_quiet_at(record.ended, seconds)

    def is_quiet_at(self, moment: datetime, seconds: float) -> bool:
        """Whether the last written tick found nothing to do, less than `seconds` before the moment."""
        return self.last is not None and self.last.is_quiet and moment - self.last.ended < timedelta(seconds=seconds)

    def with_tick(self, record: TickRecord) -> "Journal":
        """The journal with one more tick; an idle one is kept only as the last."""
        record = _shortened(record)
        counts = (record.result or Counts()).by_name
        totals = {name: self.totals.get(name, 0) + count for name, count in counts.items()}
        durations = self.durations.get(record.outcome, TickDurations()).with_tick(record.duration_seconds)
        slot = Slot.of(record.started)
        if self.slot is not None and self.slot.start == slot.start:
            slot = self.slot
        return Journal(
            last=record,
            recent=((record, *self.recent) if record.is_worth_keeping else self.recent)[:RECENT],
            totals={"ticks": self.totals.get("ticks", 0) + 1, **totals},
            slot=slot.with_tick(record),
            well_at=record.ended if record.ended_well else self.well_at,
            still_ticks=self._still_ticks(record),
            failing_since=self._failing_since(record),
            unwritten_since=self._unwritten_since(record),
            durations={**self.durations, record.outcome: durations},
            codings_without_system=self._codings(record),
        )

    def _codings(self, record: TickRecord) -> dict[str, int]:
        more = record.result.codings_without_system if record.result else {}
        return dict(Counter(self.codings_without_system) + Counter(more))

    def _still_ticks(self, record: TickRecord) -> int:
        if record.stood_still or record.outcome is Outcome.STANDSTILL:
            return self.still_ticks + 1
        return 0 if record.ended_well else self.still_ticks

    def _failing_since(self, record: TickRecord) -> datetime | None:
        if record.outcome is Outcome.FAILED:
            return self.failing_since or record.started
        return (
            self.failing_since if record.outcome is Outcome.STOPPED else None
        )  # another host works, and its ticks say more

    def _unwritten_since(self, record: TickRecord) -> datetime | None:
        result = record.result
        if result and result.ended:
            return None
        if record.lag is None:  # whether any entry waits is not known
            return self.unwritten_since
        if not record.lag.entries or record.waits_for_few:
            return None
        return self.unwritten_since or record.started


def _shortened(record: TickRecord) -> TickRecord:
    """With texts short enough to be stored: a server's messages may be of any length."""
    result = record.result
    if result and result.held_by:
        result = replace(result, held_by=shortened(result.held_by, MAX_TEXT_BYTES))
    return replace(record, result=result, error=record.error and shortened(record.error, MAX_TEXT_BYTES))
