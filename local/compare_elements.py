"""An ImagingStudy's and a Patient's elements held against what the instances say, without the app's mapping.

Where instances disagree, each is right. Where they say nothing valid, nothing is asked of FHIR: what stands there may
be another's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.compare_rules import Rules
from local.dicom_says import Instance, Name, codes, days, held_names, moment, moments, names, numbers, texts, words
from local.fhir_account import Resource

_ACCESSION_NUMBER, _MODALITY, _SERIES_UID, _SERIES_NUMBER = "00080050", "00080060", "0020000E", "00200011"
_STUDY_DESCRIPTION, _STUDY_DATE, _STUDY_TIME = "00081030", "00080020", "00080030"
_SERIES_DESCRIPTION, _SERIES_DATE, _SERIES_TIME = "0008103E", "00080021", "00080031"
_NAME, _SEX, _BIRTH_DATE = "00100010", "00100040", "00100030"
_GENDERS = {"M": "male", "F": "female", "O": "other"}
_SCRIPTS = {"": "", "IDE": "ideographic ", "SYL": "phonetic "}


def in_study(study: Resource, synced: Sequence[Instance], rules: Rules) -> Iterator[str]:
    """What differs in the study itself and in its series."""
    accessions = {one.get("value") for one in study.get("identifier", []) if _is_accession(one)}
    if texts(synced, _ACCESSION_NUMBER, "SH") - accessions:
        yield "an AccessionNumber is missing"
    if _is_another(moment(study.get("started", "")), moments(synced, _STUDY_DATE, _STUDY_TIME, rules.offset)):
        yield "started is not StudyDate and StudyTime"
    described = texts(synced, _STUDY_DESCRIPTION, "LO")
    if rules.extended and _is_another(words(study.get("description")), described):
        yield "the description is not StudyDescription"
    if described - {words(one.get("text")) for one in study.get("note", [])}:
        yield "a StudyDescription is in no note"
    by_series: dict[str, list[Instance]] = {}
    for one in synced:
        for uid in texts([one], _SERIES_UID, "LO"):
            by_series.setdefault(uid, []).append(one)
    for series in study.get("series", []):
        for told in _in_series(series, by_series.get(series.get("uid"), ()), rules):
            yield f"series {series.get('uid')}: {told}"


def _in_series(series: Resource, instances: Sequence[Instance], rules: Rules) -> Iterator[str]:
    if _is_another(words(series.get("description")), texts(instances, _SERIES_DESCRIPTION, "LO")):
        yield "the description is not SeriesDescription"
    if _is_another(series.get("modality", {}).get("code"), texts(instances, _MODALITY, "SH")):
        yield "the modality is not Modality"
    if _is_another(series.get("number"), numbers(instances, _SERIES_NUMBER)):
        yield "the number is not SeriesNumber"
    if _is_another(moment(series.get("started", "")), moments(instances, _SERIES_DATE, _SERIES_TIME, rules.offset)):
        yield "started is not SeriesDate and SeriesTime"


@dataclass(frozen=True, slots=True)
class PatientSaid:
    """What all instances of a PatientID say, whichever study they are of: the newest in the feed has the word."""

    names: dict[str, set[Name]] = field(default_factory=dict)
    genders: set[str] = field(default_factory=set)
    births: set[str] = field(default_factory=set)

    def also(self, instances: Sequence[Instance]) -> None:
        """These say it too."""
        said = codes(instances, _SEX, _GENDERS), days(instances, _BIRTH_DATE)
        self._add(PatientSaid(dict(names(instances, _NAME)), *said))

    @classmethod
    def together(cls, several: Iterable["PatientSaid"]) -> "PatientSaid":
        """Where one Patient has the PatientIDs of all of them."""
        whole = cls()
        for one in several:
            whole._add(one)
        return whole

    def _add(self, other: "PatientSaid") -> None:
        self.genders.update(other.genders)
        self.births.update(other.births)
        for script, said in other.names.items():
            self.names.setdefault(script, set()).update(said)


@dataclass(frozen=True, slots=True)
class PatientTold:
    """`differs`: what the app would write. `stays`: what is another's by `Patient__UpdatePolicy`, and differs too."""

    differs: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


def in_patient(patient: Resource, said: PatientSaid, policy: str) -> PatientTold:
    """Of a Patient that the settings do not let the app change nothing differs."""
    differs: list[str] = []
    stays: list[str] = []
    for told, is_there, follows in _of_patient(patient, said):
        is_kept = policy == "never" or (is_there and not (follows and policy == "overwrite"))
        (stays if is_kept else differs).append(told)
    return PatientTold(tuple(differs), tuple(f"{one}, and stays so" for one in stays))


def _of_patient(patient: Resource, said: PatientSaid) -> Iterator[tuple[str, bool, bool]]:
    """What is not as said; whether FHIR has something there, and whether that follows DICOM."""
    held, reference = held_names(patient), f"Patient/{patient['id']}"
    for script, wanted in sorted(said.names.items()):
        if _is_another(held.get(script), wanted):
            yield f"the {_SCRIPTS[script]}name of {reference} is not PatientName", bool(patient.get("name")), True
    rows: Sequence[tuple[str, str, str, Collection[str], bool]] = (
        ("gender", "gender", "PatientSex", said.genders, True),
        ("birthDate", "birth date", "PatientBirthDate", said.births, False),
    )
    for element, name, keyword, among, follows in rows:
        if _is_another(patient.get(element), among):
            is_there = element in patient or f"_{element}" in patient
            yield f"the {name} of {reference} is not {keyword}", is_there, follows


def _is_another(held: Any, said: Collection[Any]) -> bool:
    """Also where FHIR says nothing and DICOM does."""
    return bool(said) and held not in said


def _is_accession(identifier: Mapping[str, Any]) -> bool:
    return any(one.get("code") == "ACSN" for one in identifier.get("type", {}).get("coding", []))
