"""What could not be synced: failures to record, and the rows of DICOM Cast's five error tables."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.model.change_feed import DEFAULT_PARTITION, FeedEntry
from shared.model.instance import OfInstance


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


NOT_TAKEN = frozenset({ErrorTable.FHIR, ErrorTable.TRANSIENT_FAILURE})
"""The tables of entries that the FHIR server did not take."""
FINAL = frozenset({ErrorTable.DICOM, *NOT_TAKEN})
"""The tables of entries that are not synced for good."""
OF_STUDY = frozenset(
    {"DoubledPatient", "OrderOfAnotherPatient", "SeveralOrders", "SeveralPatients", "StudyTooLargeError"}
)
"""Exceptions of InvalidDicomTagExceptionTable that are about the whole study, whichever entry their row has."""


@dataclass(frozen=True, slots=True)
class FailedEntry(OfInstance):
    """A failure to record. `exception` names the class, `message` the reason, without patient values.

    `attempts`: how many failed since it was recorded last. `not_before`: when the server asked for the next one.
    `is_unforeseen`: the app raised what it did not foresee. `may_befall_all`: it may be the FHIR server's fault, and so
    befall all studies.
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
        """Whether the entry is not synced for good; else only a tag was left out, or it is tried again."""
        return self.table in FINAL

    @property
    def is_of_study(self) -> bool:
        """Whether it is about the whole study."""
        return self.table is ErrorTable.INVALID_TAG and self.exception in OF_STUDY

    @property
    def tag(self) -> str:
        """The tag, "0010,0030" of a message "(0010,0030) PatientBirthDate (DA): ..."; empty in the other tables.

        Several tags of one entry are several rows.
        """
        return self.message.split(" ", 1)[0].strip("()") if self.table is ErrorTable.INVALID_TAG else ""

    @property
    def key(self) -> tuple[str, str]:
        """PartitionKey and RowKey, which follow from the failure, so that the same failure is one row.

        A failure that has no sequence takes the study and its data partition instead.
        """
        study = [self.study_instance_uid, *([self.partition] if self.partition != DEFAULT_PARTITION else [])]
        parts = [f"{self.sequence:020d}", *([] if self.sequence else study), *([self.tag] if self.tag else [])]
        return self.exception, "-".join(parts)


def digest(*names: str) -> str:
    """Sixteen hexadecimal digits that identify what has these names."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "replace")).hexdigest()[:16]


def digest_of_study(partition: str, study_instance_uid: str, sequence: int) -> str:
    """The digest of a study, or of the sequence if no study is known, as of a torn entry."""
    return digest(partition, study_instance_uid) if study_instance_uid else digest("", str(sequence))


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row that is open. `key`: its PartitionKey and RowKey; `filed`: its place in the index of open rows.

    `study` and `instance` are digests of what it is about, so that 100,000 rows fit into memory.
    """

    table: ErrorTable
    key: tuple[str, str]
    sequence: int
    study: str
    instance: str
    filed: tuple[str, str] = ("", "")

    @property
    def is_of_study(self) -> bool:
        """Whether it is about the whole study."""
        return self.table is ErrorTable.INVALID_TAG and self.key[0] in OF_STUDY

    @property
    def kind(self) -> tuple[ErrorTable, str, str]:
        """Table, exception and tag: what failed, whichever entry it was."""
        return self.table, self.key[0], self.key[1].partition("-")[2]


@dataclass(frozen=True, slots=True)
class ErrorRow(OfInstance):
    """One row of an error table as it stands there. Times are ISO 8601; None if the original wrote the row.

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
    """Which rows of one error table to return; what is None does not matter."""

    table: ErrorTable
    only_open: bool = True
    study_instance_uid: str | None = None
    exception: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How many rows a query has, counted up to 1,000; and the exception classes that its table has, at most 50."""

    rows: int
    exceptions: Sequence[str]


MAX_COUNT = 1_000
"""Open rows of a table are counted up to this."""


@dataclass(frozen=True, slots=True)
class OpenErrors:
    """How many rows are open, by table, counted up to MAX_COUNT; and the newest of them."""

    counts: Mapping[ErrorTable, int]
    newest: Sequence[ErrorRow]


@dataclass(frozen=True, slots=True)
class CarriedEntry(OfInstance):
    """An entry that is carried because of a transient fault. `retries`: attempts after the first.

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
