"""What the loop needs of the outside world."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.model import (
    CarriedEntry,
    ChangeFeedEntry,
    FailedEntry,
    FeedEntry,
    FeedPage,
    Resource,
    StoredWatermark,
    TickRecord,
    Watermark,
)


class Feed(Protocol):
    """The DICOM service's change feed."""

    def pages(self, after: Watermark) -> Iterator[FeedPage]:
        """What follows `after`, page by page, to the end. Raises FeedError, OutageError."""
        ...

    def entries(self, sequences: Collection[int]) -> Sequence[FeedEntry]:
        """These entries as they are now, in the feed's order, but for those that the feed has no more."""
        ...

    def latest(self) -> ChangeFeedEntry | None:
        """The newest entry, without metadata; None where the feed is empty."""
        ...


class FhirServer(Protocol):
    """A FHIR R4 server."""

    @property
    def calls(self) -> int:
        """HTTP requests made so far."""
        ...

    def check(self) -> None:
        """Raises IncompatibleServerError unless the server is R4 and takes transactions."""
        ...

    def probe(self) -> None:
        """Raises OutageError unless the server answers."""
        ...

    def search(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages. Raises TransientError, OutageError, FhirRefusedError."""
        ...

    def transact(self, bundle: Resource) -> list[Resource]:
        """The answer's entries, one per entry sent, each a 2xx. Raises also ConflictError."""
        ...


class WatermarkStore(Protocol):
    """The watermark's row."""

    def read(self) -> StoredWatermark: ...

    def write(self, stored: StoredWatermark) -> StoredWatermark:
        """The row as it is now. Raises LeaseLostError where another host has written it since this one was read."""
        ...


class ErrorStore(Protocol):
    """The error tables."""

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """One row per failure; the same failure again is the same row."""
        ...

    def carried(self, after: int, through: int) -> list[CarriedEntry]:
        """The entries of (after, through] that are open in the table of transient faults."""
        ...

    def resolve(self, sequences: Collection[int]) -> None:
        """Marks the open rows of these entries as resolved."""
        ...


class TickStore(Protocol):
    """What the last tick did."""

    def read(self) -> TickRecord | None: ...

    def write(self, record: TickRecord) -> None: ...


class Lease(Protocol):
    """The singleton lock."""

    def acquire(self) -> bool:
        """False where another host holds it. While held it renews itself."""
        ...

    def ensure_held(self) -> None:
        """Raises LeaseLostError once it is ours no more."""
        ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All of them. `now` is the host's clock, in UTC; `sleep` waits so many seconds."""

    feed: Feed
    fhir: FhirServer
    watermarks: WatermarkStore
    errors: ErrorStore
    ticks: TickStore
    lease: Lease
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
