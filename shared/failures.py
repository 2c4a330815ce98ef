"""What could not be synced: failures to record, and the rows of DICOM Cast's five error tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.model import DEFAULT_PARTITION, FeedEntry


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
    `is_unforeseen`: it is the app that fell. `may_befall_all`: what the
    FHIR server did may be no fault of the study's.
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
    is_unforeseen: bool = False
    may_befall_all: bool = False

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
    """An entry that a transient fault kept from being synced. `retries` counts tries after the first.

    `last_tried`: None where it only waits for others of its study.
    """

    sequence: int
    study_instance_uid: str
    retries: int
    first_seen: datetime
    last_tried: datetime | None
    not_before: datetime | None = None
    partition: str = DEFAULT_PARTITION

    @property
    def study(self) -> tuple[str, str]:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid
