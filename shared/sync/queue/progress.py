"""How far the work on a slice has come: what maps and writes is loaded by the first entry only."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from shared.errors import OutageError
from shared.model.change_feed import ChangeFeedEntry
from shared.model.counts import Counts
from shared.sync.read.plan import Plan, Study

if TYPE_CHECKING:
    from shared.mapping.patients import PatientIdentity, Patients


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline`: nothing is begun after it. `total_retry_seconds`: after that time a study is given up."""

    deadline: datetime
    total_retry_seconds: float


@dataclass(slots=True)
class Progress:
    """What has been done so far.

    `studies_written` counts studies. `unfinished`: neither synced nor recorded, because of the `outage` or for want of
    time.
    """

    counts: Counts = field(default_factory=Counts)
    studies_written: int = 0
    codings_without_system: Counter[str] = field(default_factory=Counter)
    carried: list[ChangeFeedEntry] = field(default_factory=list)
    unfinished: list[Study] = field(default_factory=list)
    outage: OutageError | None = None

    @property
    def done(self) -> int:
        """Entries that are synced, recorded, or carried to a later tick."""
        return self.counts.ended + self.counts.carried

    def carry(self, entries: Sequence[ChangeFeedEntry]) -> None:
        """Counts entries that are recorded as carried."""
        self.carried += entries
        self.counts += Counts(carried=len(entries))


@dataclass(frozen=True, slots=True)
class Work:
    """What was done of a slice's plan; `plan` is what is left of it without the studies that settle.

    `settling`: the sequences of their entries. `patients` tells whose an instance is; None if the plan had no entries.
    """

    plan: Plan
    progress: Progress = field(default_factory=Progress)
    settling: frozenset[int] = frozenset()
    patients: "Patients | None" = None

    def carried_patients(self) -> "list[tuple[int, PatientIdentity | None]]":
        """The sequence of each carried entry, with the patient whom it names."""
        if self.patients is None:
            return []
        return [(entry.sequence, self.patients.of(entry.metadata)) for entry in self.progress.carried]
