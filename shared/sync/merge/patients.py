"""The patients of a study's changes: what all of its instances say of each, and how late in the feed each word is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.mapping.patients import PatientIdentity, together, words_of
from shared.mapping.resources import Fragment, MappedInstance
from shared.sync.map.mapped_entries import Changes, key_of
from shared.sync.merge.words import Words


@dataclass(frozen=True, slots=True)
class StudyPatient:
    """`said`: by the study's instances, the earliest in the feed first, each with its place there; None: not known."""

    identity: PatientIdentity
    said: Sequence[tuple[Fragment, int | None]]

    @property
    def identifier(self) -> Mapping[str, Any]:
        """The Patient's identifier of ours."""
        identifier: Mapping[str, Any] = self.said[0][0].add["identifier"][0]
        return identifier

    @property
    def wanted(self) -> Fragment:
        """What the Patient should say."""
        return together(fragment for fragment, _ in self.said)

    @property
    def places(self) -> dict[str, int | None]:
        """Where in the feed the newest entry with each word stands."""
        return {word: place for fragment, place in self.said for word in words_of(fragment)}


def patients_of(study: Changes, words: Words) -> list[StudyPatient]:
    """The last change says whose the study is, those of dose reports whose the doses are."""
    mapped = [change for change in study.changes if isinstance(change, MappedInstance)]
    told = [change.patient for change in mapped if study.reports and key_of(change.entry) in study.reports]
    told += [change.patient for change in mapped[-1:]]
    identities = list(dict.fromkeys(PatientIdentity.of(one) for one in told))
    found = {patient.identity: patient for patient in patients_among(mapped, words)}
    return [found[identity] for identity in identities]


def patients_among(instances: Sequence[MappedInstance], words: Words) -> list[StudyPatient]:
    """All whom instances of a study name."""
    said: dict[PatientIdentity, list[tuple[Fragment, int | None]]] = {}
    for fragment, place in sorted(_placed(instances, words), key=lambda one: one[1] or 0):
        said.setdefault(PatientIdentity.of(fragment), []).append((fragment, place))
    return [StudyPatient(identity, fragments) for identity, fragments in said.items()]


def _placed(mapped: Sequence[MappedInstance], words: Words) -> list[tuple[Fragment, int | None]]:
    """What is said of patients, each once, with the place of the last entry that says it. Instances share fragments."""
    placed: dict[int, tuple[Fragment, int | None]] = {}
    for change in mapped:
        _, held = placed.pop(id(change.patient), (None, None))
        placed[id(change.patient)] = change.patient, words.place(change.entry.sequence) or held
    return list(placed.values())
