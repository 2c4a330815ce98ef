"""Studies that wait for a lane: never two of one patient at once, several small ones together."""

from collections import deque
from collections.abc import Sequence

from shared.sync.plan import Study

MIN_STUDIES, MAX_STUDIES = 10, 40
MAX_ENTRIES = 200
"""Of one group: it is one transaction, and what is done twice where that fails."""
_PATIENT_ID, _ISSUER = "00100020", "00100021"


class PendingStudies:
    """Studies by patient, in the batch's order."""

    def __init__(self, studies: Sequence[Study]) -> None:
        self._left = {id(study): study for study in studies}
        self._by_patient: dict[str, deque[Study]] = {}
        for study in studies:
            self._by_patient.setdefault(_patient_of(study), deque()).append(study)
        self._free = deque(self._by_patient)

    @property
    def left(self) -> list[Study]:
        """Those that no lane has brought back, in the batch's order."""
        return list(self._left.values())

    def next_group(self, lanes: int = 1) -> list[Study]:
        """The next studies, each of a patient of its own who is at work nowhere; empty where there are none.

        Few enough for so many lanes to share what is left.
        """
        most = min(max(MIN_STUDIES, len(self._left) // lanes), MAX_STUDIES)
        group: list[Study] = []
        entries = 0
        while self._free and len(group) < most:
            study = self._by_patient[self._free[0]][0]
            entries += len(study.entries)
            if group and entries > MAX_ENTRIES:
                break
            self._by_patient[self._free.popleft()].popleft()
            group.append(study)
        return group

    def tried(self, study: Study) -> None:
        """A lane has brought the study back: the next of its patient can go."""
        self._left.pop(id(study), None)
        patient = _patient_of(study)
        if self._by_patient[patient]:
            self._free.append(patient)


def _patient_of(study: Study) -> str:
    """The raw elements that name the patient, as the last instance of the study that has them says."""
    for entry in reversed(study.entries):
        if entry.metadata and _PATIENT_ID in entry.metadata:
            return repr([entry.metadata.get(tag) for tag in (_PATIENT_ID, _ISSUER)])
    return repr(study.whole or study.entries[0].study_instance_uid)
