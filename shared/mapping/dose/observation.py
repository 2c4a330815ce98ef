"""DICOM value -> FHIR datatype for dose Observations, apart from their components."""

from dataclasses import dataclass
from datetime import date, timezone
from typing import Any

from shared.mapping.converters import MODALITY_SYSTEM, SIGN_SYSTEM, started, urn
from shared.mapping.dates import DateTime, TimeOfDay
from shared.mapping.mapping_options import MappingOptions

UID_TYPE_SYSTEM = "http://hl7.org/fhir/uv/radiation-dose-summary/CodeSystem/dicom-identifier-type"
"""HL7's Radiation Dose Summary guide (STU 1): distinguishes the report's UID from an irradiation event's."""

_SUMMARY = "Radiation exposure and protection information [Description] Document Diagnostic imaging"
SUMMARY_CODE = {"coding": [{"system": "http://loinc.org", "code": "73569-6", "display": _SUMMARY}]}
EVENT_CODE = {"coding": [{"system": MODALITY_SYSTEM, "code": "113852", "display": "Irradiation Event"}]}
CATEGORY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}],
}

ABSENT: dict[str, Any] = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}


@dataclass(frozen=True, slots=True)
class ReportInstance:
    """The UIDs of a dose report, in the data partition of the options that it is used with."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


def own_identifier(options: MappingOptions, report: ReportInstance, *event_uid: str) -> dict[str, str]:
    """The identifier of the report's summary, or of one of its events, which differs from any other instance's."""
    uids = (report.study_instance_uid, report.series_instance_uid, report.sop_instance_uid, *event_uid)
    return {"system": SIGN_SYSTEM, "value": urn("Observation", options.service_url, *uids)}


def own_identifiers(
    options: MappingOptions, series: str, study: str | None, sop_instance: str | None
) -> list[dict[str, str]]:
    """The summary's own identifier; none if a UID is missing, which is a fault of that UID's row."""
    return [own_identifier(options, ReportInstance(study, series, sop_instance))] if study and sop_instance else []


def report_identifier(options: MappingOptions, sop_instance_uid: str) -> dict[str, Any]:
    return _uid_identifier(options, "sop-instance-uid", sop_instance_uid)


def event_identifier(options: MappingOptions, event_uid: str) -> dict[str, Any]:
    return _uid_identifier(options, "irradiation-event-uid", event_uid)


def _uid_identifier(options: MappingOptions, kind: str, uid: str) -> dict[str, Any]:
    type_ = {"coding": [{"system": UID_TYPE_SYSTEM, "code": kind}]}
    return {"type": type_, "system": options.uid_system, "value": f"urn:oid:{uid}"}


def status(_options: MappingOptions, verification: str | None, completion: str | None) -> str:
    """Final if a person has verified the report, or if it is complete (PS3.3 C.17.2)."""
    return "final" if verification == "VERIFIED" or completion == "COMPLETE" else "preliminary"


def study_link(_options: MappingOptions, study_instance_uid: str) -> dict[str, str]:
    return {"reference": urn("ImagingStudy", study_instance_uid)}


def issued(options: MappingOptions, day: date | None, time: TimeOfDay | None, offset: timezone | None) -> str | None:
    """A FHIR instant; None without a time of day."""
    moment = started(options, day, time, offset)
    return moment if moment is not None and "T" in moment else None


def device(_options: MappingOptions, manufacturer: str | None, model: str | None, name: str | None) -> dict[str, str]:
    """A Reference with only the device's display name, to no resource."""
    made = " ".join(part for part in (manufacturer, model) if part)
    return {"display": f"{made} ({name})" if made and name else made or name or ""}


def performers(options: MappingOptions, observer: str | None) -> list[dict[str, Any]]:
    """The observer; if the report names nobody and the setting is on, a data-absent-reason."""
    if observer:
        return [{"display": observer}]
    return [ABSENT] if options.absent_performer else []


def is_performer_of_ours(performer: Any) -> bool:
    """Whether the performer has the shape that the app writes."""
    return performer == ABSENT or (isinstance(performer, dict) and performer.keys() == {"display"})


def effective(options: MappingOptions, moment: DateTime, offset: timezone | None) -> str | None:
    """A FHIR dateTime; `offset` is used if the value has none of its own."""
    return started(options, moment.day, moment.time, moment.offset or offset)
