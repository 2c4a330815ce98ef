"""The cheap look at a study, by the archive's list and a summary from FHIR: it finds what has to be read closely.

A suspect study costs a few requests and gets no row yet: only what a rebuild would write is a difference.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2b

from shared.mapping.held import objects, text
from shared.model.fhir import Resource
from shared.model.listed_study import ListedStudy

SAMPLED = 100
"""Each study is read once in this many rounds, even if the summaries agree."""
OVERLAP = timedelta(minutes=10)
"""How far the clocks of two systems may differ."""
SUMMARY = "identifier,meta,started,subject,modality,numberOfSeries,numberOfInstances"
"""The elements that are compared, and those that identify the study and its patient."""


@dataclass(frozen=True, slots=True)
class Screen:
    """`number`: of the round. `since`: when the round before it began, None if there was none. `is_deep`: all are read.

    `again`: the StudyInstanceUIDs of studies that the round before has put off. `identifiers`: the values of each
    Patient's identifiers, by the Patient's reference.
    """

    number: int
    since: datetime | None
    is_deep: bool
    again: Collection[str]
    identifiers: Mapping[str, Collection[str]]

    def is_suspect(self, listed: ListedStudy, held: Sequence[Resource]) -> bool:
        """Whether the study has to be read; `held` are the ImagingStudies with its identifier."""
        uid = listed.study_instance_uid
        if self.is_deep or len(held) != 1 or uid in self.again or is_sampled(uid, self.number):
            return True
        (study,) = held
        return (
            self._has_changed(study)
            or _differs(listed.instances, count_of(study))
            or _differs(listed.modalities or None, _modalities(study))
            or _differs(_as_date(listed.study_date), text(study.get("started"))[:10])
            or self._is_of_another(listed, study)
        )

    def _has_changed(self, study: Resource) -> bool:
        """Whether anybody has written it to FHIR since the last round."""
        if self.since is None:
            return False
        try:
            changed = datetime.fromisoformat(text(_object(study, "meta").get("lastUpdated")))
        except ValueError:
            return False
        return changed.tzinfo is not None and changed > self.since - OVERLAP

    def _is_of_another(self, listed: ListedStudy, study: Resource) -> bool:
        known = self.identifiers.get(subject_of(study), ())
        return bool(listed.patient_id) and listed.patient_id not in known


def is_sampled(uid: str, number: int) -> bool:
    """Whether the study is in the hundredth part of all studies that the round with this number reads."""
    return int.from_bytes(blake2b(uid.encode(), digest_size=4).digest()) % SAMPLED == number % SAMPLED


def day_of(study_date: str) -> date | None:
    """The date of a DA value; None if it is not a valid one (PS3.5 6.2)."""
    if len(study_date) != 8 or not study_date.isascii() or not study_date.isdigit():  # noqa: PLR2004 YYYYMMDD
        return None
    try:
        return date(int(study_date[:4]), int(study_date[4:6]), int(study_date[6:]))
    except ValueError:
        return None


def subject_of(study: Resource) -> str:
    """The reference to the study's Patient, `Patient/7`; empty if there is none."""
    return text(_object(study, "subject").get("reference")).split("/_history/")[0]


def values_of(patient: Resource) -> frozenset[str]:
    """The values of the Patient's identifiers, whatever their systems."""
    return frozenset(text(one.get("value")) for one in objects(patient.get("identifier")))


def count_of(study: Resource) -> int:
    """How many instances the study lists, or states in numberOfInstances; 0 if it does neither.

    -1, which equals no count of the archive, if the study lists another number than it states.
    """
    stated = study.get("numberOfInstances")
    stated = stated if isinstance(stated, int) and not isinstance(stated, bool) else None
    if "series" not in study:
        return stated or 0
    listed = sum(map(_count_of_series, objects(study["series"])))
    return listed if stated in (None, listed) else -1


def _count_of_series(series: Mapping[str, object]) -> int:
    instances, stated = series.get("instance"), series.get("numberOfInstances")
    if isinstance(instances, list):
        return len(instances)
    return stated if isinstance(stated, int) else 0


def _modalities(study: Resource) -> frozenset[str]:
    return frozenset(text(one.get("code")) for one in objects(study.get("modality")))


def _as_date(study_date: str) -> str | None:
    day = day_of(study_date)
    return day.isoformat() if day else None


def _differs(in_archive: object, in_fhir: object) -> bool:
    """Whether both are known, and differ."""
    return in_archive is not None and in_fhir is not None and in_archive != in_fhir


def _object(resource: Resource, name: str) -> Mapping[str, object]:
    found = resource.get(name)
    return found if isinstance(found, dict) else {}


def unique(studies: Iterable[ListedStudy]) -> dict[str, ListedStudy]:
    """The studies by StudyInstanceUID, since pages may repeat studies of earlier pages."""
    return {one.study_instance_uid: one for one in studies}
