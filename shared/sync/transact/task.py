"""One mapped study on its way through a batch, and its outcome."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shared.errors import TransientError
from shared.mapping.resources import MappedInstance
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.instance import InstanceIdentity
from shared.sync.map.mapped_entries import Changes
from shared.sync.merge.merging import StudyMerger
from shared.sync.merge.patient_links import DOUBLED, SEVERAL

PATIENT_ID = "(0010,0020) PatientID (LO)"
ACCESSION_NUMBER = "(0008,0050) AccessionNumber (SH)"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded.

    `untrue`: names of exceptions whose rows about the whole study are resolved, as the sync has shown that they no
    longer apply. `gone`: instances that the archive no longer holds under these UIDs, and the study's former UIDs.
    """

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()
    untrue: frozenset[str] = frozenset()
    gone: frozenset[InstanceIdentity] = frozenset()
    codings_without_system: Mapping[str, int] = field(default_factory=dict)
    """How many were written, by element."""

    @property
    def is_fallen(self) -> bool:
        """Whether nothing was written, for a reason that may concern all studies: a bug, or a server that forbids."""
        of_all = (failure.is_unforeseen or failure.may_befall_all for failure in self.failures)
        return not self.wrote and bool(self.failures) and all(of_all)

    @property
    def is_refused(self) -> bool:
        """Whether the FHIR server has refused some or all of it."""
        return any(failure.table is ErrorTable.FHIR for failure in self.failures)


StudyOutcome = StudyResult | TransientError
"""A study with a TransientError counts as not done at all."""


@dataclass(frozen=True, slots=True)
class Task:
    """One study, mapped. `changes`: None if there is nothing to do. `failures`: what the mapping left out."""

    merger: StudyMerger
    changes: Changes | None
    failures: tuple[FailedEntry, ...]

    def result(self, wrote: bool, refused: tuple[FailedEntry, ...] = ()) -> StudyResult:
        """The result, with what the mapping left out and what somebody has to look at although the study is synced."""
        if self.changes is None:
            return StudyResult(wrote, (*self.failures, *refused))
        self.merger.patients.wrote(self.changes, refused)
        uid, gone = self.changes.study_instance_uid, self.merger.gone.of(self.changes.study_instance_uid)
        failures = (*_still_true(self.failures, self.changes, gone), *refused, *_findings(self.merger, self.changes))
        untrue = self.merger.patients.untrue(self.changes) | self.merger.orders.untrue(uid)
        untrue |= self.merger.gone.untrue(uid)
        self.merger.patients.ended(self.changes)
        without_system = self.merger.codings.of(uid)
        still_true = {failure.exception for failure in failures}
        return StudyResult(wrote, failures, frozenset(untrue - still_true), gone, without_system if wrote else {})


def _still_true(
    failures: Sequence[FailedEntry], study: Changes, gone: Collection[InstanceIdentity]
) -> list[FailedEntry]:
    """The failures of instances that are not gone; a tag that several instances share is recorded for another one."""
    if not any(failure.instance in gone for failure in failures):
        return list(failures)
    mapped = [one for one in study.changes if isinstance(one, MappedInstance) and one.entry.instance not in gone]
    found: dict[tuple[str, str], FailedEntry] = {}
    for failure in failures:
        kept = failure
        if failure.instance in gone and not failure.is_final:
            others = (one.entry for one in mapped if failure.tag in _invalid_tags(one))
            if (other := next(others, None)) is None:
                continue
            kept = FailedEntry.of(other, failure.table, failure.exception, failure.message)
        found.setdefault(kept.key, kept)
    return list(found.values())


def _invalid_tags(change: MappedInstance) -> set[str]:
    return {fault.tag.strip("()") for scope in (change.patient, change.study, change.series) for fault in scope.faults}


def _findings(merger: StudyMerger, study: Changes) -> list[FailedEntry]:
    """Rows for doubles of the study's Patients, a study of several patients, and orders that it was not linked to."""
    found: list[tuple[str, str]] = []
    if doubles := merger.patients.doubles(study):
        found.append((DOUBLED, f"{PATIENT_ID}: {'; '.join(doubles)}"))
    if several := merger.patients.several_patients(study):
        found.append((SEVERAL, f"{PATIENT_ID}: {several}"))
    orders = merger.orders.findings(study.study_instance_uid)
    found += [(exception, f"{ACCESSION_NUMBER}: {message}") for exception, message in orders.items()]
    return [_row(merger, study, exception, message) for exception, message in found]


def _row(merger: StudyMerger, study: Changes, exception: str, message: str) -> FailedEntry:
    if study.changes:
        return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, exception, message)
    uids = (study.study_instance_uid, "", "")
    return FailedEntry(ErrorTable.INVALID_TAG, 0, *uids, exception, message, partition=merger.partition)
