"""DICOM files to try the app with: those in pydicom, and a generated CT study with its dose report."""

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from local.dose_reports import ct_dose_report
from local.stow import instance_uid

_SERIES = ("Scout", "Thorax 5.0", "Thorax 1.0")
_INSTANCES = 300
_ROWS = 16


def pydicom_files() -> list[Path]:
    """The DICOM files in the pydicom package that can be stored; nothing is downloaded."""
    folder = Path(pydicom.__file__).parent / "data"
    found = sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix not in (".py", ".pyc"))
    return [path for path in found if not instance_uid(path)[1]]


def with_invalid_tags() -> bytes:
    """An MR instance, as a new study and a PS3.10 file, whose PatientSex and PatientBirthDate are invalid.

    Some modalities write such values; none of pydicom's files that can be stored has one in a mapped tag.
    """
    (path,) = [path for path in pydicom_files() if path.name == "MR_small.dcm"]
    dataset = pydicom.dcmread(path)
    dataset.PatientID = "DEMO-TAGS"
    for uid in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, uid, generate_uid())
    with pydicom.config.disable_value_validation():
        dataset.PatientSex = "W"
        dataset.PatientBirthDate = "1935-07-04"
        return _file(dataset)


def ct_study(instances: int = _INSTANCES) -> Iterator[bytes]:
    """A new CT study in three series (or one series for each instance, if there are fewer), as PS3.10 files."""
    study = generate_uid()
    series = [generate_uid() for _ in _SERIES]
    now = datetime.now().astimezone()
    for number in range(instances):
        position = number * len(series) // instances
        dataset = _instance(study, series[position], now)
        dataset.SeriesNumber = position + 1
        dataset.SeriesDescription = _SERIES[position]
        dataset.InstanceNumber = number + 1
        yield _file(dataset)


def dose_report(instance: bytes, scans: int = 2) -> bytes:
    """A radiation dose report of `scans` irradiation events, as a PS3.10 file. `instance`: a file of its CT study."""
    report = ct_dose_report(pydicom.dcmread(io.BytesIO(instance), stop_before_pixels=True), scans)
    report.file_meta = FileMetaDataset()
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
    report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return _file(report)


def _file(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


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
