"""Compares a FHIR server with a DICOM service, without any code of the app's mapping."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import requests

from local.compare_elements import PatientValues, patient_differences, study_differences
from local.compare_rules import Rules
from local.dicom_says import Instance
from local.dose_reports import is_dose_report, observations_expected
from local.fhir_account import (
    FhirAccount,
    Partition,
    Resource,
    instance_counts,
    listed_instances,
    relative,
    replaced_by,
)
from local.plural import number

_PATIENT_ID, _STUDY_UID, _SERIES_UID, _INSTANCE_UID, _MODALITY = (
    "00100020",
    "0020000D",
    "0020000E",
    "00080018",
    "00080060",
)
_PAGE = 200
_DEFAULT_RULES = Rules()


@dataclass(frozen=True, slots=True)
class StudyComparison:
    """One study, as DICOM and FHIR have it.

    `in_dicom`, `in_fhir`: number of instances by SeriesInstanceUID. `observations`: how many Observations FHIR has of
    the study's dose reports. `failed`: how many of its instances are recorded as failed. `differences`: a sentence for
    each difference; empty if FHIR agrees with DICOM. `stays`: a sentence for each value that differs, but that the app
    leaves as it is, because somebody else wrote it.
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
    """A study that is compared, except for its Patient: that needs all studies of the same PatientIDs."""

    study: StudyComparison
    patient: Resource | None = None
    patient_ids: Collection[str] = ()
    """The study's PatientIDs that the Patient has among its identifiers."""

    def with_patient(self, patients: Mapping[str, PatientValues], policy: str) -> StudyComparison:
        """The study with the differences of its Patient. `patients`: by PatientID; `policy`: Patient__UpdatePolicy."""
        values = [patients[one] for one in self.patient_ids]
        if self.patient is None or not values:
            return self.study
        found = patient_differences(self.patient, PatientValues.union(values), policy)
        return replace(self.study, differences=(*self.study.differences, *found.differs), stays=found.stays)


def compare(
    dicom_url: str,
    fhir: str | FhirAccount,
    failed: Collection[str],
    *,
    service_url: str | None = None,
    rules: Rules = _DEFAULT_RULES,
) -> list[StudyComparison]:
    """Compares all studies, one data partition after the other; what only FHIR holds comes at the end of each.

    `fhir`: the server's base URL, or an account if it needs authentication. `failed`: SOPInstanceUIDs that are recorded
    as failed, and so need not be in FHIR. `service_url`: the DICOM service's URL in the app's settings, if that is not
    `dicom_url`. `rules`: what the app's settings ask for. Raises RequestException if the DICOM service or the FHIR
    server cannot be read, SearchError if the FHIR server's answer is incomplete.
    """
    account = FhirAccount(fhir) if isinstance(fhir, str) else fhir
    patients: dict[str, PatientValues] = {}
    compared: list[_Compared] = []
    for one in _get(f"{dicom_url}/v2/partitions").json():
        partition = Partition(one["PartitionName"], service_url or dicom_url)
        comparison = _Comparison(f"{dicom_url}/v2{partition.path}", account, partition, failed, rules, patients)
        compared += comparison.studies()
    return [one.with_patient(patients, rules.policy) for one in compared]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The comparison of one data partition, whose studies are at `url`. It adds to `patients`, by PatientID."""

    url: str
    fhir: FhirAccount
    partition: Partition
    failed: Collection[str]
    rules: Rules
    patients: dict[str, PatientValues]

    def studies(self) -> Iterator[_Compared]:
        """The partition's studies, then the ImagingStudies and Observations that only FHIR holds."""
        uids: list[str] = []
        reports: set[str] = set()
        for uid in _studies_in_dicom(self.url):
            metadata = _get(f"{self.url}/studies/{uid}/metadata").json()
            uids.append(uid)
            reports |= {_value(one, _INSTANCE_UID) for one in metadata if is_dose_report(one)}
            for one in metadata:
                self.patients.setdefault(_value(one, _PATIENT_ID), PatientValues()).add([one])
            yield self._study(uid, metadata)
        for study in self.fhir.made_for(self.partition, "ImagingStudy"):
            if not self.partition.uids(study) & set(uids):
                differences = (f"ImagingStudy/{study['id']} is in FHIR, but not in DICOM",)
                uid = max(self.partition.uids(study), default="")
                in_fhir = instance_counts(study)
                yield _Compared(StudyComparison(self.partition.name, uid, in_fhir=in_fhir, differences=differences))
        for one in self.fhir.made_for(self.partition, "Observation") if self.rules.observations else ():
            if not self.partition.uids(one) & reports:
                differences = (f"Observation/{one['id']} is in FHIR, but no report of it in DICOM",)
                yield _Compared(StudyComparison(self.partition.name, "", observations=1, differences=differences))

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
            differences += self._study_differences(study, metadata, synced)
            for report in reports:
                differences += self._observation_differences(observations[_value(report, _INSTANCE_UID)], report, study)
        elif synced:
            differences += ["not in FHIR"]
        patient_ids = {_value(one, _PATIENT_ID) for one in synced}
        compared = StudyComparison(
            self.partition.name,
            uid,
            max(patient_ids, default=""),
            tuple(sorted({_value(one, _MODALITY) for one in metadata} - {""})),
            _instances_by_series(metadata),
            instance_counts(study) if study else {},
            sum(map(len, observations.values())),
            len(metadata) - len(synced),
            tuple(differences),
        )
        subject = self.fhir.subject(study) if study else None
        known = {one["value"] for one in self.fhir.identifiers_with(subject, patient_ids)} if subject else set()
        return _Compared(compared, subject, known)

    def _study_differences(
        self, study: Resource, metadata: Sequence[Instance], synced: Sequence[Instance]
    ) -> Iterator[str]:
        """A sentence for each difference. `metadata`: of the study's instances; `synced`: without those that failed."""
        yield from _missing_and_surplus(study, metadata, synced)
        yield from _wrong_totals(study)
        yield from study_differences(study, synced, self.rules)
        yield from self._subject_differences(study, {_value(one, _PATIENT_ID) for one in synced})

    def _observation_differences(self, held: Sequence[Resource], report: Instance, study: Resource) -> Iterator[str]:
        uid, expected = _value(report, _INSTANCE_UID), observations_expected(report)
        if len(held) != expected:
            yield f"dose report {uid}: {number(len(held), 'Observation')} in FHIR, and not {expected}"
        for one in held:
            if f"ImagingStudy/{study['id']}" not in map(relative, one.get("derivedFrom", [])):
                yield f"Observation/{one['id']} is not derived from the study"
            yield from self._subject_differences(one, {_value(report, _PATIENT_ID)})

    def _subject_differences(self, resource: Resource, patient_ids: Collection[str]) -> Iterator[str]:
        name, subject = f"{resource['resourceType']}/{resource['id']}", self.fhir.subject(resource)
        identifiers = self.fhir.identifiers_with(subject, patient_ids) if subject else []
        if not identifiers:
            yield f"the subject of {name} is not the patient of PatientID"
        if subject and (replacement := replaced_by(subject)):
            yield f"the subject of {name} is replaced by {replacement}"
        if any(len(self.fhir.patients(one)) > 1 for one in identifiers):
            yield f"several Patients have the PatientID of {name}"


def _missing_and_surplus(study: Resource, metadata: Sequence[Instance], synced: Sequence[Instance]) -> Iterator[str]:
    """How many instances are only in DICOM, or only in FHIR, by series.

    If a series in FHIR does not list its instances, its number of them is the one that the DICOM service gave, which
    includes instances that failed.
    """
    counts_in_fhir, listed = instance_counts(study), listed_instances(study)
    counted = counts_in_fhir.keys() - {series for series, _ in listed}
    in_dicom = _instances_by_series(metadata)
    for series in sorted(counted):
        if counts_in_fhir[series] != in_dicom.get(series, 0):
            in_fhir = number(counts_in_fhir[series], "instance")
            yield f"series {series}: {in_fhir} counted, {in_dicom.get(series, 0)} in DICOM"
    wanted = {(_value(one, _SERIES_UID), _value(one, _INSTANCE_UID)) for one in synced}
    wanted = {(series, instance) for series, instance in wanted if series not in counted}
    for series, missing in sorted(Counter(series for series, _ in wanted - listed).items()):
        yield f"series {series}: {number(missing, 'instance')} missing in FHIR"
    for series, surplus in sorted(Counter(series for series, _ in listed - wanted).items()):
        yield f"series {series}: {number(surplus, 'instance')} in FHIR only"


def _wrong_totals(study: Resource) -> Iterator[str]:
    counts = instance_counts(study)
    instances = sum(counts.values())
    if study.get("numberOfInstances", instances) != instances:
        yield "numberOfInstances is not the sum of the series'"
    if study.get("numberOfSeries", len(counts)) != len(counts):
        yield "numberOfSeries is not the number of the series"


def _instances_by_series(metadata: Sequence[Instance]) -> Mapping[str, int]:
    return Counter(_value(one, _SERIES_UID) for one in metadata)


def _studies_in_dicom(url: str) -> Iterator[str]:
    offset = 0
    while True:
        query = {"limit": str(_PAGE), "offset": str(offset)}
        answer = _get(f"{url}/studies", query)
        page = answer.json() if answer.status_code == requests.codes.ok else []  # 204: there is none
        yield from (_value(one, _STUDY_UID) for one in page)
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _get(url: str, query: Mapping[str, str] | None = None) -> requests.Response:
    """Raises RequestException unless the status is a success: what cannot be read must not count as missing."""
    answer = requests.get(url, params=query, timeout=60)
    answer.raise_for_status()
    return answer


def _value(metadata: Instance, tag: str) -> str:
    """The first value without its padding; empty if there is none."""
    values = metadata.get(tag, {}).get("Value") or [""]
    return str(values[0]).strip(" \0")
