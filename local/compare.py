"""FHIR held against DICOM by an independent check: it shares no code with the app's mapping."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import requests

_PATIENT_ID, _STUDY_UID, _SERIES_UID, _INSTANCE_UID, _MODALITY = (
    "00100020",
    "0020000D",
    "0020000E",
    "00080018",
    "00080060",
)
_PAGE = 200

Instances = dict[str, set[str]]
"""SeriesInstanceUID -> SOPInstanceUIDs."""


@dataclass(frozen=True, slots=True)
class StudyComparison:
    """One study on both sides. `differences` is empty where FHIR says what DICOM holds."""

    study_instance_uid: str
    patient_id: str
    modalities: tuple[str, ...]
    in_dicom: Instances
    in_fhir: Instances
    failed: int
    differences: tuple[str, ...]


def compare(dicom_url: str, fhir_url: str, failed: Collection[str]) -> list[StudyComparison]:
    """All studies of the DICOM service, then those that only FHIR holds.

    `failed`: SOPInstanceUIDs that are recorded as failed, and so need not be in FHIR.
    """
    studies = list(_studies_in_dicom(dicom_url))
    told = [_compare(dicom_url, fhir_url, uid, failed) for uid in studies]
    ours = [one for one in _search(fhir_url, "ImagingStudy", {}) if one.get("meta", {}).get("source") == dicom_url]
    for study in ours:
        uid = _study_uid(study)
        if uid not in studies:
            told.append(StudyComparison(uid, "", (), {}, _instances(study), 0, ("in FHIR, but not in DICOM",)))
    return told


def _compare(dicom_url: str, fhir_url: str, uid: str, failed: Collection[str]) -> StudyComparison:
    metadata = requests.get(f"{dicom_url}/v1/studies/{uid}/metadata", timeout=60).json()
    in_dicom: Instances = {}
    synced: Instances = {}
    for one in metadata:
        in_dicom.setdefault(_value(one, _SERIES_UID), set()).add(_value(one, _INSTANCE_UID))
        if _value(one, _INSTANCE_UID) not in failed:
            synced.setdefault(_value(one, _SERIES_UID), set()).add(_value(one, _INSTANCE_UID))
    patients = {_value(one, _PATIENT_ID) for one in metadata if _value(one, _INSTANCE_UID) not in failed}
    found = _search(fhir_url, "ImagingStudy", {"identifier": f"urn:dicom:uid|urn:oid:{uid}"})
    differences = list(_differences(fhir_url, found, synced, patients))
    return StudyComparison(
        uid,
        max(patients, default=""),
        tuple(sorted({_value(one, _MODALITY) for one in metadata} - {""})),
        in_dicom,
        _instances(found[0]) if found else {},
        sum(_value(one, _INSTANCE_UID) in failed for one in metadata),
        tuple(differences),
    )


def _differences(fhir_url: str, found: list[dict[str, Any]], synced: Instances, patients: set[str]) -> Iterator[str]:
    if len(found) > 1:
        yield f"{len(found)} ImagingStudy resources"
    if not found:
        if synced:
            yield "not in FHIR"
        return
    in_fhir = _instances(found[0])
    for series in sorted(synced.keys() | in_fhir.keys()):
        if missing := len(synced.get(series, set()) - in_fhir.get(series, set())):
            yield f"series {series}: {missing} instances are missing in FHIR"
        if surplus := len(in_fhir.get(series, set()) - synced.get(series, set())):
            yield f"series {series}: {surplus} instances are in FHIR only"
    patient = requests.get(f"{fhir_url}/{found[0]['subject']['reference']}", timeout=60)
    if not patient.ok or not patients & {one.get("value") for one in patient.json().get("identifier", [])}:
        yield "the subject is not the study's patient"


def _studies_in_dicom(dicom_url: str) -> Iterator[str]:
    offset = 0
    while True:
        query = {"limit": str(_PAGE), "offset": str(offset)}
        answer = requests.get(f"{dicom_url}/v1/studies", params=query, timeout=60)
        page = answer.json() if answer.status_code == requests.codes.ok else []
        yield from (_value(one, _STUDY_UID) for one in page)
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _search(fhir_url: str, resource_type: str, query: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    url: str | None = f"{fhir_url}/{resource_type}"
    params: dict[str, str] | None = {**query, "_count": "100"}
    while url:
        bundle = requests.get(url, params=params, timeout=60).json()
        found += [entry["resource"] for entry in bundle.get("entry", []) if "resource" in entry]
        url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
        params = None
    return found


def _instances(study: dict[str, Any]) -> Instances:
    return {one["uid"]: {instance["uid"] for instance in one.get("instance", [])} for one in study.get("series", [])}


def _study_uid(study: dict[str, Any]) -> str:
    values = [one["value"] for one in study.get("identifier", []) if one.get("system") == "urn:dicom:uid"]
    return str(values[0]).removeprefix("urn:oid:") if values else ""


def _value(metadata: dict[str, Any], tag: str) -> str:
    values = metadata.get(tag, {}).get("Value") or [""]
    return str(values[0]).strip(" \0")
