"""What the loop needs of the outside world."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.model.change_feed import ChangeFeedEntry, FeedEntry, FeedPage
from shared.model.failures import CarriedEntry, ErrorCount, ErrorQuery, ErrorRow, FailedEntry, OpenErrors, OpenRow
from shared.model.fhir import Resource, Written
from shared.model.journal import Journal, Slot
from shared.model.lease import LeaseState
from shared.model.listed_study import ListedStudy
from shared.model.replay import Replay, ReplayRequest
from shared.model.watermark import Hole, StoredWatermark, Watermark
from shared.process.deadline import Deadline
from shared.process.telemetry import Telemetry
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.handover import Handover
from shared.sync.merge.feed_order import FeedOrder
from shared.sync.merge.order_searches import OrderSearches
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.queue.concurrency import ConcurrencyLimit
from shared.sync.read.settling import Settling


class Feed(Protocol):
    """The DICOM service's change feed."""

    def pages(self, after: Watermark, at_once: int = 1) -> Iterator[FeedPage]:
        """The pages behind `after`, to the end of the feed; `at_once` of them are requested at a time.

        Raises FeedError, OutageError.
        """
        ...

    def entries(self, sequences: Collection[int]) -> Sequence[FeedEntry]:
        """These entries as they are now, in the feed's order; those that the feed no longer has are left out."""
        ...

    def filled(self, holes: Sequence[Hole]) -> tuple[Sequence[FeedEntry], Sequence[Hole]]:
        """The entries that now fill holes, and the holes that may still fill. Raises FeedError, OutageError."""
        ...

    def latest(self) -> FeedEntry | None:
        """The entry of the highest sequence, without metadata; None if the feed is empty."""
        ...

    def between(self, after: Watermark, end: str) -> Iterator[FeedPage]:
        """The pages of entries behind `after` whose Timestamp is before `end` (ISO 8601)."""
        ...

    def by_sequence(self, by_time: Watermark) -> Watermark:
        """The mark by sequence number for one that follows API v2's order, by time. Raises FeedError, OutageError."""
        ...

    def first_after(self, watermark: Watermark) -> FeedEntry | None:
        """The first entry behind the watermark, without metadata; None if there is none."""
        ...


class Archive(Protocol):
    """The DICOM service's own account of its studies."""

    def instances(
        self, study_instance_uid: str, partition: str, series_instance_uid: str | None = None
    ) -> Iterator[ChangeFeedEntry]:
        """All instances that it holds of a study or of one series, as entries of sequence 0; none if it is gone.

        They are yielded while they are read. Raises FeedError or OutageError at any of them: then discard them all.
        """
        ...

    def series(self, study_instance_uid: str, partition: str) -> Sequence[str]:
        """The SeriesInstanceUIDs of a study, each once; none if it is gone. Raises FeedError, OutageError."""
        ...

    def one_of(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> ChangeFeedEntry | None:
        """Any one instance of the series, as an entry of sequence 0; None if there is none.

        Raises FeedError, OutageError.
        """
        ...

    def listed(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> frozenset[str]:
        """The SOPInstanceUIDs of a series, as a search finds them; none if it is gone.

        Raises FeedError, OutageError.
        """
        ...

    def metadata(self, entry: ChangeFeedEntry) -> Mapping[str, Any] | None:
        """The instance's whole metadata, None if it is gone. Raises FeedError, OutageError."""
        ...

    def counts(self, study_instance_uid: str, partition: str) -> Mapping[str, int]:
        """The number of instances of each series, by SeriesInstanceUID. Raises FeedError, OutageError."""
        ...

    def studies(self, keyword: str, value: str, partition: str, most: int) -> Sequence[ListedStudy]:
        """At most `most` studies that have this value of `keyword`: StudyInstanceUID, AccessionNumber or PatientID.

        Raises FeedError, OutageError.
        """
        ...


class FhirServer(Protocol):
    """A FHIR R4 server."""

    @property
    def calls(self) -> int:
        """HTTP requests made so far."""
        ...

    @property
    def quickest(self) -> float:
        """Seconds that the quickest response so far took; 0 before the first."""
        ...

    def capability_texts(self) -> Mapping[str, str]:
        """What has been learned so far of how the server behaves, in words, for the status."""
        ...

    def check(self) -> None:
        """Raises IncompatibleServerError unless the server is R4 and takes transactions."""
        ...

    def ensure_answers(self) -> None:
        """Raises OutageError unless the server answers a search. Nothing is written."""
        ...

    def probe(self) -> None:
        """Raises OutageError unless the server's store can be read and written; nothing is left behind."""
        ...

    def search(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages. Raises TransientError, OutageError, FhirRefusedError."""
        ...

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        """The matches of each search (type and query), in one request if the server accepts that."""
        ...

    def pages(self, resource_type: str, query: str, most: int) -> Iterator[list[Resource]]:
        """The matches page by page. Raises PagingError beyond `most` pages, or if the next cannot be got."""
        ...

    def first(self, resource_type: str, query: str) -> list[Resource]:
        """The first page of the matches."""
        ...

    def read(self, reference: str) -> Resource | None:
        """The resource `Patient/7` as it is now, even if searches still lag behind; None if it is gone."""
        ...

    def transact(self, bundle: Resource) -> list[Written]:
        """What became of each entry, in the order sent. Raises what `search` does, and ConflictError."""
        ...

    def most_entries(self, *, conditional: bool) -> int:
        """How many entries a transaction may have, with `ifNoneExist` or without."""
        ...

    def too_many_entries(self, size: int, *, conditional: bool) -> None:
        """Remembers that a transaction of `size` entries was refused although its parts were accepted."""
        ...


class WatermarkStore(Protocol):
    """The watermark's row."""

    def read(self) -> StoredWatermark: ...

    def write(self, stored: StoredWatermark) -> StoredWatermark:
        """The row as it is now. Raises LeaseLostError if another host has written it since it was read."""
        ...


class ErrorStore(Protocol):
    """The error tables."""

    def begin(self) -> None:
        """To be called as a tick begins, under the lease: another host may have worked since the last one."""
        ...

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """One row per failure; the same failure again is the same row."""
        ...

    def carried(self, most: int) -> list[CarriedEntry]:
        """The carried entries, wherever they are in the feed: at most `most`."""
        ...

    @property
    def is_any_carried(self) -> bool:
        """Whether `carried` has any, as far as is known without a request."""
        ...

    def disown(self) -> None:
        """The last write came after the lease was lost: whoever holds it now must read the open rows again."""
        ...

    def open_rows(self, studies: Collection[tuple[str, str]], sequences: Collection[int]) -> list[OpenRow]:
        """The open rows of these studies (data partition, UID), and of these sequences if their study is not known."""
        ...

    def torn(self, sequence: int) -> list[OpenRow]:
        """The open rows of a sequence whose study is not known. Needs no `begin`."""
        ...

    def close(self, rows: Collection[OpenRow]) -> None:
        """Marks them as resolved."""
        ...

    def open_errors(self) -> OpenErrors:
        """The counts and the newest of the open rows."""
        ...

    def page(self, query: ErrorQuery, size: int, after: tuple[str, str] | None = None) -> list[ErrorRow]:
        """At most `size` rows in the table's order; `after` is the key of the last row of the page before."""
        ...

    def count(self, query: ErrorQuery) -> ErrorCount:
        """How many rows match the query, and which exceptions its table can be filtered by."""
        ...


class JournalStore(Protocol):
    """The record of what the ticks did."""

    def read(self) -> Journal: ...

    def write(self, journal: Journal) -> None: ...

    def history(self, since: datetime) -> list[Slot]:
        """The slots that began at `since` or later, oldest first."""
        ...


class ReplayStore(Protocol):
    """The replays."""

    def create(self, request: ReplayRequest) -> Replay:
        """A new replay, or the one under way for the same request. Raises TooManyReplaysError."""
        ...

    def read(self, replay_id: str) -> Replay | None: ...

    def latest(self, count: int) -> list[Replay]:
        """The newest first."""
        ...

    def under_way(self) -> list[Replay]:
        """Oldest first."""
        ...

    def write(self, replay: Replay) -> Replay:
        """The replay as stored, which may be cancelled. Raises LeaseLostError if another host has written it."""
        ...

    def cancel(self, replay_id: str) -> Replay | None:
        """The replay, None if there is none. One that has ended stays as it is."""
        ...


class Lease(Protocol):
    """The singleton lock."""

    def acquire(self) -> bool:
        """False if another host holds it. While held it renews itself."""
        ...

    def ensure_held(self) -> None:
        """Raises LeaseLostError once this host no longer holds it."""
        ...

    def show_progress(self, done: int, entries: int) -> None:
        """Publishes for the status that `done` of the slice's entries are done. Never raises."""
        ...

    def release(self) -> None: ...

    def state(self) -> LeaseState:
        """Whether any host holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What the loop works with. `now` returns the host's time in UTC; `sleep` waits for a number of seconds.

    `cache`, `order_searches`, `concurrency` and `handover` hold what the host remembers of the FHIR server from batch
    to batch, `feed_order` what it remembers of the feed's order, `settling` what it has read of growing studies.
    `audit`: None if no audit is made. `deadline`: every request to the DICOM service and the FHIR server keeps to it.
    """

    feed: Feed
    archive: Archive
    fhir: FhirServer
    watermarks: WatermarkStore
    errors: ErrorStore
    journal: JournalStore
    replays: ReplayStore
    lease: Lease
    telemetry: Telemetry
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    cache: ResourceCache = field(default_factory=ResourceCache)
    concurrency: ConcurrencyLimit = field(default_factory=ConcurrencyLimit)
    handover: Handover = field(default_factory=Handover)
    deadline: Deadline = field(default_factory=Deadline)
    feed_order: FeedOrder = field(default_factory=FeedOrder)
    order_searches: OrderSearches = field(default_factory=OrderSearches)
    settling: Settling = field(default_factory=Settling)
    audit: AuditPorts | None = None
