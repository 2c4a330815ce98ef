"""The DICOM files of a run, real and generated ones, with new UIDs and PatientIDs."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pydicom
from pydicom import config
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, generate_uid

from local.acceptance.ledger import Ledger
from local.acceptance.sizes import Sizes
from local.dose_reports import is_dose_report
from local.samples import ct_study, dose_report, pydicom_files

_PATIENT_KEYWORDS = ("PatientID", "PatientName", "PatientSex", "PatientBirthDate", "IssuerOfPatientID")
_MODALITY = "OT"  # PS3.3 C.7.3.1.1.1: other


@dataclass(frozen=True, slots=True)
class NewStudy:
    """A study's PS3.10 files, which are not stored yet. `report`: SOPInstanceUID of its dose report, if it has one."""

    uid: str
    patient_id: str
    files: tuple[bytes, ...]
    report: str | None = None


class Relabelled:
    """Collects the instances of one study, and gives them new UIDs and a new PatientID.

    Instances of one series stay in one series. All get the patient's elements of the first one, so that they agree.
    """

    def __init__(self, ledger: Ledger, patient_id: str | None = None) -> None:
        self._ledger = ledger
        self._uid = new_uid()
        self._patient_id = patient_id or new_patient_id()
        self._series: dict[str, str] = {}
        self._first: Dataset | None = None
        self._files: list[bytes] = []
        self._report: str | None = None

    def add(self, dataset: FileDataset) -> None:
        """Adds an instance to the study; the dataset is changed."""
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
        dataset.SeriesInstanceUID = self._series.setdefault(str(dataset.SeriesInstanceUID), new_uid())
        dataset.StudyInstanceUID, dataset.PatientID = self._uid, self._patient_id
        dataset.Modality = dataset.get("Modality") or _MODALITY
        self._first = self._first or dataset
        for keyword in _PATIENT_KEYWORDS:
            if keyword in self._first:
                dataset[keyword] = self._first[keyword]
            elif keyword in dataset:
                del dataset[keyword]
        if is_dose_report({"00080016": {"Value": [str(dataset.SOPClassUID)]}}):
            self._report = str(dataset.SOPInstanceUID)
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        self._files.append(file.getvalue())

    def study(self) -> NewStudy:
        """The study of the instances added so far; its names are written to the ledger."""
        self._ledger.will_store(study=self._uid, patient=self._patient_id, report=self._report)
        return NewStudy(self._uid, self._patient_id, tuple(self._files), self._report)


def real_studies(ledger: Ledger, most: int) -> list[NewStudy]:
    """The studies of the files in pydicom, `most` at most, each with a patient of its own."""
    studies: dict[str, Relabelled] = {}
    with config.disable_value_validation(), warnings.catch_warnings(action="ignore"):
        for path in pydicom_files():
            dataset = pydicom.dcmread(path)
            if str(dataset.StudyInstanceUID) not in studies and len(studies) >= most:
                continue
            list(dataset.iterall())  # parse it all: else a file in another encoding than it states cannot be written
            studies.setdefault(str(dataset.StudyInstanceUID), Relabelled(ledger)).add(dataset)
    return [one.study() for one in studies.values()]


def ct_with_dose_report(ledger: Ledger, sizes: Sizes) -> NewStudy:
    """A CT study with a dose report."""
    files = list(ct_study(sizes.ct_instances))
    return _relabelled(ledger, [*files, dose_report(files[0], sizes.dose_events)])


def studies_of_one_patient(ledger: Ledger) -> tuple[NewStudy, NewStudy]:
    """Two CT studies of one patient, each of three series with four instances."""
    patient_id = new_patient_id()
    first, second = (_relabelled(ledger, ct_study(12), patient_id) for _ in range(2))
    return first, second


def small_study(ledger: Ledger, instances: int = 2) -> NewStudy:
    """A CT study of a new patient, in as many series as instances, three at most."""
    return _relabelled(ledger, ct_study(instances))


def _relabelled(ledger: Ledger, files: Iterator[bytes] | list[bytes], patient_id: str | None = None) -> NewStudy:
    study = Relabelled(ledger, patient_id)
    for file in files:
        study.add(pydicom.dcmread(io.BytesIO(file)))
    return study.study()


def new_uid() -> str:
    """A UID from a random UUID (PS3.5 B.2)."""
    return str(generate_uid(prefix=None))


def new_patient_id() -> str:
    """A random PatientID."""
    return f"ACCEPT-{uuid4().hex[:12].upper()}"
