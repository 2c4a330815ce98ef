"""A replay: entries, a study or stored failures that are run again. Records only; `sync/replay.py` runs them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import accumulate

from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import ErrorTable
from shared.model.stored_text import json_bytes, shortened
from shared.model.watermark import Watermark

MAX_TOLD = 50
"""So many errors and writes a replay keeps of its own, in so many bytes at most: it is one property of a row."""
MAX_ERRORS_BYTES, MAX_WRITES_BYTES, MAX_MESSAGE_BYTES = 36_000, 14_000, 4_000
_NAMES_BYTES = 160
"""Of an error, or of a write: what stands around its values."""


class ReplayState(StrEnum):
    """Where it stands."""

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
    """The open rows of the tables, narrowed down by what is not None."""

    tables: tuple[ErrorTable, ...]
    exception: str | None = None
    failed_study: str | None = None


ReplayTarget = SequenceRange | TimeRange | StudyRebuild | StoredErrors


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is to be run again. `dry_run`: only say what would be written.

    `patients`: the newest word among what is run again overwrites Patients, as the policy says; else it only fills.
    """

    target: ReplayTarget
    dry_run: bool = False
    patients: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """What comes next is behind this: a place in the feed, or a row of an error table."""

    place: Watermark = field(default_factory=Watermark)
    table: ErrorTable | None = None
    row: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ReplayError:
    """An entry that was not synced; `sequence` None: the instance came from the DICOM service, not from the feed.

    With neither sequence nor UID it is of the replay as a whole.
    """

    sequence: int | None
    sop_instance_uid: str
    message: str

    @property
    def stored_bytes(self) -> int:
        """What it takes in the row."""
        return _NAMES_BYTES + json_bytes(self.message) + json_bytes(self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """What a dry run would write: `url` is a type, or type/id."""

    method: str
    url: str
    study_instance_uid: str

    @property
    def stored_bytes(self) -> int:
        """What it takes in the row."""
        return _NAMES_BYTES + json_bytes(self.url) + json_bytes(self.study_instance_uid)


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """In entries, instances or rows. `total` None: not known beforehand."""

    done: int = 0
    total: int | None = None
    written: int = 0
    unchanged: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay. `waiting_for`: why it does not go on; `failing_since` and `tries` are of what waits.

    `more_errors` and `more_writes` there were besides those that are kept.
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
        """With these too, as far as the row has room: the first are kept, the rest is counted."""
        met = (*self.errors, *map(_cut, errors))
        planned = (*self.writes, *writes)
        told = met[: _fitting([one.stored_bytes for one in met], MAX_ERRORS_BYTES)]
        kept = planned[: _fitting([one.stored_bytes for one in planned], MAX_WRITES_BYTES)]
        return replace(
            self,
            errors=told,
            writes=kept,
            more_errors=self.more_errors + len(met) - len(told),
            more_writes=self.more_writes + len(planned) - len(kept),
        )

    def failing(self, error: ReplayError) -> "Replay":
        """Ended by this: it is told whatever else there is to tell."""
        met = (*self.errors, _cut(error))
        while _fitting([one.stored_bytes for one in met], MAX_ERRORS_BYTES) < len(met):
            met = met[:-2] + met[-1:]
        more = self.more_errors + len(self.errors) + 1 - len(met)
        return replace(self, state=ReplayState.FAILED, errors=met, more_errors=more)

    def waiting(self, reason: str | None) -> "Replay":
        """With why it does not go on."""
        return replace(self, waiting_for=reason and shortened(reason, MAX_MESSAGE_BYTES))


def _cut(error: ReplayError) -> ReplayError:
    return replace(error, message=shortened(error.message, MAX_MESSAGE_BYTES))


def _fitting(sizes: Sequence[int], most: int) -> int:
    """How many of them, from the first on, take no more than `most`."""
    return sum(total <= most for total in accumulate(sizes[:MAX_TOLD]))
