"""The concepts of a dose report that become components of its Observations, one row each.

The concepts are those that DICOM Cast mapped, checked against the templates of PS3.16: TID 10001 (projection X-ray),
10011 (CT), 10021 (radiopharmaceutical). Rows marked `_our` are not DICOM Cast's. A concept is found by its current
code or by former ones: PS3.16 has changed from SNOMED RT to SNOMED CT, reports in archives have not.
"""
# ruff: noqa: E501  one row per line, aligned, as in table.py
# fmt: off

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.mapping.codes import SYSTEMS
from shared.mapping.dose import content_values as value
from shared.mapping.dose.structured_report import Concept, ContentItem

_SNOMED_RT = ("SRT", "SNM3", "99SDM")
"""The designators that SNOMED RT codes have had (PS3.16 8, table 8-1)."""


@dataclass(frozen=True, slots=True)
class ConceptName:
    """A concept that a template names. `known_as`: all codes that reports use for it."""

    scheme: str
    code: str
    meaning: str
    known_as: frozenset[Concept]

    @classmethod
    def of(cls, scheme: str, code: str, meaning: str, srt: str = "") -> "ConceptName":
        """The concept with this code. `srt`: its former SNOMED RT code."""
        former = ((designator, srt) for designator in _SNOMED_RT if srt)
        return cls(scheme, code, meaning, frozenset([(scheme, code), *former]))

    @property
    def coding(self) -> dict[str, str]:
        return {"system": SYSTEMS[self.scheme], "code": self.code, "display": self.meaning}

    def __str__(self) -> str:
        return f"{self.scheme} {self.code} {self.meaning}"


REPORTS         = frozenset([("DCM", "113701"), ("DCM", "113500")])
"""Root of an X-Ray Radiation Dose Report, of a Radiopharmaceutical Radiation Dose Report."""
ACCUMULATED     = frozenset([("DCM", "113702"), ("DCM", "113811"), ("DCM", "113502")])
"""Accumulated X-Ray Dose Data, CT Accumulated Dose Data, Radiopharmaceutical Administration: the summary is there."""
EVENTS          = frozenset([("DCM", "113706"), ("DCM", "113819"), ("DCM", "113502")])
"""Irradiation Event X-Ray Data, CT Acquisition, Radiopharmaceutical Administration."""
EVENT_UID       = ConceptName.of("DCM", "113769", "Irradiation Event UID")
ADMINISTRATION_UID = ConceptName.of("DCM", "113503", "Radiopharmaceutical Administration Event UID")
REPORT_START    = ConceptName.of("DCM", "113809", "Start of X-Ray Irradiation")
EVENT_START     = ConceptName.of("DCM", "111526", "DateTime Started")
ADMINISTRATION_START = ConceptName.of("DCM", "123003", "Radiopharmaceutical Start DateTime")
TARGET_REGION   = ConceptName.of("DCM", "123014", "Target Region")
DEVICE_NAME     = ConceptName.of("DCM", "121013", "Device Observer Name")
DEVICE_MAKER    = ConceptName.of("DCM", "121014", "Device Observer Manufacturer")
DEVICE_MODEL    = ConceptName.of("DCM", "121015", "Device Observer Model Name")
PERSON          = ConceptName.of("DCM", "121008", "Person Observer Name")
SINGLE_PLANE    = "113622"
"""Acquisition Plane (PS3.16 CID 10003)."""


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One row: for the summary, an event, or both; the concept, how its value is read, and its template."""

    of: frozenset[str]
    name: ConceptName
    convert: Callable[[ContentItem], Any]
    template: str
    ours: bool

    @property
    def element(self) -> str:
        """The component's `value[x]`."""
        return _ELEMENTS[self.convert]


_ELEMENTS: Mapping[Callable[[ContentItem], Any], str] = {
    value.quantity: "valueQuantity",
    value.count: "valueInteger",
    value.concept: "valueCodeableConcept",
}

SUMMARY, EVENT = frozenset(["summary"]), frozenset(["event"])
BOTH = SUMMARY | EVENT


def _row(of: frozenset[str], concept: str, meaning: str, convert: Callable[[ContentItem], Any], template: str, srt: str = "") -> ComponentRow:
    scheme, code = concept.split(" ")
    return ComponentRow(of, ConceptName.of(scheme, code, meaning, srt), convert, template, ours=False)


def _our(of: frozenset[str], concept: str, meaning: str, convert: Callable[[ContentItem], Any], template: str) -> ComponentRow:
    """A row that DICOM Cast does not have; `DicomCast__Features__ExtendedMapping` turns it off."""
    return replace(_row(of, concept, meaning, convert, template), ours=True)


COMPONENTS: tuple[ComponentRow, ...] = (
    #    of       concept          meaning                                 value           template                                SNOMED RT
    _row(SUMMARY, "DCM 113813",    "CT Dose Length Product Total",         value.quantity, "TID 10012 CT Accumulated Dose Data"),
    _row(SUMMARY, "DCM 113812",    "Total Number of Irradiation Events",   value.count,    "TID 10012 CT Accumulated Dose Data"),
    _row(SUMMARY, "DCM 113722",    "Dose Area Product Total",              value.quantity, "TID 10007 Accumulated Total Projection Radiography Dose"),
    _row(SUMMARY, "DCM 113725",    "Dose (RP) Total",                      value.quantity, "TID 10007 Accumulated Total Projection Radiography Dose"),
    _row(SUMMARY, "DCM 113726",    "Fluoro Dose Area Product Total",       value.quantity, "TID 10004 Accumulated Fluoroscopy and Acquisition Projection X-Ray Dose"),
    _row(SUMMARY, "DCM 113727",    "Acquisition Dose Area Product Total",  value.quantity, "TID 10004 Accumulated Fluoroscopy and Acquisition Projection X-Ray Dose"),
    _row(SUMMARY, "DCM 113730",    "Total Fluoro Time",                    value.quantity, "TID 10004 Accumulated Fluoroscopy and Acquisition Projection X-Ray Dose"),
    _row(SUMMARY, "DCM 113731",    "Total Number of Radiographic Frames",  value.count,    "TID 10004, 10006 Accumulated Radiography Dose"),
    _row(SUMMARY, "DCM 111637",    "Accumulated Average Glandular Dose",   value.quantity, "TID 10005 Accumulated Mammography X-Ray Dose"),

    _row(BOTH,    "DCM 113507",    "Administered activity",                value.quantity, "TID 10022 Radiopharmaceutical Administration Event Data"),
    _row(BOTH,    "SCT 349358000", "Radiopharmaceutical agent",            value.concept,  "TID 10022 Radiopharmaceutical Administration Event Data", srt="F-61FDB"),
    _row(BOTH,    "SCT 89457008",  "Radionuclide",                         value.concept,  "TID 10022 Radiopharmaceutical Administration Event Data", srt="C-10072"),
    _row(BOTH,    "DCM 123005",    "Radiopharmaceutical Volume",           value.quantity, "TID 10022 Radiopharmaceutical Administration Event Data"),
    _row(BOTH,    "SCT 410675002", "Route of administration",              value.concept,  "TID 10022 Radiopharmaceutical Administration Event Data", srt="G-C340"),

    _row(EVENT,   "DCM 113830",    "Mean CTDIvol",                         value.quantity, "TID 10013 CT Irradiation Event Data"),
    _row(EVENT,   "DCM 113835",    "CTDIw Phantom Type",                   value.concept,  "TID 10013 CT Irradiation Event Data"),
    _row(EVENT,   "DCM 113838",    "DLP",                                  value.quantity, "TID 10013 CT Irradiation Event Data"),

    _our(EVENT,   "DCM 122130",    "Dose Area Product",                    value.quantity, "TID 10003 Irradiation Event X-Ray Data"),
    _our(EVENT,   "DCM 113738",    "Dose (RP)",                            value.quantity, "TID 10003B Irradiation Event X-Ray Source Data"),
    _our(EVENT,   "DCM 111631",    "Average Glandular Dose",               value.quantity, "TID 10003B Irradiation Event X-Ray Source Data"),
    _our(EVENT,   "DCM 113768",    "Number of Pulses",                     value.count,    "TID 10003B Irradiation Event X-Ray Source Data"),
)
# fmt: on

OUR_CODES = frozenset((row.name.coding["system"], row.name.coding["code"]) for row in COMPONENTS)
"""System and code of the components that the mapping makes; components with another code are somebody else's."""
