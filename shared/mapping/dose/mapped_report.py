"""Radiation dose reports (PS3.3 A.35.8, A.35.14) -> the Observations that say the same.

A report gives one summary and one Observation for each irradiation event. Each is made from one report alone, and has
an identifier of type `sop-instance-uid` with the report's UID; an event's also has one with the event's UID. If a
report is in several studies or series, each has Observations of its own (owner.py). Therefore:

- An event's Observation is identified by both UIDs. Devices send cumulative reports, so the same event is in several
  of them, sometimes corrected. A single Observation for all would follow the report that was read last, and could not
  be corrected once that report is deleted. Whoever adds up doses sees by `irradiation-event-uid` that two Observations
  are of one event.
- One search by the report's UID finds all of its Observations and no others, which is enough to update and to delete
  them.

Containers of one report that share an event's UID are one event (TID 10013 allows to split an acquisition). If a
concept has a modifier (PS3.16 6.2.4), such as the plane of a biplane system or the side of a breast,
`component.code.text` names it, so that components with the same code can be told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import InvalidDicomTagError
from shared.mapping import dicom_json
from shared.mapping.converters import urn
from shared.mapping.dicom_json import Tag
from shared.mapping.dose import components as dose_table
from shared.mapping.dose import content_values, observation
from shared.mapping.dose.components import ACCUMULATED, COMPONENTS, EVENTS
from shared.mapping.dose.observation import ReportInstance, own_identifier
from shared.mapping.dose.report import KEYS, DoseReport
from shared.mapping.dose.structured_report import CONTENT, ContentItem
from shared.mapping.dose.value_string import dose_text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import Fragment, Scope, map_scope
from shared.model.failures import InvalidTag

_OBSERVATION = Scope.of("Observation", derived=True)

_INSTANCE = tuple(
    map(Tag.of, ("(0020,000D) StudyInstanceUID", "(0020,000E) SeriesInstanceUID", "(0008,0018) SOPInstanceUID"))
)

REPORT_KEYS = KEYS | frozenset(_OBSERVATION.keys)
"""The DICOM JSON keys of all tags that are read of a dose report."""


@dataclass(frozen=True, slots=True)
class WantedObservation:
    """What one Observation should say. `name`: its name inside a bundle."""

    name: str
    fragment: Fragment


@dataclass(frozen=True, slots=True)
class MappedReport:
    """One mapped report: the summary, then the events in the report's order; no Observation without a content tree.

    `faults`: the tags and content items that were left out.
    """

    instance: ReportInstance
    observations: tuple[WantedObservation, ...]
    faults: tuple[InvalidTag, ...]


def map_dose_report(metadata: Mapping[str, Any], options: MappingOptions) -> MappedReport:
    """The Observations of a dose report. `metadata` must have its content tree (see `content_held`).

    Raises InvalidDicomTagError if a required tag is missing or invalid, or any tag or content item if validation is
    enforced.
    """
    base = map_scope(_OBSERVATION, metadata, options)
    if base.broken:
        raise InvalidDicomTagError(tuple(dict.fromkeys(base.broken)))
    instance = ReportInstance(*(dicom_json.read(metadata, tag) for tag in _INSTANCE))
    report = DoseReport.of(metadata, options)
    observations: list[WantedObservation] = []
    if report.tree.children:
        observations = _observations(instance, base, report, options)
    else:
        report.faults.append(CONTENT.invalid("required of a dose report, and missing or empty"))
    faults = tuple(dict.fromkeys((*base.faults, *report.faults)))
    if options.enforce_validation and faults:
        raise InvalidDicomTagError(faults)
    return MappedReport(instance, tuple(observations), faults)


def _observations(
    instance: ReportInstance, base: Fragment, report: DoseReport, options: MappingOptions
) -> list[WantedObservation]:
    rows = [row for row in COMPONENTS if options.extended or not row.ours]
    events = _events(report)
    base = _with_common(base, report, options, events)
    accumulated = list(report.tree.found(ACCUMULATED))
    components = report.components(accumulated, [row for row in rows if "summary" in row.of])
    summary = _with_elements(base, component=components)
    if options.extended and options.dose_text and (doses := dose_text(components)):
        summary = replace(summary, fill={**summary.fill, "valueString": doses})
    observations = [_wanted(summary, options, instance)]
    of_event = [row for row in rows if "event" in row.of]
    for event_uid, containers in events.items():
        fragment = _with_elements(
            base,
            code=observation.EVENT_CODE,
            effectiveDateTime=_event_start(base, report, options, containers),
            bodySite=next(filter(None, (_target_region(report, one) for one in containers)), None),
            component=report.components(containers, of_event),
        )
        report_identifiers = _of_system(base.add["identifier"], options.uid_system)
        identifiers = [observation.event_identifier(options, event_uid), *report_identifiers]
        fragment = replace(fragment, add={**base.add, "identifier": identifiers})
        observations.append(_wanted(fragment, options, instance, event_uid))
    return observations


def _wanted(fragment: Fragment, options: MappingOptions, report: ReportInstance, *event_uid: str) -> WantedObservation:
    """The Observation with its own identifier, and a name inside the bundle that differs from it.

    Servers replace the name by a reference wherever it stands.
    """
    own = own_identifier(options, report, *event_uid)
    created = replace(fragment, create={**fragment.create, "identifier": [own]})
    return WantedObservation(urn("Observation", own["value"]), created)


def _events(report: DoseReport) -> dict[str, list[ContentItem]]:
    """The containers of each irradiation event by its UID, in the report's order."""
    events: dict[str, list[ContentItem]] = {}
    for container in report.tree.found(EVENTS):
        names = (dose_table.EVENT_UID, dose_table.ADMINISTRATION_UID)
        uid = next(filter(None, (report.first(container, name, content_values.uid) for name in names)), None)
        if uid is None:
            report.leave_out(dose_table.EVENT_UID, "missing: an event without it would be written anew each time")
        else:
            events.setdefault(uid, []).append(container)
    return events


def _with_common(
    base: Fragment, report: DoseReport, options: MappingOptions, events: Mapping[str, Sequence[ContentItem]]
) -> Fragment:
    """What the report's Observations share: status, device, performer, and the start of irradiation if it has one."""
    common: dict[str, Any] = {"status": "preliminary", **base.set}
    start = report.first(report.tree, dose_table.REPORT_START, content_values.date_time)
    containers = [container for one in events.values() for container in one]
    if moment := start or report.earliest(containers, dose_table.EVENT_START, dose_table.ADMINISTRATION_START):
        common["effectiveDateTime"] = observation.effective(options, moment, report.offset)
    names = (dose_table.DEVICE_MAKER, dose_table.DEVICE_MODEL, dose_table.DEVICE_NAME)
    maker, model, name = (report.first(report.tree, one, content_values.plain_text) for one in names)
    device = {"device": observation.device(options, maker, model, name)} if maker or model else {}
    observer = report.first(report.tree, dose_table.PERSON, content_values.person)
    performers = observation.performers(options, observer) if options.extended else []
    performer = {"performer": performers} if performers else {}
    return replace(base, set=common, fill={**base.fill, **device, **performer})


def _event_start(
    base: Fragment, report: DoseReport, options: MappingOptions, containers: Sequence[ContentItem]
) -> str | None:
    """When the event began; without that (TID 10013 leaves it open), the day of the report's irradiation."""
    moment = report.earliest(containers, dose_table.EVENT_START, dose_table.ADMINISTRATION_START)
    if moment is not None:
        return observation.effective(options, moment, report.offset)
    day: str = base.set.get("effectiveDateTime", "")[: len("YYYY-MM-DD")]
    return day or None


def _target_region(report: DoseReport, container: ContentItem) -> dict[str, Any] | None:
    region = report.first(container, dose_table.TARGET_REGION, content_values.concept)
    return region if region and report.is_r4("bodySite", region, dose_table.TARGET_REGION) else None


def _with_elements(base: Fragment, **elements: Any) -> Fragment:
    """The fragment with those of these elements that have a value."""
    return replace(base, set={**base.set, **{name: value for name, value in elements.items() if value}})


def _of_system(identifiers: Sequence[Mapping[str, Any]], system: str) -> list[Mapping[str, Any]]:
    return [one for one in identifiers if one.get("system") == system]
