"""Replays: entries, a study or stored failures that are run again. Records only; `sync/replay/` runs them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import accumulate

from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import ErrorTable
from shared.model.stored_text import json_bytes, shortened
from shared.model.watermark import Watermark

MAX_KEPT = 50
"""How many errors, and writes, a replay keeps. Their bytes are bounded too, as it is one property of a row."""
MAX_ERRORS_BYTES, MAX_WRITES_BYTES, MAX_MESSAGE_BYTES = 36_000, 14_000, 4_000
_NAMES_BYTES = 160
"""What the JSON of an error or a write takes besides its values."""


class ReplayState(StrEnum):
    """Where a replay stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Entries from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Entries with start <= Timestamp < end, both ISO 8601 with an offset."""

    start: str
    end: str


@dataclass(frozen=True, slots=True)
class StudyRebuild:
    """The study as the DICOM service holds it now, in one of its data partitions."""

    study_instance_uid: str
    partition: str = DEFAULT_PARTITION


@dataclass(frozen=True, slots=True)
class StoredErrors:
    """The open rows of the tables; those with this exception, or of this study, unless it is None."""

    tables: tuple[ErrorTable, ...]
    exception: str | None = None
    failed_study: str | None = None


ReplayTarget = SequenceRange | TimeRange | StudyRebuild | StoredErrors


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is to be run again. `dry_run`: only report what would be written.

    `patients`: the newest of the entries overwrite Patients, as the policy says; else they only fill.
    """

    target: ReplayTarget
    dry_run: bool = False
    patients: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a replay is: a place in the feed, or a row of an error table. It goes on behind it."""

    place: Watermark = field(default_factory=Watermark)
    table: ErrorTable | None = None
    row: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ReplayError:
    """An entry that was not synced. `sequence`: None if the instance did not come from the feed, but from a rebuild.

    With neither a sequence nor a UID it is about the replay as a whole.
    """

    sequence: int | None
    sop_instance_uid: str
    message: str

    @property
    def stored_bytes(self) -> int:
        """The bytes that it takes in the row."""
        return _NAMES_BYTES + json_bytes(self.message) + json_bytes(self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """What a dry run would write: `url` is a type, or type/id."""

    method: str
    url: str
    study_instance_uid: str

    @property
    def stored_bytes(self) -> int:
        """The bytes that it takes in the row."""
        return _NAMES_BYTES + json_bytes(self.url) + json_bytes(self.study_instance_uid)


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """In entries, instances or rows. `total`: None if it was not known beforehand."""

    done: int = 0
    total: int | None = None
    written: int = 0
    unchanged: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay. `waiting_for`: why it does not go on; since `failing_since`, after so many attempts (`tries`).

    `more_errors`, `more_writes`: how many there were besides those that are kept.
    """

    id: str
    request: ReplayRequest
    state: ReplayState
    created: datetime
    updated: datetime
    progress: ReplayProgress = field(default_factory=ReplayProgress)
    errors: tuple[ReplayError, ...] = ()
    writes: tuple[PlannedWrite, ...] = ()
    cursor: Cursor = field(default_factory=Cursor)
    waiting_for: str | None = None
    failing_since: datetime | None = None
    tries: int = 0
    more_errors: int = 0
    more_writes: int = 0

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to do."""
        return self.state in (ReplayState.QUEUED, ReplayState.RUNNING)

    def adding(self, errors: Sequence[ReplayError], writes: Sequence[PlannedWrite] = ()) -> "Replay":
        """With these besides. The first that fit into the row are kept, the others are only counted."""
        met = (*self.errors, *map(_cut, errors))
        planned = (*self.writes, *writes)
        kept_errors = met[: _fitting([one.stored_bytes for one in met], MAX_ERRORS_BYTES)]
        kept_writes = planned[: _fitting([one.stored_bytes for one in planned], MAX_WRITES_BYTES)]
        return replace(
            self,
            errors=kept_errors,
            writes=kept_writes,
            more_errors=self.more_errors + len(met) - len(kept_errors),
            more_writes=self.more_writes + len(planned) - len(kept_writes),
        )

    def failing(self, error: ReplayError) -> "Replay":
        """Ended by this error, which is kept even if others must make room for it."""
        met = (*self.errors, _cut(error))
        while _fitting([one.stored_bytes for one in met], MAX_ERRORS_BYTES) < len(met):
            met = met[:-2] + met[-1:]
        more = self.more_errors + len(self.errors) + 1 - len(met)
        return replace(self, state=ReplayState.FAILED, errors=met, more_errors=more)

    def waiting(self, reason: str | None) -> "Replay":
        """With the reason why it does not go on; None: it goes on."""
        return replace(self, waiting_for=reason and shortened(reason, MAX_MESSAGE_BYTES))


def _cut(error: ReplayError) -> ReplayError:
    return replace(error, message=shortened(error.message, MAX_MESSAGE_BYTES))


def _fitting(sizes: Sequence[int], most: int) -> int:
    """How many sizes, from the first on, add up to no more than `most`."""
    return sum(total <= most for total in accumulate(sizes[:MAX_KEPT]))
