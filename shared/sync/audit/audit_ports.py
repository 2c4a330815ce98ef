"""What the audit needs of the outside world besides the ports of the loop."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from shared.errors import DicomCastError
from shared.model.audit import Chunk, Difference, DifferenceQuery, Kind, Place, Round, RoundRequest
from shared.model.instance import StudyKey
from shared.model.listed_study import ListedStudy


class StudyList(Protocol):
    """The DICOM service's list of its studies."""

    def partitions(self) -> Sequence[str]:
        """The names of the data partitions, sorted; only the default one if the service has none.

        Raises FeedError, OutageError.
        """
        ...

    def page(
        self, partition: str, offset: int, dates: tuple[date, date] | None = None
    ) -> tuple[Sequence[ListedStudy], bool]:
        """One page of studies from `offset` on, in no particular order, and whether there are more.

        `dates`: the first and the last StudyDate; None: all studies. Raises FeedError, OutageError.
        """
        ...

    def is_absent(self, study_instance_uid: str, partition: str) -> bool:
        """Whether the DICOM service answers 404 for the study's metadata. Raises OutageError."""
        ...

    def is_listed(self, study_instance_uid: str, partition: str) -> bool:
        """Whether a search finds the study. Raises FeedError, OutageError."""
        ...


class RoundStore(Protocol):
    """The rounds: the current one, which may have ended, and those before it."""

    def current(self) -> Round | None: ...

    def latest(self, count: int) -> Sequence[Round]:
        """At most `count` rounds, the current one first."""
        ...

    def create(self, request: RoundRequest, not_before: datetime | None = None) -> Round:
        """A new current round, in place of one that has ended or not begun. Raises RoundUnderWayError."""
        ...

    def write(self, round_: Round) -> Round:
        """The round as stored, which may be cancelled by now. Raises LeaseLostError if another host has written it."""
        ...

    def cancel(self) -> Round | None:
        """The current round, cancelled; None if none is under way."""
        ...

    def confirm(self, round_id: str) -> Round | None:
        """The stopped round, which goes on with the deletes that it reported; None if it is not stopped."""
        ...


class DifferenceStore(Protocol):
    """A row for each study that differed."""

    def of(self, study: StudyKey) -> Difference | None: ...

    def write(self, difference: Difference) -> None: ...

    def open(
        self, size: int, after: str = "", seen_before: datetime | None = None, kind: Kind | None = None
    ) -> Sequence[tuple[str, Difference]]:
        """At most `size` open rows with their keys, behind the key `after`; `seen_before`: last seen before then."""
        ...

    def page(self, query: DifferenceQuery) -> Sequence[tuple[str, Difference]]:
        """One page of rows in the order of their keys, each with its key."""
        ...

    def counts(self) -> Mapping[Kind, int]:
        """How many open rows there are of each kind; at most a thousand rows are counted."""
        ...

    def let_go(self, resolved_before: datetime) -> None:
        """Removes the rows that were resolved before that time."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What the next step goes on with: the parts in which the chunk at a round's place is read (parts.py)."""

    round_id: str
    place: Place
    parts: Generator[DicomCastError | None, None, Chunk]


@dataclass(slots=True)
class AuditMemory:
    """What a host remembers from tick to tick; all of it may be lost at any time.

    `rests_until`: the audit makes no request before. `told`: when the log last said that a round waits for the feed.
    `chunk`: what was read of the round and is not compared yet; `reading`: what is not read to its end. `signs`: the
    search that finds the app's own studies, by the DICOM service's URL; empty if no search finds them.
    """

    rests_until: datetime | None = None
    told: datetime | None = None
    chunk: Chunk | None = None
    reading: Reading | None = None
    signs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditPorts:
    """`requests`: how many requests both servers have got so far."""

    studies: StudyList
    rounds: RoundStore
    differences: DifferenceStore
    requests: Callable[[], int]
    memory: AuditMemory = field(default_factory=AuditMemory)
