"""Reads a DICOM file of a STOW-RS request into an instance that can be stored, or the reason why it cannot."""

import io
import json
import re
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pydicom

from local.dicom_service.metadata import PYDICOM_FAULTS, dicom_json

# Real archives hold invalid values, which are passed on unchanged. pydicom has this setting only for the process.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

_PREAMBLE_LENGTH = 128
_UID = re.compile(r"[0-9A-Za-z.\-]{1,64}")


class FailureReason(IntEnum):
    """Values of FailureReason (0008,1197), as Azure's DICOM service documents them for its store transaction."""

    PROCESSING_FAILURE = 272
    FAILED_VALIDATION = 43264
    OTHER_STUDY = 43265
    ALREADY_EXISTS = 45070


@dataclass(frozen=True, slots=True)
class Instance:
    """What is stored of a DICOM file. `metadata`: DICOM JSON as text."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    patient_id: str | None
    modality: str | None
    metadata: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not stored. The UIDs are None if they could not be read."""

    reason: FailureReason
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None


def read_instance(file: bytes, study: str | None) -> Instance | Refusal:
    """Reads a PS3.10 file, or a dataset without file meta. `study`: the only study to take; None takes any."""
    try:
        dataset = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True, force=True)
    except (*PYDICOM_FAULTS, zlib.error):
        return Refusal(FailureReason.PROCESSING_FAILURE)
    attributes = dicom_json(dataset)
    uids = [_uid(attributes, tag) for tag in ("0020000D", "0020000E", "00080018", "00080016")]
    study_uid, series_uid, sop_instance_uid, sop_class_uid = uids
    if not (_has_prefix(file) or sop_instance_uid):
        return Refusal(FailureReason.PROCESSING_FAILURE)
    if not (study_uid and series_uid and sop_instance_uid and sop_class_uid):
        return Refusal(FailureReason.FAILED_VALIDATION, sop_class_uid, sop_instance_uid)
    if study not in (None, study_uid):
        return Refusal(FailureReason.OTHER_STUDY, sop_class_uid, sop_instance_uid)
    return Instance(
        study_instance_uid=study_uid,
        series_instance_uid=series_uid,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        patient_id=only_string(attributes, "00100020"),
        modality=only_string(attributes, "00080060"),
        metadata=metadata_text(attributes),
    )


def is_uid(text: str) -> bool:
    """Whether Azure's service takes the text as a UID: 1 to 64 letters, digits, `.` and `-`."""
    return _UID.fullmatch(text) is not None


def only_string(attributes: dict[str, Any], tag: str) -> str | None:
    """The attribute's value, if it has exactly one and that is a string; else None."""
    match attributes.get(tag, {}).get("Value"):
        case [str() as value]:
            return value
        case _:
            return None


def metadata_text(attributes: dict[str, Any]) -> str:
    """The attributes as the text of `Instance.metadata`."""
    return json.dumps(attributes, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _has_prefix(file: bytes) -> bool:
    return file[_PREAMBLE_LENGTH:].startswith(b"DICM")


def _uid(attributes: dict[str, Any], tag: str) -> str | None:
    value = only_string(attributes, tag)
    return value if value is not None and is_uid(value) else None
