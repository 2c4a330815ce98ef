"""The DICOM files of a run: real ones and generated ones, under UIDs and PatientIDs of its own."""

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

_OF_THE_STUDY = ("PatientID", "PatientName", "PatientSex", "PatientBirthDate", "IssuerOfPatientID")
_MODALITY = "OT"  # PS3.3 C.7.3.1.1.1: other


@dataclass(frozen=True, slots=True)
class NewStudy:
    """A study's files, none stored yet. `report`: the SOPInstanceUID of its dose report."""

    uid: str
    patient_id: str
    files: tuple[bytes, ...]
    report: str | None = None


class Relabelled:
    """One study under new names: a UID stands for the same series as before, a PatientID for the whole study.

    All instances say of the patient what the first one does.
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
        """Takes an instance into the study."""
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(new_uid())
        dataset.SeriesInstanceUID = self._series.setdefault(str(dataset.SeriesInstanceUID), new_uid())
        dataset.StudyInstanceUID, dataset.PatientID = self._uid, self._patient_id
        dataset.Modality = dataset.get("Modality") or _MODALITY
        self._first = self._first or dataset
        for keyword in _OF_THE_STUDY:
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
        """What there is, noted in the ledger."""
        self._ledger.will_store(study=self._uid, patient=self._patient_id, report=self._report)
        return NewStudy(self._uid, self._patient_id, tuple(self._files), self._report)


def real_studies(ledger: Ledger, most: int) -> list[NewStudy]:
    """Those of the files inside pydicom, each of a patient of its own."""
    studies: dict[str, Relabelled] = {}
    with config.disable_value_validation(), warnings.catch_warnings(action="ignore"):
        for path in pydicom_files():
            dataset = pydicom.dcmread(path)
            if str(dataset.StudyInstanceUID) not in studies and len(studies) >= most:
                continue
            list(dataset.iterall())  # read in full: one whose encoding is not what it says cannot be written otherwise
            studies.setdefault(str(dataset.StudyInstanceUID), Relabelled(ledger)).add(dataset)
    return [one.study() for one in studies.values()]


def ct_with_dose_report(ledger: Ledger, sizes: Sizes) -> NewStudy:
    """A CT and a dose report of its irradiation events."""
    files = list(ct_study(sizes.ct_instances))
    return _relabelled(ledger, [*files, dose_report(files[0], sizes.dose_events)])


def studies_of_one_patient(ledger: Ledger) -> tuple[NewStudy, NewStudy]:
    """Two of three series with four instances each."""
    patient_id = new_patient_id()
    first, second = (_relabelled(ledger, ct_study(12), patient_id) for _ in range(2))
    return first, second


def small_study(ledger: Ledger, instances: int = 2) -> NewStudy:
    """A CT of a patient of its own, its instances in as many series, at most three."""
    return _relabelled(ledger, ct_study(instances))


def _relabelled(ledger: Ledger, files: Iterator[bytes] | list[bytes], patient_id: str | None = None) -> NewStudy:
    study = Relabelled(ledger, patient_id)
    for file in files:
        study.add(pydicom.dcmread(io.BytesIO(file)))
    return study.study()


def new_uid() -> str:
    """A UID that nobody else has (PS3.5 B.2)."""
    return str(generate_uid(prefix=None))


def new_patient_id() -> str:
    """Likewise a PatientID."""
    return f"ACCEPT-{uuid4().hex[:12].upper()}"
