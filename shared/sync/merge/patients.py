"""The patients of a study's changes: what its instances state about each, and at which position in the feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.mapping.patients import PatientIdentity, combined, statements_of
from shared.mapping.resources import Fragment, MappedInstance
from shared.sync.map.mapped_entries import Changes, key_of
from shared.sync.merge.feed_order import FeedOrder


@dataclass(frozen=True, slots=True)
class StudyPatient:
    """`fragments`: what the study's instances say, in the feed's order, each with its position (None: not known)."""

    identity: PatientIdentity
    fragments: Sequence[tuple[Fragment, int | None]]

    @property
    def identifier(self) -> Mapping[str, Any]:
        """The Patient's identifier that the mapping makes of PatientID."""
        identifier: Mapping[str, Any] = self.fragments[0][0].add["identifier"][0]
        return identifier

    @property
    def wanted(self) -> Fragment:
        """What the Patient should say."""
        return combined(fragment for fragment, _ in self.fragments)

    @property
    def positions(self) -> dict[str, int | None]:
        """The position in the feed of the newest entry that makes each statement."""
        return {name: position for fragment, position in self.fragments for name in statements_of(fragment)}


def patients_of(study: Changes, feed_order: FeedOrder) -> list[StudyPatient]:
    """The patients that the study needs: the last change's, who is its subject, and those of the dose reports."""
    mapped = [change for change in study.changes if isinstance(change, MappedInstance)]
    named = [change.patient for change in mapped if study.reports and key_of(change.entry) in study.reports]
    named += [change.patient for change in mapped[-1:]]
    identities = list(dict.fromkeys(PatientIdentity.of(one) for one in named))
    found = {patient.identity: patient for patient in patients_among(mapped, feed_order)}
    return [found[identity] for identity in identities]


def patients_among(instances: Sequence[MappedInstance], feed_order: FeedOrder) -> list[StudyPatient]:
    """All patients that instances of a study name."""
    fragments: dict[PatientIdentity, list[tuple[Fragment, int | None]]] = {}
    for fragment, position in sorted(_with_positions(instances, feed_order), key=lambda one: one[1] or 0):
        fragments.setdefault(PatientIdentity.of(fragment), []).append((fragment, position))
    return [StudyPatient(identity, some) for identity, some in fragments.items()]


def _with_positions(mapped: Sequence[MappedInstance], feed_order: FeedOrder) -> list[tuple[Fragment, int | None]]:
    """Each Patient fragment once, with the position of the last entry that has it. Instances share fragments."""
    found: dict[int, tuple[Fragment, int | None]] = {}
    for change in mapped:
        _, before = found.pop(id(change.patient), (None, None))
        found[id(change.patient)] = change.patient, feed_order.position(change.entry.sequence) or before
    return list(found.values())
