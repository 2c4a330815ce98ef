"""The feed's order of what entries state about patients: a newer statement overwrites, an older one may only fill."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.model.watermark import Watermark

if TYPE_CHECKING:  # a tick without entries maps nothing
    from shared.mapping.patients import PatientIdentity

MAX_CARRIED = 20_000
"""Carried entries whose position in the feed is kept: some 10 MB. One that is dropped only fills when it is retried."""


@dataclass(frozen=True, slots=True)
class Stated:
    """The statements that an entry makes about its patient, by name; none if the entry is not synced."""

    sequence: int
    patient: "PatientIdentity | None" = None
    statements: Collection[str] = ()


class FeedOrder:
    """From which position in the feed FHIR has each statement about a patient: the gender, or the name in one script.

    Workers share it; no two of them work on the same patient at once.

    A position counts the entries that this host has read, in the feed's order. A carried entry keeps its position, and
    what is written about its patient from then on is kept too. Holes, and entries of studies that settle, have a
    position as well: until they are synced or given up, what is written from any entry behind them is kept. If this
    host was started since, or another host worked meanwhile, `recall` gives all of this back, as the feed tells it now.
    An entry without a position (not read from the feed, or too far back to be recalled) is never taken for the newest.
    """

    def __init__(self) -> None:
        self._positions: dict[int, int] = {}
        self._written: dict[tuple[PatientIdentity, str], int] = {}
        self._carried: dict[int, tuple[int, PatientIdentity]] = {}
        self._kept_since: dict[PatientIdentity, int] = {}
        self._begun = self._last = 0
        self._through = Watermark()

    def continues(self, after: Watermark) -> bool:
        """Whether the feed was last read up to `after`; else another host has worked, or the watermark was set."""
        return after == self._through

    def recall(self, through: Watermark, earlier: Iterable[Stated], carried: Collection[int]) -> None:
        """What is known is as if this host had read `earlier`, in the feed's order and up to `through`.

        It has no gap but holes, which are in it without statements, and so are the `carried` entries (by sequence).
        """
        self._positions, self._written, self._carried, self._kept_since = {}, {}, {}, {}
        self._begun = self._last + 1
        waiting: list[tuple[int, PatientIdentity | None]] = []
        for one in earlier:
            self._last += 1
            self._positions[one.sequence] = self._last
            if one.sequence in carried:
                waiting.append((one.sequence, one.patient))
            if one.patient:
                self._written |= dict.fromkeys(((one.patient, name) for name in one.statements), self._last)
        self.end(through, waiting)

    def begin(
        self,
        after: Watermark,
        sequences: Iterable[int],
        carried: Collection[int] = (),
        awaited: Collection[int] = (),
    ) -> None:
        """Begins a batch, with the sequence numbers of what was read in the feed after `after`, new holes included.

        `carried`: the entries of earlier batches that are still carried. `awaited`: the holes that earlier batches met,
        also those that were filled since, and the entries of studies that settle. Earlier positions are forgotten
        unless this `continues` what was read.
        """
        is_continued = self.continues(after)
        before = self._carried if is_continued else {}
        kept = {one: self._positions[one] for one in awaited if is_continued and one in self._positions}
        self._carried = {sequence: before[sequence] for sequence in carried if sequence in before}
        patients = {patient for _, patient in self._carried.values()}
        self._kept_since = {patient: since for patient, since in self._kept_since.items() if patient in patients}
        self._begun = min(kept.values(), default=self._last + 1)
        self._written = {
            statement: position
            for statement, position in self._written.items()
            if statement[0] in patients or position >= self._begun
        }
        self._positions = {sequence: position for sequence, (position, _) in self._carried.items()} | kept
        for sequence in sequences:
            self._last += 1
            self._positions[sequence] = self._last

    def end(self, through: Watermark, carried: "Sequence[tuple[int, PatientIdentity | None]]") -> None:
        """Ends a batch that has read the feed up to `through`, with the sequences and patients of carried entries."""
        for sequence, patient in carried:
            if patient and (position := self._positions.get(sequence)):
                self._carried[sequence] = position, patient
                self._kept_since.setdefault(patient, self._begun)
        for sequence in sorted(self._carried, key=lambda one: self._carried[one])[:-MAX_CARRIED]:
            del self._carried[sequence]
        self._through = through

    def position(self, sequence: int) -> int | None:
        """The entry's position in the feed; None if it is not known."""
        return self._positions.get(sequence)

    def is_newest(self, patient: "PatientIdentity", statement: str, position: int | None) -> bool:
        """Whether nothing later in the feed was written, as far as is known. `statement`: see `statements_of`."""
        since = self._kept_since.get(patient, self._begun)
        return position is not None and position >= max(since, self._written.get((patient, statement), 0))

    def wrote(self, patient: "PatientIdentity", statement: str, position: int | None) -> None:
        """FHIR has the statement now, or the update policy left it out."""
        if position is not None:
            self._written[patient, statement] = max(position, self._written.get((patient, statement), 0))
