"""FHIR held against DICOM by an independent check: it shares no code with the app's mapping."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import requests

from local.compare_elements import PatientSaid, in_patient, in_study
from local.compare_rules import Rules
from local.dicom_says import Instance
from local.dose_reports import is_dose_report, observations_expected
from local.fhir_account import FhirAccount, Partition, Resource, counts, listed, relative, replaced_by
from local.plural import number

_PATIENT_ID, _STUDY_UID, _SERIES_UID, _INSTANCE_UID, _MODALITY = (
    "00100020",
    "0020000D",
    "0020000E",
    "00080018",
    "00080060",
)
_PAGE = 200
_AS_UNSET = Rules()


@dataclass(frozen=True, slots=True)
class StudyComparison:
    """One study on both sides. `differences` is empty where FHIR says what DICOM holds.

    `in_dicom` and `in_fhir`: how many instances each series has. `observations`: of the study's dose reports, in FHIR.
    `stays`: what is another's in FHIR, by the app's rules, and says something else.
    """

    partition: str
    study_instance_uid: str
    patient_id: str = ""
    modalities: tuple[str, ...] = ()
    in_dicom: Mapping[str, int] = field(default_factory=dict)
    in_fhir: Mapping[str, int] = field(default_factory=dict)
    observations: int = 0
    failed: int = 0
    differences: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Compared:
    """A study, whose subject is held against what all studies of its PatientIDs say."""

    study: StudyComparison
    patient: Resource | None = None
    patient_ids: Collection[str] = ()
    """By which the Patient is known."""

    def with_patient(self, said: Mapping[str, PatientSaid], policy: str) -> StudyComparison:
        """The study with what differs in its Patient; nothing where that is another's."""
        of_them = [said[one] for one in self.patient_ids]
        if self.patient is None or not of_them:
            return self.study
        told = in_patient(self.patient, PatientSaid.together(of_them), policy)
        return replace(self.study, differences=(*self.study.differences, *told.differs), stays=told.stays)


def compare(
    dicom_url: str,
    fhir: str | FhirAccount,
    failed: Collection[str],
    *,
    service_url: str | None = None,
    rules: Rules = _AS_UNSET,
) -> list[StudyComparison]:
    """All studies of the DICOM service, data partition by data partition, each followed by what only FHIR holds.

    `fhir`: the base URL, or an account of one that is asked otherwise. `failed`: SOPInstanceUIDs that are recorded as
    failed, and so need not be in FHIR. `service_url`: what the app calls the DICOM service, where that is not
    `dicom_url`. `rules`: by the app's settings.
    """
    account = FhirAccount(fhir) if isinstance(fhir, str) else fhir
    said: dict[str, PatientSaid] = {}
    compared: list[_Compared] = []
    for one in _answer(f"{dicom_url}/v2/partitions").json():
        partition = Partition(one["PartitionName"], service_url or dicom_url)
        comparison = _Comparison(f"{dicom_url}/v2{partition.path}", account, partition, failed, rules, said)
        compared += comparison.studies()
    return [one.with_patient(said, rules.policy) for one in compared]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Of one data partition; `url` is that of its studies in DICOM. `said` of each PatientID is added to."""

    url: str
    fhir: FhirAccount
    partition: Partition
    failed: Collection[str]
    rules: Rules
    said: dict[str, PatientSaid]

    def studies(self) -> Iterator[_Compared]:
        uids: list[str] = []
        reports: set[str] = set()
        for uid in _studies_in_dicom(self.url):
            metadata = _answer(f"{self.url}/studies/{uid}/metadata").json()
            uids.append(uid)
            reports |= {_value(one, _INSTANCE_UID) for one in metadata if is_dose_report(one)}
            for one in metadata:
                self.said.setdefault(_value(one, _PATIENT_ID), PatientSaid()).also([one])
            yield self._study(uid, metadata)
        for study in self.fhir.made_for(self.partition, "ImagingStudy"):
            if not self.partition.uids(study) & set(uids):
                told = (f"ImagingStudy/{study['id']} is in FHIR, but not in DICOM",)
                uid = max(self.partition.uids(study), default="")
                yield _Compared(StudyComparison(self.partition.name, uid, in_fhir=counts(study), differences=told))
        for one in self.fhir.made_for(self.partition, "Observation") if self.rules.observations else ():
            if not self.partition.uids(one) & reports:
                told = (f"Observation/{one['id']} is in FHIR, but no report of it in DICOM",)
                yield _Compared(StudyComparison(self.partition.name, "", observations=1, differences=told))

    def _study(self, uid: str, metadata: Sequence[Instance]) -> _Compared:
        synced = [one for one in metadata if _value(one, _INSTANCE_UID) not in self.failed]
        found = self.fhir.identified("ImagingStudy", self.partition, uid)
        study = found[0] if found else None
        reports = [one for one in synced if is_dose_report(one)] if self.rules.observations else []
        observations = {
            _value(one, _INSTANCE_UID): self.fhir.identified("Observation", self.partition, _value(one, _INSTANCE_UID))
            for one in reports
        }
        differences = [f"{len(found)} ImagingStudy resources"] if len(found) > 1 else []
        if study is not None:
            differences += self._in_study(study, metadata, synced)
            for report in reports:
                differences += self._in_observations(observations[_value(report, _INSTANCE_UID)], report, study)
        elif synced:
            differences += ["not in FHIR"]
        patient_ids = {_value(one, _PATIENT_ID) for one in synced}
        told = StudyComparison(
            self.partition.name,
            uid,
            max(patient_ids, default=""),
            tuple(sorted({_value(one, _MODALITY) for one in metadata} - {""})),
            _instances_by_series(metadata),
            counts(study) if study else {},
            sum(map(len, observations.values())),
            len(metadata) - len(synced),
            tuple(differences),
        )
        subject = self.fhir.subject(study) if study else None
        known = {one["value"] for one in self.fhir.known_by(subject, patient_ids)} if subject else set()
        return _Compared(told, subject, known)

    def _in_study(self, study: Resource, metadata: Sequence[Instance], synced: Sequence[Instance]) -> Iterator[str]:
        """Series whose instances are only counted are counted by the DICOM service: what failed is among them."""
        counts_held = counts(study)
        there, wanted = listed(study), {(_value(one, _SERIES_UID), _value(one, _INSTANCE_UID)) for one in synced}
        counted = counts_held.keys() - {series for series, _ in there}
        in_dicom = _instances_by_series(metadata)
        for series in sorted(counted):
            if counts_held[series] != in_dicom.get(series, 0):
                held = number(counts_held[series], "instance")
                yield f"series {series}: {held} counted, {in_dicom.get(series, 0)} in DICOM"
        wanted = {(series, instance) for series, instance in wanted if series not in counted}
        for series, missing in sorted(Counter(series for series, _ in wanted - there).items()):
            yield f"series {series}: {number(missing, 'instance')} missing in FHIR"
        for series, surplus in sorted(Counter(series for series, _ in there - wanted).items()):
            yield f"series {series}: {number(surplus, 'instance')} in FHIR only"
        instances = sum(counts_held.values())
        if study.get("numberOfInstances", instances) != instances:
            yield "numberOfInstances is not the sum of the series'"
        if study.get("numberOfSeries", len(counts_held)) != len(counts_held):
            yield "numberOfSeries is not the number of the series"
        yield from in_study(study, synced, self.rules)
        yield from self._subject(study, {_value(one, _PATIENT_ID) for one in synced})

    def _in_observations(self, held: Sequence[Resource], report: Instance, study: Resource) -> Iterator[str]:
        uid, expected = _value(report, _INSTANCE_UID), observations_expected(report)
        if len(held) != expected:
            yield f"dose report {uid}: {number(len(held), 'Observation')} in FHIR, and not {expected}"
        for one in held:
            if f"ImagingStudy/{study['id']}" not in map(relative, one.get("derivedFrom", [])):
                yield f"Observation/{one['id']} is not derived from the study"
            yield from self._subject(one, {_value(report, _PATIENT_ID)})

    def _subject(self, resource: Resource, patient_ids: Collection[str]) -> Iterator[str]:
        name, subject = f"{resource['resourceType']}/{resource['id']}", self.fhir.subject(resource)
        identifiers = self.fhir.known_by(subject, patient_ids) if subject else []
        if not identifiers:
            yield f"the subject of {name} is not the patient of PatientID"
        if subject and (left := replaced_by(subject)):
            yield f"the subject of {name} is replaced by {left}"
        if any(len(self.fhir.patients(one)) > 1 for one in identifiers):
            yield f"several Patients have the PatientID of {name}"


def _instances_by_series(metadata: Sequence[Instance]) -> Mapping[str, int]:
    return Counter(_value(one, _SERIES_UID) for one in metadata)


def _studies_in_dicom(url: str) -> Iterator[str]:
    offset = 0
    while True:
        query = {"limit": str(_PAGE), "offset": str(offset)}
        answer = _answer(f"{url}/studies", query)
        page = answer.json() if answer.status_code == requests.codes.ok else []  # 204: there is none
        yield from (_value(one, _STUDY_UID) for one in page)
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _answer(url: str, query: Mapping[str, str] | None = None) -> requests.Response:
    """Raises RequestException where it is no success: what cannot be read is not nothing."""
    answer = requests.get(url, params=query, timeout=60)
    answer.raise_for_status()
    return answer


def _value(metadata: Instance, tag: str) -> str:
    values = metadata.get(tag, {}).get("Value") or [""]
    return str(values[0]).strip(" \0")
