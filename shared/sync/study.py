"""One study of a batch: map its entries, merge them with what FHIR holds, send one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.errors import ConflictError, EntryError, FhirRefusedError, StudyTooLargeError
from shared.mapping.converters import MappingOptions
from shared.mapping.transaction import Create, Write, transaction_bundle
from shared.model import ChangeFeedEntry, ErrorTable, FailedEntry, Resource
from shared.sync.mapped_entries import Changes, failed, map_entries
from shared.sync.merging import StudyMerger
from shared.sync.ports import Archive, FhirServer

MAX_CONFLICTS = 5
"""How often a study is read and merged again because somebody else wrote first, before it waits for the next tick."""
MAX_WRITES = 500
"""Entries of one transaction: more than FHIR services take go with the next."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded."""

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()


class StudySync:
    """Syncs studies one after another; each data partition has a merger of its own."""

    def __init__(self, fhir: FhirServer, archive: Archive, options: MappingOptions) -> None:
        self._fhir = fhir
        self._archive = archive
        self._options = options
        self._mergers: dict[str, StudyMerger] = {}

    def run(self, entries: Sequence[ChangeFeedEntry]) -> StudyResult:
        """Raises TransientError, OutageError: then nothing of the study counts as done."""
        merger = self._merger(entries[0].partition)
        changes, reports, failures = map_entries(entries, merger.options, self._archive)
        if not changes:
            return StudyResult(wrote=False, failures=tuple(failures))
        study = Changes(entries[0].study_instance_uid, changes, reports)
        wrote, refused = self._write_what_is_taken(merger, study)
        return StudyResult(wrote, (*failures, *refused))

    def rebuild(self, study_instance_uid: str, partition: str, entries: Sequence[ChangeFeedEntry]) -> StudyResult:
        """The same for all instances that the archive holds of the study; what FHIR holds besides is taken out."""
        merger = self._merger(partition)
        changes, reports, failures = map_entries(entries, merger.options, self._archive)
        held = frozenset(entry.sop_instance_uid for entry in entries)
        wrote, refused = self._write_what_is_taken(merger, Changes(study_instance_uid, changes, reports, held))
        return StudyResult(wrote, (*failures, *refused))

    def _merger(self, partition: str) -> StudyMerger:
        if partition not in self._mergers:
            self._mergers[partition] = StudyMerger(self._fhir, self._archive, self._options, partition)
        return self._mergers[partition]

    def _write_what_is_taken(self, merger: StudyMerger, study: Changes) -> tuple[bool, list[FailedEntry]]:
        """Whether anything had to be written, and the entries to blame where the server refused a bundle.

        A refused bundle is halved until the entry to blame stands alone: twice the logarithm of the study's entries in
        bundles for one bad entry. One that is too large goes again first with its instances counted, not listed.
        """
        try:
            return self._write(merger, study), []
        except StudyTooLargeError as error:
            refusal: EntryError = error
            if counted := self._write_counted(merger, study, error):
                return counted
        except FhirRefusedError as error:
            refusal = error
        except EntryError as error:
            return False, [failed(change.entry, error) for change in study.changes]
        if len(study.changes) <= 1:
            return False, [failed(change.entry, refusal) for change in study.changes]
        halves = [self._write_what_is_taken(merger, half) for half in study.halves()]
        return any(wrote for wrote, _ in halves), [failure for _, refused in halves for failure in refused]

    def _write_counted(
        self, merger: StudyMerger, study: Changes, error: StudyTooLargeError
    ) -> tuple[bool, list[FailedEntry]] | None:
        """The same without the lists of instances; None where the server does not take that either."""
        if not study.changes:
            return None
        try:
            wrote = self._write(merger, replace(study, counts_only=True))
        except FhirRefusedError:
            return None
        return wrote, [_counted_only(study, error)]

    def _write(self, merger: StudyMerger, study: Changes) -> bool:
        """Whether anything had to be written."""
        conflicts = passed = 0
        before: list[Write] = []
        while True:
            try:
                writes = merger.writes(study)
                # A server that still lacks what it was sent only rehearses: it is told the rest.
                passed = passed + MAX_WRITES if writes == before else 0
                part = writes[passed : passed + MAX_WRITES]
                if not part:
                    return bool(before)
                self._transact(part)
            except ConflictError:
                merger.forget()
                conflicts += 1
                if conflicts == MAX_CONFLICTS:
                    raise
            else:
                before = writes
                if len(writes) <= passed + MAX_WRITES:
                    return True

    def _transact(self, writes: Sequence[Write]) -> None:
        answers = self._fhir.transact(transaction_bundle(writes))
        for write, answer in zip(writes, answers, strict=True):
            if isinstance(write, Create) and _status(answer) != "201":
                # 200: it existed after all, and what we sent was not written.
                raise ConflictError(f"a {write.resource['resourceType']} was created by somebody else meanwhile")


def _status(answer: Resource) -> str:
    return str(answer["response"]["status"]).split()[0]


def _counted_only(study: Changes, error: StudyTooLargeError) -> FailedEntry:
    """The row that says what was left out of a study that is synced."""
    message = f"ImagingStudy.series.instance: left out, the series keep their counts; {error}"
    return FailedEntry.of(study.changes[-1].entry, ErrorTable.INVALID_TAG, type(error).__name__, message)
