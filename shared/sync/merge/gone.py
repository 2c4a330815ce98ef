"""What a study's sync has shown to be gone: rows of before that speak of it say what is true no more."""

from collections.abc import Iterable

from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.model.failures import OF_STUDY, InstanceOfRow
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, key_of, listed


class Gone:
    """Of the studies of one data partition, each by its StudyInstanceUID. Threads may share it."""

    def __init__(self, partition: str) -> None:
        self._partition = partition
        self._instances: dict[str, frozenset[InstanceOfRow]] = {}
        self._emptied: dict[str, bool] = {}

    def read(self, study: Resource | None, wanted: Changes, read: StudyRead) -> None:
        """FHIR lists what the archive holds no more.

        Of the former self of a study nothing may be left: it is gone as a whole, with rows of what FHIR never had.
        """
        keys = [key for key in listed(study) if read.is_out(*key) and key not in read.unsynced]
        is_left = wanted.changes or read.instances or read.unsynced
        self._add(wanted.study_instance_uid, keys if is_left else [*keys, ("", "")])

    def never_there(self, wanted: Changes, held: Changes) -> None:
        """The feed tells of instances, and the archive has them no more under these UIDs."""
        there = {key_of(one.entry) for one in held.changes}
        self._add(wanted.study_instance_uid, [key for key in wanted.keys if key not in there])

    def merged(self, study_instance_uid: str, merged: Resource | None) -> None:
        """What FHIR will list of the study: where it is nothing, rows of the whole study are untrue."""
        self._emptied[study_instance_uid] = not (merged or {}).get("series")

    def left(self, former_uid: str, study_instance_uid: str) -> None:
        """A study got another StudyInstanceUID: what is gone of its former self is told with it."""
        self._put(study_instance_uid, self.of(former_uid))

    def of(self, study_instance_uid: str) -> frozenset[InstanceOfRow]:
        """Instances that are gone, and former studies, with no other UIDs."""
        return self._instances.get(study_instance_uid, frozenset())

    def untrue(self, study_instance_uid: str) -> frozenset[str]:
        """Of rows of the whole study that nothing is left of."""
        return OF_STUDY if self._emptied.get(study_instance_uid) else frozenset()

    def _add(self, uid: str, keys: Iterable[InstanceKey]) -> None:
        self._put(uid, frozenset((self._partition, uid, *key) for key in keys))

    def _put(self, uid: str, instances: frozenset[InstanceOfRow]) -> None:
        if instances:
            self._instances[uid] = self.of(uid) | instances
