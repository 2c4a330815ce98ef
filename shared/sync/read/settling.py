"""A study that keeps growing is not written with each of its instances: what is new of it waits a while, in memory.

What waits has no row. So the stored marks stand before the first of it: a host that starts anew reads it again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from shared.mapping.patients import PatientIdentity, Patients
from shared.model.change_feed import Action, ChangeFeedEntry
from shared.model.watermark import Hole, StoredWatermark

if TYPE_CHECKING:  # they know the ports, of which this is one
    from shared.sync.read.plan import Plan, Study
    from shared.sync.record.marks import Placed, SliceEnd

MOST_WAITING = 10_000
"""Entries that may wait, with their metadata: some 20 MB. Where there are more all are written at once."""
LARGE, LONGER = 10, 3
"""Of a study of which less than a tenth is new, what is new waits up to three times as long while it grows on."""

StudyKey = tuple[str, str]
"""Data partition and StudyInstanceUID."""


@dataclass(frozen=True, slots=True)
class Written:
    """When a study was written last, how many entries since it was new, and whom they name."""

    at: datetime
    entries: int
    patients: frozenset[PatientIdentity | None]


class Settling:
    """What this process remembers between batches of studies that grow. All of it may be forgotten at any time."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._seconds = 0.0
        self._written: dict[StudyKey, Written] = {}
        self._of_this_batch: dict[StudyKey, Written | None] = {}
        self._stored: StoredWatermark | None = None
        self._holes: Sequence[Hole] = ()
        self.waiting: Sequence[Placed] = ()
        """In the feed's order."""

    def begin(self, seconds: float, now: datetime) -> None:
        """A batch: what it writes in one slice and reads more of in the next has not grown, but was read in parts."""
        self._seconds = seconds
        waiting = {one.entry.study for one in self.waiting}
        known = self._written | self._of_this_batch
        self._written = {
            key: of for key, of in known.items() if of and (key in waiting or self._rests(of, now, seconds))
        }
        self._of_this_batch = {}

    def resumed(self, stored: StoredWatermark) -> StoredWatermark:
        """Up to where this process has read.

        Where the row says anything else than this process has written, another host has worked, or a person has set it:
        all that is remembered is forgotten.
        """
        if self._stored is None or replace(stored, etag=self._stored.etag) != self._stored:
            self.waiting, self._written, self._of_this_batch = (), {}, {}
            return replace(stored, beyond=None)
        if stored.beyond is None:
            return stored
        return replace(stored, read_through=stored.beyond.read_through, holes=self._holes)

    def parted(self, plan: "Plan", patients: Patients, now: datetime) -> tuple["Plan", set[int]]:
        """The plan without the studies that wait, and the sequences of their entries.

        With an update none waits: what it says of one study may be of another's instances.
        """
        if not self._seconds or any(study.updated for study in (*plan.due, *plan.resting)):
            return plan, set()
        new = {one.sequence for one in plan.read.entries}
        due: list[Study] = []
        held: set[int] = set()
        for study in plan.due:
            if self._waits(study, [one for one in study.entries if one.sequence in new], patients, now):
                held |= {one.sequence for one in study.entries}
            else:
                due.append(study)
        return (replace(plan, due=due), held) if len(held) <= self._most else (plan, set())

    def end(self, stored: StoredWatermark, end: "SliceEnd") -> None:
        """A slice is over, and this is its row."""
        self._stored, self.waiting, self._holes = stored, end.settling, end.holes

    def done(self, studies: Iterable["Study"], undone: Collection[int], patients: Patients, now: datetime) -> None:
        """These were worked on, but for the `undone` sequences. A study that not only grew is written at once again."""
        for study in studies if self._seconds else ():
            key = study.entries[0].study
            before = self._of_this_batch.get(key) or self._written.get(key)
            self._of_this_batch[key] = None
            if any(one.action is not Action.CREATE or one.sequence in undone for one in study.entries):
                continue
            named = frozenset(patients.of(one.metadata) for one in study.entries)
            entries = len(study.entries) + (before.entries if before else 0)
            self._of_this_batch[key] = Written(now, entries, named | (before.patients if before else frozenset()))

    def _waits(self, study: "Study", new: Sequence[ChangeFeedEntry], patients: Patients, now: datetime) -> bool:
        written = self._written.get(study.entries[0].study)
        if written is None or study.is_replayed or any(one.action is not Action.CREATE for one in new):
            return False
        if any(patients.of(one.metadata) not in written.patients for one in new):
            return False
        if self._rests(written, now, self._seconds):
            return True
        is_growing = 0 < len(new) < len(study.entries)
        is_large = len(study.entries) * LARGE < written.entries
        return is_growing and is_large and self._rests(written, now, LONGER * self._seconds)

    @staticmethod
    def _rests(written: Written, now: datetime, seconds: float) -> bool:
        """A clock that was set back makes nobody wait."""
        return 0 <= (now - written.at).total_seconds() < seconds
