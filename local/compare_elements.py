"""Compares the elements of an ImagingStudy and of a Patient with the instances' values, without the app's mapping.

If instances disagree, FHIR may have the value of any of them. If none has a valid value, whatever FHIR has is accepted:
another system may have written it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.compare_rules import Rules
from local.dicom_says import (
    Instance,
    Name,
    codes,
    days,
    moment,
    moments,
    names,
    names_in_fhir,
    numbers,
    single_spaced,
    texts,
)
from local.fhir_account import Resource

_ACCESSION_NUMBER, _MODALITY, _SERIES_UID, _SERIES_NUMBER = "00080050", "00080060", "0020000E", "00200011"
_STUDY_DESCRIPTION, _STUDY_DATE, _STUDY_TIME = "00081030", "00080020", "00080030"
_SERIES_DESCRIPTION, _SERIES_DATE, _SERIES_TIME = "0008103E", "00080021", "00080031"
_NAME, _SEX, _BIRTH_DATE = "00100010", "00100040", "00100030"
_GENDERS = {"M": "male", "F": "female", "O": "other"}
_SCRIPTS = {"": "", "IDE": "ideographic ", "SYL": "phonetic "}


def study_differences(study: Resource, synced: Sequence[Instance], rules: Rules) -> Iterator[str]:
    """A sentence for each element of the study and of its series that does not have the instances' values."""
    accessions = {one.get("value") for one in study.get("identifier", []) if _is_accession(one)}
    if texts(synced, _ACCESSION_NUMBER, "SH") - accessions:
        yield "an AccessionNumber is missing"
    if _differs(moment(study.get("started", "")), moments(synced, _STUDY_DATE, _STUDY_TIME, rules.offset)):
        yield "started is not StudyDate and StudyTime"
    described = texts(synced, _STUDY_DESCRIPTION, "LO")
    if rules.extended and _differs(single_spaced(study.get("description")), described):
        yield "the description is not StudyDescription"
    if described - {single_spaced(one.get("text")) for one in study.get("note", [])}:
        yield "a StudyDescription is in no note"
    by_series: dict[str, list[Instance]] = {}
    for one in synced:
        for uid in texts([one], _SERIES_UID, "LO"):
            by_series.setdefault(uid, []).append(one)
    for series in study.get("series", []):
        for difference in _series_differences(series, by_series.get(series.get("uid"), ()), rules):
            yield f"series {series.get('uid')}: {difference}"


def _series_differences(series: Resource, instances: Sequence[Instance], rules: Rules) -> Iterator[str]:
    if _differs(single_spaced(series.get("description")), texts(instances, _SERIES_DESCRIPTION, "LO")):
        yield "the description is not SeriesDescription"
    if _differs(series.get("modality", {}).get("code"), texts(instances, _MODALITY, "SH")):
        yield "the modality is not Modality"
    if _differs(series.get("number"), numbers(instances, _SERIES_NUMBER)):
        yield "the number is not SeriesNumber"
    if _differs(moment(series.get("started", "")), moments(instances, _SERIES_DATE, _SERIES_TIME, rules.offset)):
        yield "started is not SeriesDate and SeriesTime"


@dataclass(frozen=True, slots=True)
class PatientValues:
    """The valid values in all instances of a PatientID, whichever study they are in; FHIR may have any of them.

    `names`: by script, as FHIR's extension has it; empty for the alphabetic one. `genders`: as FHIR's codes. `births`:
    dates as FHIR writes them.
    """

    names: dict[str, set[Name]] = field(default_factory=dict)
    genders: set[str] = field(default_factory=set)
    births: set[str] = field(default_factory=set)

    def add(self, instances: Sequence[Instance]) -> None:
        """Adds the values of these instances."""
        genders, births = codes(instances, _SEX, _GENDERS), days(instances, _BIRTH_DATE)
        self._merge(PatientValues(dict(names(instances, _NAME)), genders, births))

    @classmethod
    def union(cls, several: Iterable["PatientValues"]) -> "PatientValues":
        """The values of several PatientIDs, which one Patient has."""
        whole = cls()
        for one in several:
            whole._merge(one)
        return whole

    def _merge(self, other: "PatientValues") -> None:
        self.genders.update(other.genders)
        self.births.update(other.births)
        for script, values in other.names.items():
            self.names.setdefault(script, set()).update(values)


@dataclass(frozen=True, slots=True)
class PatientDifferences:
    """A sentence for each element that differs: `differs` if the app should have written it, else `stays`.

    `Patient__UpdatePolicy` says what the app leaves as it is.
    """

    differs: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


def patient_differences(patient: Resource, in_dicom: PatientValues, policy: str) -> PatientDifferences:
    """Compares a Patient with the values in DICOM. `policy`: Patient__UpdatePolicy; if `never`, all stay."""
    differs: list[str] = []
    stays: list[str] = []
    for difference, is_there, follows_dicom in _differing_elements(patient, in_dicom):
        is_kept = policy == "never" or (is_there and not (follows_dicom and policy == "overwrite"))
        (stays if is_kept else differs).append(difference)
    return PatientDifferences(tuple(differs), tuple(f"{one}, and stays so" for one in stays))


def _differing_elements(patient: Resource, in_dicom: PatientValues) -> Iterator[tuple[str, bool, bool]]:
    """A sentence for each; whether FHIR has a value there, and whether the app overwrites that by default."""
    held, reference = names_in_fhir(patient), f"Patient/{patient['id']}"
    for script, wanted in sorted(in_dicom.names.items()):
        if _differs(held.get(script), wanted):
            yield f"the {_SCRIPTS[script]}name of {reference} is not PatientName", bool(patient.get("name")), True
    rows: Sequence[tuple[str, str, str, Collection[str], bool]] = (
        ("gender", "gender", "PatientSex", in_dicom.genders, True),
        ("birthDate", "birth date", "PatientBirthDate", in_dicom.births, False),
    )
    for element, name, keyword, values, follows_dicom in rows:
        if _differs(patient.get(element), values):
            is_there = element in patient or f"_{element}" in patient
            yield f"the {name} of {reference} is not {keyword}", is_there, follows_dicom


def _differs(in_fhir: Any, in_dicom: Collection[Any]) -> bool:
    """Whether DICOM has values, and FHIR none of them."""
    return bool(in_dicom) and in_fhir not in in_dicom


def _is_accession(identifier: Mapping[str, Any]) -> bool:
    return any(one.get("code") == "ACSN" for one in identifier.get("type", {}).get("coding", []))
