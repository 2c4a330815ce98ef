"""A replay: entries, a study or stored failures that are run again. Records only; `sync/replay.py` runs them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.failures import ErrorTable
from shared.model import DEFAULT_PARTITION, Watermark

MAX_TOLD = 50
"""So many errors and writes a replay keeps of its own."""


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
    """An entry that was not synced; `sequence` None: the instance came from the DICOM service, not from the feed."""

    sequence: int | None
    sop_instance_uid: str
    message: str


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """What a dry run would write: `url` is a type, or type/id."""

    method: str
    url: str
    study_instance_uid: str


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
    """One replay. `waiting_for`: why it does not go on; `failing_since` and `tries` are of what waits."""

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

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to do."""
        return self.state in (ReplayState.QUEUED, ReplayState.RUNNING)
