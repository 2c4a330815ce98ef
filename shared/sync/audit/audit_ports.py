"""What the audit needs of the outside world besides what the loop does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from shared.model.audit import Chunk, Difference, DifferenceQuery, Kind, Round, RoundRequest, StudyKey
from shared.model.listed_study import ListedStudy


class StudyList(Protocol):
    """The DICOM service's list of its studies."""

    def partitions(self) -> Sequence[str]:
        """The names of the data partitions, sorted; the default one alone where there are none.

        Raises FeedError, OutageError.
        """
        ...

    def page(
        self, partition: str, offset: int, dates: tuple[date, date] | None = None
    ) -> tuple[Sequence[ListedStudy], bool]:
        """Studies from `offset` on, in an order that means nothing, and whether there are more.

        `dates`: of the first and the last StudyDate. Raises FeedError, OutageError.
        """
        ...

    def is_absent(self, study_instance_uid: str, partition: str) -> bool:
        """Whether the study's metadata is answered with 404. Raises OutageError."""
        ...


class RoundStore(Protocol):
    """The rounds: the current one, which may have ended, and those before it."""

    def current(self) -> Round | None: ...

    def latest(self, count: int) -> Sequence[Round]:
        """The current one first."""
        ...

    def create(self, request: RoundRequest, not_before: datetime | None = None) -> Round:
        """A new current one, in place of one that has ended or not begun. Raises RoundUnderWayError."""
        ...

    def write(self, round_: Round) -> Round:
        """The round, or as it was cancelled meanwhile. Raises LeaseLostError where another host has written it."""
        ...

    def cancel(self) -> Round | None:
        """The current one, cancelled; None where none is under way."""
        ...

    def confirm(self, round_id: str) -> Round | None:
        """A stopped one, which goes on with the deletes that it told; None where it is not that."""
        ...


class DifferenceStore(Protocol):
    """A row for each study that differed."""

    def of(self, study: StudyKey) -> Difference | None: ...

    def write(self, difference: Difference) -> None: ...

    def open(
        self, size: int, after: str = "", seen_before: datetime | None = None, kind: Kind | None = None
    ) -> Sequence[tuple[str, Difference]]:
        """Open rows by key, behind `after`; `seen_before`: that no round has seen since."""
        ...

    def page(self, query: DifferenceQuery) -> Sequence[tuple[str, Difference]]:
        """Rows by key, each with its key."""
        ...

    def counts(self) -> Mapping[Kind, int]:
        """The open rows by kind; of more than a thousand the first thousand."""
        ...

    def let_go(self, resolved_before: datetime) -> None:
        """Takes rows away that were resolved long ago."""
        ...


@dataclass(slots=True)
class AuditMemory:
    """What a host remembers from tick to tick; all of it may be forgotten at any time.

    `rests_until`: nothing is asked before. `chunk`: what of the round was read and not compared yet.
    `signs`: the search that finds what is ours, by data partition; empty where none does.
    """

    rests_until: datetime | None = None
    chunk: Chunk | None = None
    signs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditPorts:
    """`requests`: how many were made to both servers so far."""

    studies: StudyList
    rounds: RoundStore
    differences: DifferenceStore
    requests: Callable[[], int]
    memory: AuditMemory = field(default_factory=AuditMemory)
