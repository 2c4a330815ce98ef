"""One study on its way through a batch: mapped, and what came of it."""

from dataclasses import dataclass

from shared.errors import TransientError
from shared.failures import ErrorTable, FailedEntry
from shared.sync.mapped_entries import Changes
from shared.sync.merging import StudyMerger

PATIENT_ID = "(0010,0020) PatientID (LO)"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded."""

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether the FHIR server would not take something of it."""
        return any(failure.table is ErrorTable.FHIR for failure in self.failures)


StudyOutcome = StudyResult | TransientError
"""Of a study with a TransientError nothing counts as done."""


@dataclass(frozen=True, slots=True)
class Task:
    """One study, mapped; `changes` None: there is nothing to do."""

    merger: StudyMerger
    changes: Changes | None
    failures: tuple[FailedEntry, ...]

    def result(self, wrote: bool, refused: tuple[FailedEntry, ...] = ()) -> StudyResult:
        """How it ended: with what the mapping left out, and Patients that are there twice."""
        return StudyResult(wrote, (*self.failures, *refused, *self._doubles()))

    def _doubles(self) -> list[FailedEntry]:
        """The study is synced, and somebody has to look."""
        if self.changes is None or not (told := self.merger.doubles(self.changes)):
            return []
        entry = self.changes.changes[-1].entry
        return [FailedEntry.of(entry, ErrorTable.INVALID_TAG, "DoubledPatient", f"{PATIENT_ID}: {'; '.join(told)}")]
