"""One study on its way through a batch: mapped, and what came of it."""

from dataclasses import dataclass

from shared.errors import TransientError
from shared.failures import ErrorTable, FailedEntry
from shared.sync.map.mapped_entries import Changes
from shared.sync.merge.merging import StudyMerger
from shared.sync.merge.patient_links import DOUBLED, SEVERAL

PATIENT_ID = "(0010,0020) PatientID (LO)"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded.

    `untrue`: exceptions of rows of the whole study; what they say was looked for, and is not so.
    """

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()
    untrue: frozenset[str] = frozenset()

    @property
    def is_fallen(self) -> bool:
        """Whether nothing of it was done, for what may befall all: nobody foresaw it, or the FHIR server forbids."""
        befallen = (failure.is_unforeseen or failure.may_befall_all for failure in self.failures)
        return not self.wrote and bool(self.failures) and all(befallen)

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
        """How it ended: with what the mapping left out, and what somebody has to look at though the study is synced."""
        if self.changes is None:
            return StudyResult(wrote, (*self.failures, *refused))
        self.merger.patients.took(self.changes, refused)
        looks = [*_doubled_patient(self.merger, self.changes), *_several_patients(self.merger, self.changes)]
        failures = (*self.failures, *refused, *looks)
        untrue = self.merger.patients.untrue(self.changes) - {failure.exception for failure in failures}
        return StudyResult(wrote, failures, frozenset(untrue))


def _doubled_patient(merger: StudyMerger, study: Changes) -> list[FailedEntry]:
    """Patients that are there twice."""
    told = merger.patients.doubles(study)
    return [_told(study, DOUBLED, "; ".join(told))] if told else []


def _several_patients(merger: StudyMerger, study: Changes) -> list[FailedEntry]:
    """Instances of the study that are not all one patient's."""
    told = merger.patients.several_patients(study)
    return [_told(study, SEVERAL, told)] if told else []


def _told(study: Changes, name: str, told: str) -> FailedEntry:
    return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, name, f"{PATIENT_ID}: {told}")
