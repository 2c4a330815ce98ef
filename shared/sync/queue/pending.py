"""Studies that wait for a worker: never two that share a patient at once, several small ones together."""

from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

from shared.mapping.patients import PatientIdentity, Patients
from shared.model.change_feed import ChangeFeedEntry
from shared.sync.merge.feed_order import FeedOrder
from shared.sync.read.plan import Study

MIN_STUDIES, MAX_STUDIES = 10, 125
MAX_ENTRIES = 200
"""Of one group: it is sent as one transaction, and done again study by study if that fails."""
_STATEMENTS = ("00100010", "00100040")
"""The tags of what studies state about a patient: PatientName and PatientSex."""


class PendingStudies:
    """A queue for each patient. A study stands in the queue of each patient that its entries name, in one order.

    A worker may take it once it is the first in all of them, and it stays there until the attempt has ended. The order
    is the batch's; with `feed_order`, the studies with a patient's newest statements go before the patient's others.
    """

    def __init__(self, studies: Sequence[Study], patients: Patients, feed_order: FeedOrder | None = None) -> None:
        named = {id(study): _named(study, patients) for study in studies}
        counts = Counter(patient for study in studies for patient in named[id(study)])
        shared = {patient for patient, count in counts.items() if count > 1}
        if shared and feed_order is not None:
            studies = _newest_first(studies, named, shared, patients, feed_order)
        self._remaining = {id(study): study for study in studies}
        self._unattempted = len(studies)
        # A patient of one study needs no queue: in a batch of 20,000 studies nearly all.
        self._patients = {key: among for key, of_study in named.items() if (among := of_study & shared)}
        self._queues: dict[Hashable, deque[Study]] = {}
        self._behind: dict[int, int] = {}
        for study in studies:
            among = self._patients.get(id(study), set())
            for patient in among:
                self._queues.setdefault(patient, deque()).append(study)
            if behind := sum(self._queues[patient][0] is not study for patient in among):
                self._behind[id(study)] = behind
        self._free = deque(study for study in studies if id(study) not in self._behind)

    @property
    def remaining(self) -> list[Study]:
        """The studies that were not removed, in their order."""
        return list(self._remaining.values())

    def remove(self, studies: Iterable[Study]) -> None:
        """They are recorded, or the caller keeps track of them from now on."""
        for study in studies:
            self._remaining.pop(id(study), None)

    def next_group(self, workers: int = 1) -> list[Study]:
        """The next studies for a worker: their patients are at work nowhere else. Empty if none may go now.

        It is small enough for `workers` to share what is pending.
        """
        most = min(max(MIN_STUDIES, self._unattempted // workers), MAX_STUDIES)
        group: list[Study] = []
        entries = 0
        while self._free and len(group) < most:
            entries += len(self._free[0].entries)
            if group and entries > MAX_ENTRIES:
                break
            group.append(self._free.popleft())
        return group

    def attempted(self, study: Study) -> None:
        """An attempt at the study has ended: the next study of its patients may go."""
        self._unattempted -= 1
        for patient in self._patients.get(id(study), ()):
            queue = self._queues[patient]
            queue.popleft()
            if queue:
                following = queue[0]
                self._behind[id(following)] -= 1
                if not self._behind[id(following)]:
                    del self._behind[id(following)]
                    self._free.append(following)


def _newest_first(
    studies: Sequence[Study],
    named: Mapping[int, set[Hashable]],
    shared: Collection[Hashable],
    patients: Patients,
    feed_order: FeedOrder,
) -> Sequence[Study]:
    """The studies; those with the newest statements about a patient stand right before the patient's others.

    So the others only fill, and FHIR never says something older meanwhile. All others stay in the batch's order, so
    that the watermark moves even if the time is too short for all.
    """
    first: dict[PatientIdentity, int] = {}
    newest: dict[tuple[PatientIdentity, str], tuple[int, int]] = {}
    for position, study in enumerate(studies):
        if named[id(study)].isdisjoint(shared):
            continue
        current = {entry.sequence for entry in _current(study)}
        for entry in study.entries:
            if (patient := patients.of(entry.metadata)) is None:
                continue
            first.setdefault(patient, position)
            if entry.sequence not in current or (place := feed_order.position(entry.sequence)) is None:
                continue
            for tag in _STATEMENTS:
                if tag in (entry.metadata or ()) and place > newest.get((patient, tag), (0, 0))[0]:
                    newest[patient, tag] = place, position
    keys = [(position, 1, position) for position in range(len(studies))]
    for (patient, _), (place, position) in newest.items():
        keys[position] = min(keys[position], (first[patient], 0, -place))
    return [studies[position] for position in sorted(range(len(studies)), key=keys.__getitem__)]


def _current(study: Study) -> Iterable[ChangeFeedEntry]:
    """The entries whose instances still have these UIDs, as far as the batch tells.

    Left out are those of an instance to which an update of the batch gives other UIDs.
    """
    if not study.updated:
        return study.entries
    updated: dict[str, set[tuple[str, ...]]] = {}
    for one in study.updated:
        updated.setdefault(one[3], set()).add(one)
    return [one for one in study.entries if updated.get(one.sop_instance_uid, set()) <= {one.instance}]


def _named(study: Study, patients: Patients) -> set[Hashable]:
    """The patients that the entries name; if they name none, the study itself."""
    named: set[Hashable] = {patient for entry in study.entries if (patient := patients.of(entry.metadata))}
    return named or {study.study_instance_uid}
