"""Radiation dose reports for tests: built with pydicom by the templates of PS3.16, and real ones of other people.

The real ones are test files inside packages of PyPI, which `make test` puts into a folder of the venv: they are read
there, never imported and never copied (tests/data/dose_reports/requirements.txt).
"""

import json
import sys
from pathlib import Path

from pydicom.dataset import Dataset

REAL_FILES = Path(sys.prefix) / "dose-reports"
XRAY_SR, RADIOPHARMACEUTICAL_SR = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.68"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
REPORT = "1.2.3.9.1"


def code(text):
    """`"DCM 113813 CT Dose Length Product Total"` -> an item of a code sequence; a meaning of `-` is none."""
    scheme, value, meaning = text.split(" ", 2)
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    if meaning != "-":
        item.CodeMeaning = meaning
    return item


def _item(value_type, name, children=(), relationship="CONTAINS"):
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    item.ConceptNameCodeSequence = [code(name)]
    if children:
        item.ContentSequence = list(children)
    return item


def container(name, *children):
    return _item("CONTAINER", name, children)


def num(name, value, unit, *children):
    """A NUM; without `value` it was not measured, without `unit` its unit is left out."""
    item = _item("NUM", name, children)
    item.MeasuredValueSequence = []
    if value is not None:
        measured = Dataset()
        measured.NumericValue = value
        if unit:
            measured.MeasurementUnitsCodeSequence = [code(unit if " " in unit else f"UCUM {unit} {unit}")]
        item.MeasuredValueSequence = [measured]
    return item


def coded(name, value, *children, relationship="CONTAINS"):
    item = _item("CODE", name, children, relationship)
    item.ConceptCodeSequence = [code(value)]
    return item


def modifier(name, value):
    return coded(name, value, relationship="HAS CONCEPT MOD")


def text(name, value, relationship="CONTAINS"):
    item = _item("TEXT", name, relationship=relationship)
    item.TextValue = value
    return item


def person(name, value):
    item = _item("PNAME", name, relationship="HAS OBS CONTEXT")
    item.PersonName = value
    return item


def moment(name, value, relationship="CONTAINS"):
    item = _item("DATETIME", name, relationship=relationship)
    item.DateTime = value
    return item


def uid(name, value):
    item = _item("UIDREF", name)
    item.UID = value
    return item


def report(root, *items, template="10011", sop_class=XRAY_SR, **elements):
    """The DICOM JSON of a report; `elements` by keyword replace the sound ones, None takes one out."""
    dataset = Dataset()
    sound = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": REPORT,
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.9",
        "PatientID": "P-1",
        "Modality": "SR",
        "AccessionNumber": "ACC-1",
        "StudyDate": "20240506",
        "StudyTime": "0700",
        "ContentDate": "20240506",
        "ContentTime": "072130.5",
        "Manufacturer": "Maker",
        "ManufacturerModelName": "Workstation",
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
    }
    for keyword, value in (sound | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [code(root)]
    used = Dataset()
    used.MappingResource, used.TemplateIdentifier = "DCMR", template
    dataset.ContentTemplateSequence = [used]
    dataset.ContentSequence = list(items)
    return json.loads(dataset.to_json())


XRAY_REPORT = "DCM 113701 X-Ray Radiation Dose Report"
NM_REPORT = "DCM 113500 Radiopharmaceutical Radiation Dose Report"


def ct_event(number, *, dlp=None, started=None, event_uid=None):
    """TID 10013; `dlp` is the item instead of a sound one."""
    return container(
        "DCM 113819 CT Acquisition",
        text("DCM 125203 Acquisition Protocol", "Thorax"),
        coded("DCM 123014 Target Region", "SCT 51185008 Chest"),
        *([moment("DCM 111526 DateTime Started", started)] if started else []),
        uid("DCM 113769 Irradiation Event UID", event_uid or f"1.2.3.9.1.{number}"),
        container(
            "DCM 113829 CT Dose",
            num("DCM 113830 Mean CTDIvol", 5.6, "mGy"),
            coded("DCM 113835 CTDIw Phantom Type", "DCM 113691 IEC Body Dosimetry Phantom"),
            dlp or num("DCM 113838 DLP", 151.22, "mGy.cm"),
        ),
    )


def ct(*events, items=(), accumulated=None, **elements):
    """TID 10011."""
    total = [num("DCM 113813 CT Dose Length Product Total", 302.44, "mGy.cm")]
    return report(
        XRAY_REPORT,
        modifier("DCM 121058 Procedure reported", "SCT 77477000 Computed Tomography X-Ray"),
        text("DCM 121013 Device Observer Name", "CT-1", "HAS OBS CONTEXT"),
        text("DCM 121014 Device Observer Manufacturer", "Maker", "HAS OBS CONTEXT"),
        text("DCM 121015 Device Observer Model Name", "Scanner", "HAS OBS CONTEXT"),
        moment("DCM 113809 Start of X-Ray Irradiation", "20240506072103.083003", "HAS OBS CONTEXT"),
        container(
            "DCM 113811 CT Accumulated Dose Data",
            num("DCM 113812 Total Number of Irradiation Events", len(events), "{events}"),
            *(total if accumulated is None else accumulated),
        ),
        *events,
        *items,
        **elements,
    )


def plane(name):
    return modifier("DCM 113764 Acquisition Plane", name)


def xray_accumulated(which, factor):
    """TID 10002, 10004, 10007."""
    return container(
        "DCM 113702 Accumulated X-Ray Dose Data",
        plane(which),
        num("DCM 113722 Dose Area Product Total", factor * 0.0002, "Gy.m2"),
        num("DCM 113725 Dose (RP) Total", factor * 0.014, "Gy"),
        num("DCM 113726 Fluoro Dose Area Product Total", factor * 0.00015, "Gy.m2"),
        num("DCM 113727 Acquisition Dose Area Product Total", factor * 0.00005, "Gy.m2"),
        num("DCM 113730 Total Fluoro Time", factor * 74, "s"),
        num("DCM 113731 Total Number of Radiographic Frames", factor * 27, "1"),
    )


def xray_event(number, which="DCM 113622 Single Plane", started="20240506073000"):
    """TID 10003, 10003B."""
    return container(
        "DCM 113706 Irradiation Event X-Ray Data",
        plane(which),
        moment("DCM 111526 DateTime Started", started),
        uid("DCM 113769 Irradiation Event UID", f"1.2.3.9.1.{number}"),
        num("DCM 122130 Dose Area Product", 0.00001, "Gy.m2"),
        num("DCM 113738 Dose (RP)", 0.0007, "Gy"),
        num("DCM 113768 Number of Pulses", 60, "1"),
        coded("DCM 123014 Target Region", "SRT T-D3000 Chest"),
    )


def xray(*items, **elements):
    """TID 10001; the report itself does not say when irradiation began."""
    procedure = modifier("DCM 121058 Procedure reported", "DCM 113704 Projection X-Ray")
    return report(XRAY_REPORT, procedure, *items, template="10001", **elements)


def administration(*items, concepts="SCT"):
    """TID 10022, with the concept names of today or, as `SRT`, those of before."""
    agent, nuclide, route = {
        "SCT": ("SCT 349358000", "SCT 89457008", "SCT 410675002"),
        "SRT": ("SRT F-61FDB", "SRT C-10072", "SRT G-C340"),
    }[concepts]
    return container(
        "DCM 113502 Radiopharmaceutical Administration",
        coded(
            f"{agent} Radiopharmaceutical agent",
            "SCT 35321007 Fluorodeoxyglucose F^18^",
            coded(f"{nuclide} Radionuclide", "SCT 77004003 ^18^Fluorine", relationship="HAS PROPERTIES"),
        ),
        uid("DCM 113503 Radiopharmaceutical Administration Event UID", "1.2.3.9.1.1"),
        moment("DCM 123003 Radiopharmaceutical Start DateTime", "20240506061500-0400"),
        num("DCM 113507 Administered activity", 370.5, "MBq"),
        num("DCM 123005 Radiopharmaceutical Volume", 1.2, "cm3"),
        coded(f"{route} Route of administration", "SCT 47625008 Intravenous route"),
        *items,
    )


def radiopharmaceutical(*items, **elements):
    """TID 10021."""
    return report(NM_REPORT, *items, template="10021", sop_class=RADIOPHARMACEUTICAL_SR, **elements)
