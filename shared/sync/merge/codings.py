"""Codings without a system that the writes of studies bring to FHIR: the exception, and counted."""

from collections import Counter
from collections.abc import Sequence

from shared.mapping.codes import codings_without_system
from shared.mapping.transaction import Create, Write
from shared.model.fhir import Resource


class CodingsWithoutSystem:
    """Of one batch's studies, by FHIR element; those of Observations as they are created. Threads may share it."""

    def __init__(self) -> None:
        self._new: dict[str, Counter[str]] = {}

    def note(
        self, study_instance_uid: str, study: Resource | None, merged: Resource | None, writes: Sequence[Write]
    ) -> None:
        """What `merged` has and `study`, which FHIR holds, has not; and the Observations among the writes.

        A study in conflict, or of several transactions, is merged several times: the most that it was counts.
        """
        new: Counter[str] = Counter()
        if merged is not study:
            new = codings_without_system(merged) - codings_without_system(study)
        for write in writes:
            if isinstance(write, Create) and write.resource["resourceType"] == "Observation":
                new += codings_without_system(write.resource)
        if new:
            self._new[study_instance_uid] = self._new.get(study_instance_uid, Counter()) | new

    def of(self, study_instance_uid: str) -> Counter[str]:
        """Those of the study; told once."""
        return self._new.pop(study_instance_uid, Counter())
