"""A DICOM service whose studies grow, shrink and change, and the change feed of it."""

from dataclasses import dataclass, replace

from shared.model.change_feed import DEFAULT_PARTITION, Action, FeedPage, State
from shared.model.watermark import Watermark
from tests.fakes import ReadByInstances, entry

PATIENTS = 30


@dataclass(frozen=True, slots=True)
class Change:
    study: str
    instance: str
    action: Action


class Archive(ReadByInstances):
    """`chance` says what happens to which instance. What the feed tells of one is always how it is now."""

    def __init__(self, chance) -> None:
        self._chance = chance
        self.changes: list[Change] = []
        self.held: dict[str, list[str]] = {}  # by study, those that are there; the first is good, and stays
        self.descriptions: dict[str, str] = {}
        self.bad: set[str] = set()  # instances without a PatientID
        self._latest: dict[str, int] = {}  # by instance, the sequence of its last change

    def store(self, study=None) -> None:
        """A study, or one more instance of it."""
        number = len(self.changes) + 1
        if study is None:
            study = f"1.2.{number}"
            self.held[study], self.descriptions[study] = [], "as stored"
        instance = f"{study}.9.{number}"
        if self.held[study] and self._chance.random() < 0.2:
            self.bad.add(instance)
        self.held[study].append(instance)
        self._change(study, instance, Action.CREATE)

    def delete(self, study) -> None:
        """One instance."""
        if others := self.held[study][1:]:
            gone = self._chance.choice(others)
            self.held[study].remove(gone)
            self._change(study, gone, Action.DELETE)

    def describe(self, study) -> None:
        """Another StudyDescription, in every instance."""
        self.descriptions[study] = f"as changed by {len(self.changes) + 1}"
        for instance in self.held[study]:
            self._change(study, instance, Action.UPDATE)

    def patient(self, study):
        return f"P-{int(study.rpartition('.')[2]) % PATIENTS}"

    def good(self, study):
        return set(self.held[study]) - self.bad

    def instances(self, study, partition, series=None):
        """Of the one partition, and of the one series that every study has."""
        if partition == DEFAULT_PARTITION and series in (None, f"{study}.9"):
            for instance in tuple(self.held.get(study, ())):
                sequence = self._latest[instance]
                yield replace(self._entry(sequence, self.changes[sequence - 1]), sequence=0)

    def metadata(self, entry):
        held = self.instances(entry.study_instance_uid, entry.partition, entry.series_instance_uid)
        return next((one.metadata for one in held if one.sop_instance_uid == entry.sop_instance_uid), None)

    def pages(self, after, at_once=1):
        entries = self.entries(range(after.sequence + 1, len(self.changes) + 1))
        for start in range(0, len(entries), 100):
            page = entries[start : start + 100]
            yield FeedPage(page, Watermark(page[-1].sequence, page[-1].timestamp))

    def entries(self, sequences):
        return [self._entry(sequence, self.changes[sequence - 1]) for sequence in sorted(sequences)]

    def first_after(self, watermark):
        return next((one for page in self.pages(watermark) for one in page.entries), None)

    def latest(self):
        return self.entries([len(self.changes)])[0] if self.changes else None

    def _change(self, study, instance, action) -> None:
        self.changes.append(Change(study, instance, action))
        self._latest[instance] = len(self.changes)

    def _entry(self, sequence, change):
        gone = change.instance not in self.held[change.study]
        state = (
            State.DELETED if gone else State.CURRENT if self._latest[change.instance] == sequence else State.REPLACED
        )
        patient = None if change.instance in self.bad else self.patient(change.study)
        return entry(
            sequence,
            change.action,
            study=change.study,
            series=f"{change.study}.9",
            instance=change.instance,
            state=state,
            t00100020=patient,
            t00081030=self.descriptions[change.study],
        )
