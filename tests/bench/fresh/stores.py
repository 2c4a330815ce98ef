"""Studies that are stored while the app works, and when each can first be read in FHIR."""

import io
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

import pydicom
import requests

from local.stow import multipart
from tests.bench.fresh.parts import Archive, await_true
from tests.bench.rig import FhirServer

ROOT_UID = "1.2.826.0.1.3680043.8.498.6"
EVERY_SECONDS = 0.05
_SYSTEM = "urn:dicom:uid|urn:oid:"


def store_study(archive: Archive, number: int) -> tuple[str, float]:
    """STOW-RS of a study of one instance; its UID, and when the service answered."""
    uid = f"{ROOT_UID}.{number}"
    body, content_type = multipart([_file(uid)])
    headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
    requests.post(f"{archive.url}/v1/studies", data=body, headers=headers, timeout=60).raise_for_status()
    return uid, time.time()


@cache
def _sample() -> bytes:
    return next(Path(pydicom.__file__).parent.rglob("CT_small.dcm")).read_bytes()


def _file(study_uid: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(_sample()))
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = f"{study_uid}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study_uid}.1.1"
    dataset.PatientID = f"FRESH-{study_uid.rpartition('.')[2]}"
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


class Readers:
    """Asks FHIR again and again for the studies that were stored, as one does who waits for them."""

    def __init__(self, fhir: FhirServer) -> None:
        self._url = f"{fhir.url}/ImagingStudy"
        self._stored: dict[str, float] = {}
        self._read: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, uid: str, stored: float) -> None:
        self._stored[uid] = stored

    def all_read(self, seconds: float) -> bool:
        """Whether all can be read within so many seconds."""
        return await_true(lambda: len(self._read) == len(self._stored), seconds)

    @property
    def waits(self) -> Sequence[float]:
        """Seconds from STOW's answer until it was read: of those that were, shortest first."""
        return sorted(self._read[uid] - stored for uid, stored in self._stored.items() if uid in self._read)

    def _ask(self) -> None:
        session = requests.Session()
        while not self._over.wait(EVERY_SECONDS):
            if not (waiting := [uid for uid in self._stored if uid not in self._read]):
                continue
            asked = ",".join(f"{_SYSTEM}{uid}" for uid in waiting)
            found = session.get(self._url, params={"identifier": asked, "_count": len(waiting)}, timeout=60).json()
            for entry in found.get("entry", []):
                values = {one["value"].removeprefix("urn:oid:") for one in entry["resource"]["identifier"]}
                self._read.update(dict.fromkeys(values.intersection(waiting), time.time()))


def nth(sorted_seconds: Sequence[float], percent: int) -> float:
    """The percentile, by the nearest rank."""
    return sorted_seconds[max(0, -(-len(sorted_seconds) * percent // 100) - 1)]
