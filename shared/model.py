"""The records that pass between the rooms of the app. Frozen: what was read is never changed, only replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Resource = dict[str, Any]
"""A FHIR resource or Bundle as plain JSON: it may carry elements that we do not know."""

DEFAULT_PARTITION = "Microsoft.Default"


class Action(StrEnum):
    """What happened to the instance (change feed, `Action`)."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class State(StrEnum):
    """What became of the instance since (change feed, `State`)."""

    CURRENT = "current"
    REPLACED = "replaced"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ChangeFeedEntry:
    """One change of one instance. `metadata` is the instance's *current* DICOM JSON, None where there is none.

    `timestamp` is ISO 8601 as the feed wrote it: its 100 ns digits order API v2, and a datetime would drop them.
    """

    sequence: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    action: Action
    state: State
    timestamp: str
    partition: str = DEFAULT_PARTITION
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the feed is done: every entry up to `sequence` is in FHIR or in an error table.

    `timestamp` is that of the last entry passed, as the feed wrote it; API v2 orders by it. None: not known.
    """

    sequence: int = 0
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class StoredWatermark:
    """The watermark and the ETag of its row, None where there is no row yet.

    `read_through`: how far the feed has been read; between the two only carried entries are not done.
    `failed_through`: no entry after this sequence was ever recorded as failed.
    """

    watermark: Watermark
    etag: str | None
    read_through: Watermark
    failed_through: int = 0


class PatientUpdatePolicy(StrEnum):
    """What a sync may change on a Patient that the FHIR server holds already."""

    OVERWRITE = "overwrite"
    FILL = "fill"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class TornEntry:
    """An entry of the feed that cannot be read; `message` says why. What is not known is empty, or None.

    `partition` is the default one where it is not known.
    """

    sequence: int
    timestamp: str | None
    message: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    partition: str = DEFAULT_PARTITION


FeedEntry = ChangeFeedEntry | TornEntry


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries of the feed, in its order, that nothing can come before any more.

    `through` is the watermark once they are done. `held_by` says what the feed stops before, None where it does not.
    """

    entries: Sequence[FeedEntry]
    through: Watermark
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class InvalidTag:
    """A tag whose value broke a rule. Never carries the value itself."""

    tag: str
    keyword: str
    vr: str
    rule: str

    def __str__(self) -> str:
        return f"{self.tag} {self.keyword} ({self.vr}): {self.rule}"


class ErrorTable(StrEnum):
    """Where a failure is recorded: DICOM Cast's five tables."""

    INVALID_TAG = "InvalidDicomTagExceptionTable"
    DICOM = "DicomFailToStoreExceptionTable"
    FHIR = "FhirFailToStoreExceptionTable"
    TRANSIENT_RETRY = "TransientRetryExceptionTable"
    TRANSIENT_FAILURE = "TransientFailureExceptionTable"


@dataclass(frozen=True, slots=True)
class FailedEntry:
    """A failure to record. `exception` names the class, `message` the reason, without patient values.

    `tries`: how often it failed since it was recorded last. `not_before`: when the server asked to be tried again.
    """

    table: ErrorTable
    sequence: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    exception: str
    message: str
    tries: int = 1
    not_before: datetime | None = None
    partition: str = DEFAULT_PARTITION

    @classmethod
    def of(cls, entry: FeedEntry, table: ErrorTable, exception: str, message: str) -> "FailedEntry":
        """The failure of a change feed entry."""
        uids = (entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)
        return cls(table, entry.sequence, *uids, exception, message, partition=entry.partition)

    @property
    def is_final(self) -> bool:
        """Whether the entry was not synced; else a tag of it was left out, or it is tried again."""
        return self.table not in (ErrorTable.INVALID_TAG, ErrorTable.TRANSIENT_RETRY)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row of an error table as it stands there. Times are ISO 8601; None where the original wrote the row.

    `resolved_at`: None while it is open. `key` is its place in the table's order.
    """

    table: ErrorTable
    exception: str
    sequence: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    partition: str
    message: str
    retry_number: int
    first_seen: str | None
    last_seen: str | None
    resolved_at: str | None
    key: tuple[str, str]


@dataclass(frozen=True, slots=True)
class ErrorQuery:
    """Rows of one error table to be told; None: not asked for."""

    table: ErrorTable
    only_open: bool = True
    study_instance_uid: str | None = None
    exception: str | None = None


@dataclass(frozen=True, slots=True)
class OpenErrors:
    """How many rows are open, by table, counted to 1,000; and the newest of them."""

    counts: Mapping[ErrorTable, int]
    newest: Sequence[ErrorRow]


@dataclass(frozen=True, slots=True)
class CarriedEntry:
    """An entry that a transient fault kept from being synced. `retries` counts tries after the first."""

    sequence: int
    study_instance_uid: str
    retries: int
    first_seen: datetime
    last_seen: datetime
    not_before: datetime | None = None


class Outcome(StrEnum):
    """How a tick ended."""

    SYNCED = "synced"
    IDLE = "idle"
    LEASE_HELD = "leaseHeld"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one batch did. Counts are of entries, but `studies` (groups) and `fhir_calls` (HTTP requests).

    `carried` entries wait for a later tick; until then the watermark stands before the first of them.
    """

    outcome: Outcome
    watermark: Watermark
    entries: int = 0
    studies: int = 0
    written: int = 0
    unchanged: int = 0
    failed: int = 0
    invalid_tags: int = 0
    carried: int = 0
    fhir_calls: int = 0
    held_by: str | None = None
    """Why the watermark stands before the end of what was read, None where it does not."""
    recorded: Mapping[ErrorTable, int] = field(default_factory=dict)
    """Rows written, by error table."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Whether a host holds the lease, and since when; None where that is not known."""

    held: bool
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the sync is behind the feed: sequence numbers, and the age of the oldest entry that is not synced."""

    entries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One tick. `result` is None where its batch did not end, `lag` where the feed could not be asked."""

    started: datetime
    duration_seconds: float
    outcome: Outcome
    result: BatchResult | None = None
    error: str | None = None
    lag: Lag | None = None

    @property
    def ended_well(self) -> bool:
        """Whether it did what a tick is for."""
        return self.outcome in (Outcome.SYNCED, Outcome.IDLE)

    @property
    def is_worth_telling(self) -> bool:
        """Whether it did anything, or failed."""
        return self.outcome is not Outcome.IDLE
