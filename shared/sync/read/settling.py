"""A growing study is not written again with each new instance: its new entries are kept in memory for a while.

They have no rows. So the stored marks stay before the first of them, and a host that starts reads them again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from shared.model.change_feed import Action, ChangeFeedEntry
from shared.model.watermark import Hole, StoredWatermark
from shared.sync.read.plan import Plan, Study
from shared.sync.record.marks import Placed, SliceEnd

if TYPE_CHECKING:  # a tick without entries maps nothing
    from shared.mapping.patients import PatientIdentity, Patients
    from shared.model.instance import StudyKey

MOST_ENTRIES = 10_000
"""Entries that are kept, with their metadata: some 20 MB. If there are more, all of them are written at once."""
LARGE, LONGER = 10, 3
"""While a study grows on and less than a tenth of it is new, it settles for up to three times as long."""


@dataclass(frozen=True, slots=True)
class Written:
    """When a study was written last, with how many entries since it was new, and which patients these name."""

    at: datetime
    entries: int
    patients: "frozenset[PatientIdentity | None]"


class Settling:
    """What this process remembers of growing studies from batch to batch. All of it may be forgotten at any time."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._most = most
        self._seconds = 0.0
        self._written: dict[StudyKey, Written] = {}
        self._of_this_batch: dict[StudyKey, Written | None] = {}
        self._stored: StoredWatermark | None = None
        self._holes: Sequence[Hole] = ()
        self.entries: Sequence[Placed] = ()
        """The entries of studies that settle, in the feed's order."""

    def begin(self, seconds: float, now: datetime) -> None:
        """Begins a batch. A study that it writes in one slice does not settle in the next: it was only read in parts.

        `seconds`: how long a study settles; 0: none does.
        """
        self._seconds = seconds
        settling = {one.entry.study for one in self.entries}
        known = self._written | self._of_this_batch
        self._written = {
            key: of for key, of in known.items() if of and (key in settling or self._is_within(of, now, seconds))
        }
        self._of_this_batch = {}

    def resumed(self, stored: StoredWatermark) -> StoredWatermark:
        """The marks from which this process reads on.

        If the row is not as this process wrote it, another host has worked or a person has set it: then all that is
        remembered is forgotten.
        """
        if self._stored is None or replace(stored, etag=self._stored.etag) != self._stored:
            self.entries, self._written, self._of_this_batch = (), {}, {}
            return replace(stored, beyond=None)
        if stored.beyond is None:
            return stored
        return replace(stored, read_through=stored.beyond.read_through, holes=self._holes)

    def split(self, plan: Plan, patients: "Patients", now: datetime) -> tuple[Plan, set[int]]:
        """The plan without the studies that settle, and the sequences of their entries.

        None settles if the plan has an update: what it says of one study may concern another's instances.
        """
        if not self._seconds or any(study.updated for study in (*plan.due, *plan.not_due)):
            return plan, set()
        new = {one.sequence for one in plan.read.entries}
        due: list[Study] = []
        settling: set[int] = set()
        for study in plan.due:
            if self._settles(study, [one for one in study.entries if one.sequence in new], patients, now):
                settling |= {one.sequence for one in study.entries}
            else:
                due.append(study)
        return (replace(plan, due=due), settling) if len(settling) <= self._most else (plan, set())

    def end(self, stored: StoredWatermark, end: SliceEnd) -> None:
        """Ends a slice; `stored` is the watermark's row as it was written."""
        self._stored, self.entries, self._holes = stored, end.settling, end.holes

    def note_written(
        self, studies: Iterable[Study], undone: Collection[int], patients: "Patients", now: datetime
    ) -> None:
        """Notes which studies were written; `undone` are the sequences of entries that were not.

        A study with anything but new instances is not noted: it is written at once the next time.
        """
        for study in studies if self._seconds else ():
            key = study.entries[0].study
            before = self._of_this_batch.get(key) or self._written.get(key)
            self._of_this_batch[key] = None
            if any(one.action is not Action.CREATE or one.sequence in undone for one in study.entries):
                continue
            named = frozenset(patients.of(one.metadata) for one in study.entries)
            entries = len(study.entries) + (before.entries if before else 0)
            self._of_this_batch[key] = Written(now, entries, named | (before.patients if before else frozenset()))

    def _settles(self, study: Study, new: Sequence[ChangeFeedEntry], patients: "Patients", now: datetime) -> bool:
        written = self._written.get(study.entries[0].study)
        if written is None or study.is_replayed or any(one.action is not Action.CREATE for one in new):
            return False
        if any(patients.of(one.metadata) not in written.patients for one in new):
            return False
        if self._is_within(written, now, self._seconds):
            return True
        is_growing = 0 < len(new) < len(study.entries)
        is_large = len(study.entries) * LARGE < written.entries
        return is_growing and is_large and self._is_within(written, now, LONGER * self._seconds)

    @staticmethod
    def _is_within(written: Written, now: datetime, seconds: float) -> bool:
        """Whether it was written less than `seconds` ago; False if the clock was set back."""
        return 0 <= (now - written.at).total_seconds() < seconds
