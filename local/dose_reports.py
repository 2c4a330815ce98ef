"""Radiation dose reports: makes one to try the app with, and reads what the independent comparison needs of any."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import XRayRadiationDoseSRStorage, generate_uid

_REPORT_CLASSES = {f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (67, 68)}
_REPORT_ROOTS = {"113701", "113500"}  # DCM codes: X-Ray, Radiopharmaceutical Radiation Dose Report
_EVENT_UIDS = {"113769", "113503"}  # Irradiation Event UID, Radiopharmaceutical Administration Event UID
_SHARED = (
    "StudyInstanceUID",
    "StudyDescription",
    "StudyDate",
    "StudyTime",
    "TimezoneOffsetFromUTC",
    "AccessionNumber",
    "PatientID",
    "PatientName",
    "PatientSex",
    "PatientBirthDate",
)
"""Keywords of the elements that all instances of a study share."""
_SOP_CLASS, _CONCEPT, _CODE, _CONTENT, _UID = "00080016", "0040A043", "00080100", "0040A730", "0040A124"


def is_dose_report(metadata: Mapping[str, Any]) -> bool:
    """Whether the instance (DICOM JSON) is a dose report, by its SOP class or its root's concept name."""
    return bool(_REPORT_CLASSES & set(_values(metadata, _SOP_CLASS))) or _name(metadata) in _REPORT_ROOTS


def observations_expected(report: Mapping[str, Any]) -> int:
    """How many Observations a report becomes: a summary and one for each irradiation event; none if it is empty."""
    return 1 + len(set(_event_uids(report))) if _values(report, _CONTENT) else 0


def ct_dose_report(study: Dataset, scans: int = 2) -> Dataset:
    """A CT dose report (PS3.16 TID 10011) of `scans` irradiation events. `study`: an instance of the study it is of."""
    report = Dataset()
    report.update({element.tag: element for element in study if element.keyword in _SHARED})
    report.SOPClassUID = XRayRadiationDoseSRStorage
    report.SOPInstanceUID, report.SeriesInstanceUID = generate_uid(), generate_uid()
    report.Modality, report.SeriesNumber, report.InstanceNumber = "SR", 999, 1
    report.ContentDate, report.ContentTime = study.StudyDate, study.StudyTime
    report.Manufacturer = "Demo"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    doses = [(round(4.2 * number, 1), round(151.2 * number, 1)) for number in range(1, scans + 1)]
    report.update(_container("113701", "X-Ray Radiation Dose Report", [_accumulated(doses), *map(_scan, doses)]))
    del report.RelationshipType  # the root has none
    return report


def _accumulated(doses: Sequence[tuple[float, float]]) -> Dataset:
    """The accumulated dose (TID 10012). `doses`: for each scan the mean CTDIvol in mGy and the DLP in mGy.cm."""
    total = round(sum(dlp for _, dlp in doses), 1)
    items = [
        _number("113812", "Total Number of Irradiation Events", len(doses), "{events}"),
        _number("113813", "CT Dose Length Product Total", total, "mGy.cm"),
    ]
    return _container("113811", "CT Accumulated Dose Data", items)


def _scan(dose: tuple[float, float]) -> Dataset:
    """One irradiation event (TID 10013). `dose`: mean CTDIvol in mGy, DLP in mGy.cm."""
    ctdi, dlp = dose
    event = _item("UIDREF", "113769", "Irradiation Event UID")
    event.UID = generate_uid()
    values = [_number("113830", "Mean CTDIvol", ctdi, "mGy"), _number("113838", "DLP", dlp, "mGy.cm")]
    return _container("113819", "CT Acquisition", [event, _container("113829", "CT Dose", values)])


def _item(value_type: str, code: str, meaning: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    item.ConceptNameCodeSequence = [_coded(code, "DCM", meaning)]
    return item


def _container(code: str, meaning: str, items: Sequence[Dataset]) -> Dataset:
    container = _item("CONTAINER", code, meaning)
    container.ContinuityOfContent = "SEPARATE"
    container.ContentSequence = list(items)
    return container


def _number(code: str, meaning: str, value: float, unit: str) -> Dataset:
    item, measured = _item("NUM", code, meaning), Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [_coded(unit, "UCUM", unit)]
    item.MeasuredValueSequence = [measured]
    return item


def _coded(code: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, scheme, meaning
    return item


def _event_uids(item: Mapping[str, Any]) -> Iterator[str]:
    for child in _values(item, _CONTENT):
        if _name(child) in _EVENT_UIDS:
            yield from _values(child, _UID)
        yield from _event_uids(child)


def _name(item: Mapping[str, Any]) -> str:
    return next((str(code) for one in _values(item, _CONCEPT) for code in _values(one, _CODE)), "")


def _values(item: Mapping[str, Any], tag: str) -> list[Any]:
    return item.get(tag, {}).get("Value") or []
