"""What the tests of the DICOM service share: DICOM files made to order, and a client that speaks plain HTTP to it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import uvicorn
from pydicom import DataElement, Dataset, FileMetaDataset, config, dcmwrite
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from starlette.applications import Starlette
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from local.dicom_service.database import Database
from local.processes import free_port

BOUNDARY = "a-boundary-of-parts"
MULTIPART = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def dicom_dataset(**attributes: Any) -> Dataset:
    """Instance 1.2.3.4 of series 1.2.3 of study 1.2; None leaves an attribute out, and nothing is validated."""
    defaults = {
        "SOPClassUID": SecondaryCaptureImageStorage,
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.2.3",
        "StudyDate": "20260131",
        "Modality": "OT",
        "PatientID": "P1",
        "PatientName": "Nightingale^Florence",
    }
    dataset = Dataset()
    for keyword, value in (defaults | attributes).items():
        if value is not None:
            tag = tag_for_keyword(keyword)
            dataset.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE))
    return dataset


def dicom_file(transfer_syntax: UID = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    """The dataset as a PS3.10 file."""
    return written(dicom_dataset(**attributes), transfer_syntax)


def written(dataset: Dataset, transfer_syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """Any dataset as a PS3.10 file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def bare_dataset(transfer_syntax: UID, **attributes: Any) -> bytes:
    """The dataset without preamble, prefix and file meta information."""
    file = io.BytesIO()
    dcmwrite(
        file,
        dicom_dataset(**attributes),
        implicit_vr=transfer_syntax.is_implicit_VR,
        little_endian=transfer_syntax != ExplicitVRBigEndian,
    )
    return file.getvalue()


def multipart(*files: bytes, part_type: str | None = "application/dicom") -> bytes:
    headers = {"Content-Type": part_type} if part_type else {}
    body, _ = encode_multipart_formdata([RequestField("file", file, headers=headers) for file in files], BOUNDARY)
    return body


def studies_path(partition: str | None = None) -> str:
    """Of API v2; without a partition that of the default one."""
    return f"/v2/partitions/{partition}/studies" if partition else "/v2/studies"


@dataclass(frozen=True, slots=True)
class Client:
    """One running service."""

    url: str

    def get(self, path: str, **query: Any) -> requests.Response:
        return requests.get(f"{self.url}{path}", params=query, timeout=30)

    def post(self, path: str, body: bytes = b"", content_type: str | None = MULTIPART) -> requests.Response:
        headers = {"Content-Type": content_type} if content_type else {}
        return requests.post(f"{self.url}{path}", data=body, headers=headers, timeout=60)

    def store(self, *files: bytes, path: str = "/v2/studies", partition: str | None = None) -> requests.Response:
        """`partition` goes into the path, unless that is given."""
        return self.post(studies_path(partition) if partition else path, multipart(*files))

    def bulk_update(self, *studies: str, partition: str | None = None, **attributes: Any) -> requests.Response:
        """New values by keyword, for all instances of the studies."""
        changes = Dataset()
        for keyword, value in attributes.items():
            setattr(changes, keyword, value)
        specification = {"studyInstanceUids": studies, "changeDataset": changes.to_json_dict()}
        return requests.post(f"{self.url}{studies_path(partition)}/$bulkUpdate", json=specification, timeout=60)

    def delete(self, path: str) -> requests.Response:
        return requests.delete(f"{self.url}{path}", timeout=30)

    def feed(self, version: str = "v2", **query: Any) -> list[dict[str, Any]]:
        response = self.get(f"/{version}/changefeed", **query)
        assert response.status_code == 200, response.text
        entries: list[dict[str, Any]] = response.json()
        return entries

    def metadata(self, path: str = "/v2/studies/1.2") -> list[dict[str, Any]]:
        response = self.get(f"{path}/metadata")
        assert response.status_code == 200, response.text
        instances: list[dict[str, Any]] = response.json()
        return instances


class _Server(uvicorn.Server):
    """Tells when it is ready, on a port that no earlier one had: FHIR servers keep what was written under its URL."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(uvicorn.Config(app, port=free_port(), access_log=False, log_config=None))
        self.ready = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @property
    def url(self) -> str:
        return f"http://{self.config.host}:{self.config.port}"


@contextmanager
def emptied(app: Starlette) -> Iterator[None]:
    """Gives a running service an empty store: much quicker than another service for each test."""
    app.state.database = database = Database(None)
    yield
    database.close()


@contextmanager
def running(app: Starlette) -> Iterator[Client]:
    """Serves the app over HTTP on a free port, in a thread of this process."""
    server = _Server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.ready.wait(timeout=30)
        yield Client(server.url)
    finally:
        server.should_exit = True
        thread.join()
