"""What the sync of a study has shown to be gone from the archive: older error rows about it no longer apply."""

from collections.abc import Iterable

from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.model.failures import OF_STUDY
from shared.model.fhir import Resource
from shared.model.instance import InstanceIdentity
from shared.sync.map.mapped_entries import Changes, key_of, listed


class GoneInstances:
    """For the studies of one data partition, by StudyInstanceUID. Threads may share it."""

    def __init__(self, partition: str) -> None:
        self._partition = partition
        self._instances: dict[str, frozenset[InstanceIdentity]] = {}
        self._emptied: dict[str, bool] = {}

    def note_read(self, study: Resource | None, wanted: Changes, read: StudyRead) -> None:
        """The archive was read: what FHIR lists and the archive no longer holds is gone.

        If nothing at all is left, the whole study is gone, with all rows about it: it may have got another UID.
        """
        keys = [key for key in listed(study) if read.is_out(*key) and key not in read.unsynced]
        is_left = wanted.changes or read.instances or read.unsynced
        self._add(wanted.study_instance_uid, keys if is_left else [*keys, ("", "")])

    def note_not_found(self, wanted: Changes, held: Changes) -> None:
        """Of the instances that entries name as `wanted`, the archive has only those of `held` under these UIDs."""
        there = {key_of(one.entry) for one in held.changes}
        self._add(wanted.study_instance_uid, [key for key in wanted.keys if key not in there])

    def note_merged(self, study_instance_uid: str, merged: Resource | None) -> None:
        """The ImagingStudy will be this: if it lists no series, rows about the whole study no longer apply."""
        self._emptied[study_instance_uid] = not (merged or {}).get("series")

    def note_renamed(self, former_uid: str, study_instance_uid: str) -> None:
        """The study has a new StudyInstanceUID: what is gone under the former one is resolved together with it."""
        self._put(study_instance_uid, self.of(former_uid))

    def of(self, study_instance_uid: str) -> frozenset[InstanceIdentity]:
        """The instances that are gone; a former study stands here with empty series and instance UIDs."""
        return self._instances.get(study_instance_uid, frozenset())

    def untrue(self, study_instance_uid: str) -> frozenset[str]:
        """Names of exceptions whose rows about the whole study no longer apply, as nothing is left of it."""
        return OF_STUDY if self._emptied.get(study_instance_uid) else frozenset()

    def _add(self, uid: str, keys: Iterable[InstanceKey]) -> None:
        self._put(uid, frozenset((self._partition, uid, *key) for key in keys))

    def _put(self, uid: str, instances: frozenset[InstanceIdentity]) -> None:
        if instances:
            self._instances[uid] = self.of(uid) | instances
