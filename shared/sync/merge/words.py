"""The feed's newest word on each patient: what of it FHIR has already, and what is older and may only fill."""

from collections.abc import Collection, Iterable, Sequence

from shared.mapping.patients import PatientIdentity
from shared.model.watermark import Watermark

MAX_CARRIED = 20_000
"""Carried entries whose place in the feed is remembered: some 10 MB. What is let go only fills when it is tried."""


class Words:
    """How late in the feed the word stands that FHIR has on a patient. Lanes share it, but never one patient.

    A place is a running number of the entries that this host has read, in the feed's order: API v2 has another than
    that of sequence numbers. A carried entry keeps its place, and of its patient the newest word is watched from then
    on. What has no place (carried before a restart, while another host worked, or not read in the feed) is nowhere
    shown to be the newest. What is missing in the feed and may still come has its place too: until it has come, or
    comes no more, all words behind it are watched.
    """

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._taken: dict[tuple[PatientIdentity, str], int] = {}
        self._carried: dict[int, tuple[int, PatientIdentity]] = {}
        self._watched: dict[PatientIdentity, int] = {}
        self._awaited: dict[int, int] = {}
        self._begun = self._last = 0
        self._through = Watermark()

    def begin(
        self,
        after: Watermark,
        sequences: Iterable[int],
        waiting: Collection[int] = (),
        awaited: Collection[int] = (),
    ) -> None:
        """A batch: what was read in the feed after `after`, and all carried entries that wait.

        Among the `sequences` are those that are missing and may still come; `awaited` are those of earlier batches,
        also what has come of them now.

        Where the feed was not read last to `after` another host has gone on, or somebody has set the watermark.
        """
        is_on = after == self._through
        kept = self._carried if is_on else {}
        self._awaited = {one: self._places[one] for one in awaited if is_on and one in self._places}
        self._carried = {sequence: kept[sequence] for sequence in waiting if sequence in kept}
        patients = {patient for _, patient in self._carried.values()}
        self._watched = {patient: place for patient, place in self._watched.items() if patient in patients}
        self._begun = min(self._awaited.values(), default=self._last + 1)
        self._taken = {
            word: place for word, place in self._taken.items() if word[0] in patients or place >= self._begun
        }
        self._places = {sequence: place for sequence, (place, _) in self._carried.items()} | self._awaited
        for sequence in sequences:
            self._last += 1
            self._places[sequence] = self._last

    def end(self, through: Watermark, carried: Sequence[tuple[int, PatientIdentity | None]]) -> None:
        """The feed is read to `through`; these entries, of these patients, are tried again later."""
        for sequence, patient in carried:
            if patient and (place := self._places.get(sequence)):
                self._carried[sequence] = place, patient
                self._watched.setdefault(patient, self._begun)
        for sequence in sorted(self._carried, key=lambda one: self._carried[one])[:-MAX_CARRIED]:
            del self._carried[sequence]
        self._through = through

    def place(self, sequence: int) -> int | None:
        """Where the entry stands in the feed; None where that is not known."""
        return self._places.get(sequence)

    def is_newest(self, patient: PatientIdentity, word: str, place: int | None) -> bool:
        """Whether no later entry's word on the patient was taken, as far as can be shown."""
        since = self._watched.get(patient, self._begun)
        return place is not None and place >= max(since, self._taken.get((patient, word), 0))

    def took(self, patient: PatientIdentity, word: str, place: int | None) -> None:
        """FHIR says this word, or a policy had it left out."""
        if place is not None:
            self._taken[patient, word] = max(place, self._taken.get((patient, word), 0))
