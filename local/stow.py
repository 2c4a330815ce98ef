"""Stores DICOM files in a DICOM service by STOW-RS (PS3.18 10.5)."""

import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

import requests
from pydicom import config, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

MAX_FILES = 50
MAX_BYTES = 32 * 1024 * 1024
_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_NO_INSTANCE = ("not a DICOM file", "a directory of DICOM files")
_UNREADABLE = (
    EOFError,
    ValueError,
    AttributeError,
    NotImplementedError,
    TypeError,
    KeyError,
    struct.error,
    BytesLengthException,
)
"""What pydicom raises if a file's bytes are not valid DICOM elements."""
_DAMAGED = "begins as a DICOM file, and cannot be read as one"
_ALREADY_THERE = 45070  # failure reason of the Azure service: the instance exists
_STORED, _REFUSED = "00081199", "00081198"
_INSTANCE_UID, _REASON = "00081155", "00081197"


class StoreResult(StrEnum):
    """What happened to a file; the value is printed after the number of such files."""

    STORED = "stored"
    ALREADY_THERE = "already there"
    REFUSED = "refused"
    NO_INSTANCE = "not DICOM (skipped)"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file and what happened to it. `reason`: why it was not stored; empty if it was, or was there already."""

    path: Path
    result: StoreResult
    reason: str = ""


class UnreachableError(Exception):
    """The DICOM service does not answer, or the URL is not that of one."""


def files_under(paths: Iterable[Path]) -> list[Path]:
    """The files among the paths, and all files in the folders among them, subfolders included."""
    found: list[Path] = []
    for path in paths:
        found += sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return found


def store(url: str, paths: Iterable[Path], partition: str | None = None) -> Iterator[StoredFile]:
    """Stores the files in requests of at most MAX_FILES and about MAX_BYTES. Gives the result of each file.

    `url`: of the DICOM service. `partition`: its data partition; None if it has none, or for the local service's
    default. Raises UnreachableError.
    """
    studies = f"/v1/partitions/{quote(partition, safe='')}/studies" if partition else "/v1/studies"
    batch: list[tuple[Path, str, bytes]] = []
    for path in paths:
        uid, fault = instance_uid(path)
        if fault:
            yield StoredFile(path, StoreResult.NO_INSTANCE if fault in _NO_INSTANCE else StoreResult.REFUSED, fault)
            continue
        content = path.read_bytes()
        if batch and (len(batch) >= MAX_FILES or sum(len(one[2]) for one in batch) + len(content) > MAX_BYTES):
            yield from _send(url, studies, batch)
            batch = []
        batch.append((path, uid, content))
    if batch:
        yield from _send(url, studies, batch)


def instance_uid(path: Path) -> tuple[str, str]:
    """The file's SOPInstanceUID, and why it cannot be stored; that is empty if it can."""
    try:
        with config.disable_value_validation(), warnings.catch_warnings(action="ignore"):
            dataset = dcmread(path, specific_tags=list(_REQUIRED), stop_before_pixels=True)
            if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                return "", _NO_INSTANCE[1]
            missing = [keyword for keyword in _REQUIRED if not dataset.get(keyword)]
    except FileNotFoundError:
        return "", "no such file"
    except InvalidDicomError:
        return "", _NO_INSTANCE[0]
    except OSError as error:
        return "", f"cannot be read ({type(error).__name__})"
    except _UNREADABLE:
        return "", _DAMAGED if path.stat().st_size else _NO_INSTANCE[0]
    return str(dataset.get("SOPInstanceUID", "")), f"no {', '.join(missing)}" if missing else ""


def multipart(contents: Sequence[bytes]) -> tuple[bytes, str]:
    """A STOW-RS request's body, with a part for each instance, and its Content-Type."""
    fields = [RequestField("instance", content, headers={"Content-Type": "application/dicom"}) for content in contents]
    body, content_type = encode_multipart_formdata(fields)
    boundary = content_type.partition("boundary=")[2]
    return body, f'multipart/related; type="application/dicom"; boundary={boundary}'


def _send(url: str, studies: str, batch: Sequence[tuple[Path, str, bytes]]) -> Iterator[StoredFile]:
    """Stores files in one request. `studies`: its path; `batch`: path, SOPInstanceUID and content of each file."""
    body, content_type = multipart([content for _, _, content in batch])
    headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
    try:
        answer = requests.post(f"{url}{studies}", data=body, headers=headers, timeout=300)
    except requests.RequestException as error:
        raise UnreachableError(f"{url} does not answer ({type(error).__name__}); is the DICOM service up?") from error
    if answer.status_code not in (200, 202, 409):
        raise UnreachableError(
            f"{url} answers {answer.status_code} to STOW-RS at {studies}; is this a DICOM service,"
            " and is a partition named where, and only where, it has data partitions?"
        )
    content = answer.json()
    stored = [_value(item, _INSTANCE_UID) for item in content.get(_STORED, {}).get("Value", [])]
    refused = {
        _value(item, _INSTANCE_UID): _value(item, _REASON) for item in content.get(_REFUSED, {}).get("Value", [])
    }
    for path, uid, _ in batch:
        if uid in stored:
            stored.remove(uid)  # another file with this UID is a duplicate
            yield StoredFile(path, StoreResult.STORED)
        elif refused.get(uid) == _ALREADY_THERE:
            yield StoredFile(path, StoreResult.ALREADY_THERE)
        else:
            yield StoredFile(path, StoreResult.REFUSED, f"failure reason {refused.get(uid)} (PS3.18 10.5.3)")


def _value(item: dict[str, dict[str, list[object]]], tag: str) -> object:
    return (item.get(tag, {}).get("Value") or [None])[0]
