"""What could not be synced: failures to record, and the rows of DICOM Cast's five error tables."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.model.change_feed import DEFAULT_PARTITION, FeedEntry


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


OF_STUDY = frozenset(
    {"DoubledPatient", "OrderOfAnotherPatient", "SeveralOrders", "SeveralPatients", "StudyTooLargeError"}
)
"""Of InvalidDicomTagExceptionTable: what such a row says is of the whole study, whichever entry it hangs on."""

InstanceOfRow = tuple[str, str, str, str]
"""Data partition, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID."""


@dataclass(frozen=True, slots=True)
class FailedEntry:
    """A failure to record. `exception` names the class, `message` the reason, without patient values.

    `attempts`: how many failed since it was recorded last. `not_before`: when the server asked for the next one.
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
    attempts: int = 1
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

    @property
    def is_of_study(self) -> bool:
        """Whether it is the whole study's."""
        return self.table is ErrorTable.INVALID_TAG and self.exception in OF_STUDY

    @property
    def instance(self) -> InstanceOfRow:
        """What it is about."""
        return self.partition, self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid

    @property
    def tag(self) -> str:
        """Several tags of one entry are several rows; empty in the other tables.

        "(0010,0030) PatientBirthDate (DA): ..." says it.
        """
        return self.message.split(" ", 1)[0].strip("()") if self.table is ErrorTable.INVALID_TAG else ""

    @property
    def key(self) -> tuple[str, str]:
        """PartitionKey and RowKey: made of the failure, so that the same failure is one row.

        Where no entry of the feed told of it the study does, in its data partition.
        """
        study = [self.study_instance_uid, *([self.partition] if self.partition != DEFAULT_PARTITION else [])]
        parts = [f"{self.sequence:020d}", *([] if self.sequence else study), *([self.tag] if self.tag else [])]
        return self.exception, "-".join(parts)


def digest(*names: str) -> str:
    """Sixteen hexadecimal digits that tell what bears these names from all else."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "replace")).hexdigest()[:16]


def digest_of_study(partition: str, study_instance_uid: str, sequence: int) -> str:
    """Of the sequence where no study is known: of a torn entry."""
    return digest(partition, study_instance_uid) if study_instance_uid else digest("", str(sequence))


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row that is open. `key`: its PartitionKey and RowKey; `filed`: its place in the index of open rows.

    `study` and `instance` are digests of what it is about: 100,000 rows are to fit into memory.
    """

    table: ErrorTable
    key: tuple[str, str]
    sequence: int
    study: str
    instance: str
    filed: tuple[str, str] = ("", "")

    @property
    def is_of_study(self) -> bool:
        """Whether it is the whole study's."""
        return self.table is ErrorTable.INVALID_TAG and self.key[0] in OF_STUDY

    @property
    def kind(self) -> tuple[ErrorTable, str, str]:
        """Table, exception and tag: what failed, whichever entry told of it."""
        return self.table, self.key[0], self.key[1].partition("-")[2]


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

    @property
    def study(self) -> tuple[str, str]:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid


@dataclass(frozen=True, slots=True)
class ErrorQuery:
    """Rows of one error table to be told; None: not asked for."""

    table: ErrorTable
    only_open: bool = True
    study_instance_uid: str | None = None
    exception: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Of a query: how many rows, counted to 1,000; and the classes of exceptions that its table has, at most 50."""

    rows: int
    exceptions: Sequence[str]


MAX_COUNT = 1_000
"""So far open rows of a table are counted."""


@dataclass(frozen=True, slots=True)
class OpenErrors:
    """How many rows are open, by table, counted to MAX_COUNT; and the newest of them."""

    counts: Mapping[ErrorTable, int]
    newest: Sequence[ErrorRow]


@dataclass(frozen=True, slots=True)
class CarriedEntry:
    """An entry that a transient fault kept from being synced. `retries`: attempts after the first.

    `last_attempt`: None if it only waits for others of its study.
    """

    sequence: int
    study_instance_uid: str
    retries: int
    first_seen: datetime
    last_attempt: datetime | None
    not_before: datetime | None = None
    partition: str = DEFAULT_PARTITION
    series_instance_uid: str = ""
    sop_instance_uid: str = ""

    @property
    def study(self) -> tuple[str, str]:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid

    @property
    def instance(self) -> InstanceOfRow:
        """What it is about."""
        return self.partition, self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid
