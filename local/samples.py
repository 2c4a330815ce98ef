"""DICOM to try the app with: the files inside pydicom, and a generated CT study."""

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from local.stow import instance_uid

_SERIES = ("Scout", "Thorax 5.0", "Thorax 1.0")
_INSTANCES = 300
_ROWS = 16


def pydicom_files() -> list[Path]:
    """The DICOM files of pydicom's own test data that carry the UIDs needed; nothing is fetched."""
    folder = Path(pydicom.__file__).parent / "data"
    found = sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix not in (".py", ".pyc"))
    return [path for path in found if not instance_uid(path)[1]]


def ct_study() -> Iterator[bytes]:
    """A CT study of 300 instances in three series, as PS3.10 files."""
    study = generate_uid()
    series = [generate_uid() for _ in _SERIES]
    now = datetime.now().astimezone()
    for number in range(_INSTANCES):
        position = number * len(series) // _INSTANCES
        dataset = _instance(study, series[position], now)
        dataset.SeriesNumber = position + 1
        dataset.SeriesDescription = _SERIES[position]
        dataset.InstanceNumber = number + 1
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        yield file.getvalue()


def _instance(study: str, series: str, now: datetime) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.PatientID = "DEMO-300"
    dataset.PatientName = "Demo^Generated"
    dataset.PatientSex = "F"
    dataset.PatientBirthDate = "19700101"
    dataset.AccessionNumber = "ACC-300"
    dataset.Modality = "CT"
    dataset.StudyDescription = "CT Thorax"
    dataset.StudyDate = dataset.SeriesDate = now.strftime("%Y%m%d")
    dataset.StudyTime = dataset.SeriesTime = now.strftime("%H%M%S")
    dataset.TimezoneOffsetFromUTC = now.strftime("%z")
    dataset.Rows = dataset.Columns = _ROWS
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes(_ROWS * _ROWS * 2)
    return dataset
