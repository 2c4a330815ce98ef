"""QIDO-RS (PS3.18 10.6): studies by UID, StudyDate, AccessionNumber and PatientID, and the series and instances of one.

Studies come in an order that never changes, and that deliberately is not that of their arrival: clients must not rely
on it.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import Any

from local.dicom_service.database import Database

_STUDY_ATTRIBUTES = (
    "00080005",  # SpecificCharacterSet
    "00080020",  # StudyDate
    "00080030",  # StudyTime
    "00080050",  # AccessionNumber
    "00080090",  # ReferringPhysicianName
    "00081030",  # StudyDescription
    "00100010",  # PatientName
    "00100020",  # PatientID
    "00100030",  # PatientBirthDate
    "0020000D",  # StudyInstanceUID
    "00200010",  # StudyID
)

_SERIES_ATTRIBUTES = (
    "00080005",  # SpecificCharacterSet
    "00080060",  # Modality
    "0008103E",  # SeriesDescription
    "0020000D",  # StudyInstanceUID
    "0020000E",  # SeriesInstanceUID
    "00200011",  # SeriesNumber
)
_INSTANCE_ATTRIBUTES = (
    "00080005",  # SpecificCharacterSet
    "00080016",  # SOPClassUID
    "00080018",  # SOPInstanceUID
    "0020000D",  # StudyInstanceUID
    "0020000E",  # SeriesInstanceUID
    "00200013",  # InstanceNumber
)
MODALITIES_IN_STUDY, INSTANCES_OF_STUDY, INSTANCES_OF_SERIES = "00080061", "00201208", "00201209"
"""Attributes that are computed, and only given if `includefield` asks for them."""

# min() makes SQLite take `metadata` from the study's first instance.
_STUDIES = """
    SELECT min(coalesce(original_version, version)) AS arrival, metadata,
           json_group_array(DISTINCT modality) AS modalities,
           count(*) AS instances
    FROM instance
    WHERE partition_name = :partition
      AND (:study IS NULL OR study_instance_uid = :study)
      AND (:patient_id IS NULL OR study_instance_uid IN (
          SELECT study_instance_uid FROM instance WHERE partition_name = :partition AND patient_id = :patient_id))
      AND (:accession IS NULL OR study_instance_uid IN (
          SELECT study_instance_uid FROM instance
          WHERE partition_name = :partition AND json_extract(metadata, '$."00080050".Value[0]') = :accession))
      AND (:first IS NULL OR study_instance_uid IN (
          SELECT study_instance_uid FROM instance
          WHERE partition_name = :partition
            AND json_extract(metadata, '$."00080020".Value[0]') GLOB '[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'
            AND json_extract(metadata, '$."00080020".Value[0]') BETWEEN :first AND :last))
    GROUP BY study_instance_uid
    ORDER BY min(coalesce(original_version, version)) * 2654435761 % 4294967296
    LIMIT :limit OFFSET :offset
"""


_SERIES = """
    SELECT min(coalesce(original_version, version)) AS arrival, metadata, count(*) AS instances
    FROM instance
    WHERE partition_name = :partition AND study_instance_uid = :study
    GROUP BY series_instance_uid
    ORDER BY arrival
    LIMIT :limit OFFSET :offset
"""

_INSTANCES = """
    SELECT metadata
    FROM instance
    WHERE partition_name = :partition AND study_instance_uid = :study
      AND (:series IS NULL OR series_instance_uid = :series)
    ORDER BY coalesce(original_version, version)
    LIMIT :limit OFFSET :offset
"""


def studies(
    database: Database,
    *,
    partition: str,
    study: str | None,
    accession: str | None,
    patient_id: str | None,
    dates: tuple[str, str] | None,
    included: Collection[str],
    limit: int,
    offset: int,
) -> list[dict[str, Any]]:
    """Matching studies as DICOM JSON, with the study attributes of the first instance.

    `dates`: the first and the last StudyDate; a study whose date is missing or invalid does not match. `included`: tags
    or keywords of further attributes; only ModalitiesInStudy and NumberOfStudyRelatedInstances are known.
    """
    first, last = dates or (None, None)
    parameters = {
        "partition": partition,
        "study": study,
        "accession": accession,
        "patient_id": patient_id,
        "first": first,
        "last": last,
        "limit": limit,
        "offset": offset,
    }
    return [_study(row, included) for row in database.rows(_STUDIES, parameters)]


def series(
    database: Database, *, partition: str, study: str, counted: bool, limit: int, offset: int
) -> list[dict[str, Any]]:
    """The series of a study as DICOM JSON, in the order of arrival. `counted`: with NumberOfSeriesRelatedInstances."""
    parameters = {"partition": partition, "study": study, "limit": limit, "offset": offset}
    found = []
    for row in database.rows(_SERIES, parameters):
        first = json.loads(row["metadata"])
        found_series = {tag: first[tag] for tag in _SERIES_ATTRIBUTES if tag in first}
        if counted:
            found_series[INSTANCES_OF_SERIES] = {"vr": "IS", "Value": [row["instances"]]}
        found.append(found_series)
    return found


def instances(
    database: Database, *, partition: str, study: str, series: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """The instances of a study, or of one of its series, as DICOM JSON, in the order of arrival."""
    parameters = {"partition": partition, "study": study, "series": series, "limit": limit, "offset": offset}
    found = [json.loads(row["metadata"]) for row in database.rows(_INSTANCES, parameters)]
    return [{tag: one[tag] for tag in _INSTANCE_ATTRIBUTES if tag in one} for one in found]


def _study(row: sqlite3.Row, included: Collection[str]) -> dict[str, Any]:
    first = json.loads(row["metadata"])
    study = {tag: first[tag] for tag in _STUDY_ATTRIBUTES if tag in first}
    if not {MODALITIES_IN_STUDY, "ModalitiesInStudy"}.isdisjoint(included):
        modalities = sorted(modality for modality in json.loads(row["modalities"]) if modality is not None)
        study[MODALITIES_IN_STUDY] = {"vr": "CS", "Value": modalities} if modalities else {"vr": "CS"}
    if not {INSTANCES_OF_STUDY, "NumberOfStudyRelatedInstances"}.isdisjoint(included):
        study[INSTANCES_OF_STUDY] = {"vr": "IS", "Value": [row["instances"]]}
    return dict(sorted(study.items()))
