"""One study on its way through a batch: mapped, and what came of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.errors import TransientError
from shared.mapping.resources import MappedInstance
from shared.model.failures import ErrorTable, FailedEntry, InstanceOfRow
from shared.sync.map.mapped_entries import Changes
from shared.sync.merge.merging import StudyMerger
from shared.sync.merge.patient_links import DOUBLED, SEVERAL
from shared.sync.read.plan import instance_of

PATIENT_ID = "(0010,0020) PatientID (LO)"
ACCESSION_NUMBER = "(0008,0050) AccessionNumber (SH)"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded.

    `untrue`: exceptions of rows of the whole study; what they say was looked for, and is not so. `gone`: instances
    that the archive holds no more under these UIDs, and the study's former selves.
    """

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()
    untrue: frozenset[str] = frozenset()
    gone: frozenset[InstanceOfRow] = frozenset()

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
        uid, gone = self.changes.study_instance_uid, self.merger.gone.of(self.changes.study_instance_uid)
        looks = [
            *_doubled_patient(self.merger, self.changes),
            *_several_patients(self.merger, self.changes),
            *_orders(self.merger, self.changes),
        ]
        failures = (*_of_those_there(self.failures, self.changes, gone), *refused, *looks)
        untrue = self.merger.patients.untrue(self.changes) | self.merger.orders.untrue(uid)
        untrue |= self.merger.gone.exceptions(uid)
        self.merger.patients.ended(self.changes)
        return StudyResult(wrote, failures, frozenset(untrue - {failure.exception for failure in failures}), gone)


def _of_those_there(
    failures: Sequence[FailedEntry], study: Changes, gone: Collection[InstanceOfRow]
) -> list[FailedEntry]:
    """Of tags that were left out. What instances share was told of the first: if that is gone, another tells it."""
    if not any(failure.instance in gone for failure in failures):
        return list(failures)
    mapped = [one for one in study.changes if isinstance(one, MappedInstance) and instance_of(one.entry) not in gone]
    told: dict[tuple[str, str], FailedEntry] = {}
    for failure in failures:
        of = failure
        if failure.instance in gone and not failure.is_final:
            others = (one.entry for one in mapped if failure.tag in _invalid_tags(one))
            if (other := next(others, None)) is None:
                continue
            of = FailedEntry.of(other, failure.table, failure.exception, failure.message)
        told.setdefault(of.key, of)
    return list(told.values())


def _invalid_tags(change: MappedInstance) -> set[str]:
    return {fault.tag.strip("()") for scope in (change.patient, change.study, change.series) for fault in scope.faults}


def _doubled_patient(merger: StudyMerger, study: Changes) -> list[FailedEntry]:
    """Patients that are there twice."""
    told = merger.patients.doubles(study)
    return [_told(merger, study, DOUBLED, f"{PATIENT_ID}: {'; '.join(told)}")] if told else []


def _several_patients(merger: StudyMerger, study: Changes) -> list[FailedEntry]:
    """Instances of the study that are not all one patient's."""
    told = merger.patients.several_patients(study)
    return [_told(merger, study, SEVERAL, f"{PATIENT_ID}: {told}")] if told else []


def _orders(merger: StudyMerger, study: Changes) -> list[FailedEntry]:
    """Orders that the study could not be linked to."""
    found = merger.orders.told(study.study_instance_uid)
    return [_told(merger, study, name, f"{ACCESSION_NUMBER}: {told}") for name, told in found.items()]


def _told(merger: StudyMerger, study: Changes, name: str, told: str) -> FailedEntry:
    if study.changes:
        return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, name, told)
    uids = (study.study_instance_uid, "", "")
    return FailedEntry(ErrorTable.INVALID_TAG, 0, *uids, name, told, partition=merger.partition)
