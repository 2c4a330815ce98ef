"""Syncs studies: maps their entries, merges them with what FHIR holds, and sends transactions."""

from collections.abc import Sequence

from shared.errors import UnreadStudyError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.patients import Patients
from shared.model.change_feed import Action
from shared.model.failures import FailedEntry
from shared.model.options import PatientUpdatePolicy
from shared.sync.map.mapped_entries import Changes, key_of, map_entries
from shared.sync.merge.merging import StudyMerger
from shared.sync.merge.reading import is_gone, of_one_study
from shared.sync.ports import Ports
from shared.sync.read.plan import Study
from shared.sync.transact.group import Group
from shared.sync.transact.one_study import OneStudy
from shared.sync.transact.task import StudyOutcome, Task


class StudySync:
    """Syncs studies; each data partition has a merger of its own. Threads may share it.

    `patients` tells whose an instance is. `feed_order`: None unless the newest statement overwrites Patients.
    """

    def __init__(self, ports: Ports, options: MappingOptions) -> None:
        self._ports = ports
        self._options = options
        self._mergers: dict[str, StudyMerger] = {}
        self.patients = Patients(options)
        overwrites = options.patient_update_policy is PatientUpdatePolicy.OVERWRITE
        self.feed_order = ports.feed_order if overwrites else None

    def run_all(self, studies: Sequence[Study]) -> list[StudyOutcome]:
        """The outcomes of studies of different patients, synced together. Raises OutageError, LeaseLostError."""
        tasks = [self._mapped(study) for study in studies]
        mapped = [task for task in tasks if isinstance(task, Task)]
        done = iter(Group(self._ports, mapped, lambda task: OneStudy(self._ports, task).run()).run() if mapped else ())
        return [next(done) if isinstance(task, Task) else task for task in tasks]

    def run_suspect(self, study: Study) -> StudyOutcome:
        """Syncs a study that fails again and again while others succeed, and finds out which entry is to blame."""
        task = self._mapped(study)
        return OneStudy(self._ports, task, is_suspect=True).run() if isinstance(task, Task) else task

    def _mapped(self, study: Study) -> Task | UnreadStudyError:
        """The study's changes; an error if the archive cannot be asked for a report's content."""
        uid, partition = study.whole or (study.entries[0].study_instance_uid, study.entries[0].partition)
        if partition not in self._mergers:
            self._mergers[partition] = StudyMerger(self._ports, self._options, partition)
        merger = self._mergers[partition]
        try:
            with of_one_study(self._ports.feed):
                changes, reports, failures = map_entries(study.entries, merger.options, self._ports.archive)
                failures = self._still_true(study, failures)
        except UnreadStudyError as error:
            return error
        if study.whole:
            mapped = frozenset(key_of(change.entry) for change in changes)
            unsynced = frozenset(map(key_of, study.entries)) - mapped
            whole = Changes(uid, changes, reports, is_whole=True, unsynced=unsynced, updated=study.updated)
            return Task(merger, whole, tuple(failures))
        actions = {entry.action for entry in study.entries}
        own_updates = {one.instance for one in study.entries if one.action is Action.UPDATE}
        updated = study.updated | own_updates
        wanted = Changes(
            uid,
            changes,
            reports,
            only_creates=actions <= {Action.CREATE},
            is_doubtful=study.is_replayed or bool(updated),
            updated=updated,
            has_deletes=Action.DELETE in actions,
        )
        # An update that cannot be mapped makes no change, but takes the instance away from its former UIDs.
        return Task(merger, wanted if changes or own_updates else None, tuple(failures))

    def _still_true(self, study: Study, failures: Sequence[FailedEntry]) -> list[FailedEntry]:
        """Without the failures of replayed entries whose instance is gone: an update may have given it other UIDs.

        The feed's newest entries are not checked: an archive full of what cannot be mapped is to cost no reads.
        """
        if not study.is_replayed or study.whole:
            return list(failures)
        entries = {entry.sequence: entry for entry in study.entries}
        archive, now = self._ports.archive, self._ports.now()
        return [one for one in failures if not (one.is_final and is_gone(archive, entries[one.sequence], now))]
