"""Makes the view of one study from what was read of it: both sides line by line, and what a rebuild would change."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import InvalidDicomTagError
from shared.mapping.differences import ElementChange, differences
from shared.mapping.held import objects, text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_patient import merge_patient
from shared.mapping.merge_study import merge_study
from shared.mapping.patients import PatientIdentity
from shared.mapping.resources import MappedInstance, StudyMapper
from shared.mapping.side_by_side import Changed, Line, SeriesLine, Side, lines, series_lines
from shared.mapping.transaction import reference_of
from shared.model.change_feed import ChangeFeedEntry
from shared.model.failures import ErrorRow
from shared.model.fhir import Resource
from shared.sync.replay.dry_run_server import PlannedChange

MOST_ELEMENTS = 200
"""How many changed elements of one resource are listed."""


@dataclass(frozen=True, slots=True)
class StudyRead:
    """What was read of a study; None: it could not be read, or the dry run was not made.

    `held`: the ImagingStudy and duplicates of it. `linked`: the Patient that it links to. `seen`: all that was read
    from FHIR.
    """

    held: Sequence[Resource] | None = None
    linked: Resource | None = None
    entries: Sequence[ChangeFeedEntry] | None = None
    changes: Sequence[PlannedChange] | None = None
    seen: Sequence[Resource] = ()


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One write of the rebuild. `url` is a type, or type/id; `more`: how many changed elements are not listed."""

    method: str
    url: str
    elements: tuple[ElementChange, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class HeldResource:
    """A resource that FHIR holds of the study, and its address. `says`: what it observes, or its status."""

    reference: str
    url: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class StudyView:
    """One study as read at `read_at`. `faults` say what could not be read; then `changes` is None, as not known.

    `in_dicom` and `in_fhir`: None if not known. `failures`: what the rebuild would record as failed or left out.
    """

    study_instance_uid: str
    partition: str
    read_at: datetime
    in_dicom: bool | None
    in_fhir: bool | None
    lines: Sequence[Line]
    series: Sequence[SeriesLine]
    resources: Sequence[HeldResource]
    changes: Sequence[ResourceChange] | None
    failures: Sequence[str] = field(default=())
    errors: Sequence[ErrorRow] = field(default=())
    faults: Sequence[str] = field(default=())


def study_view(
    read: StudyRead, uid: str, partition: str, options: MappingOptions, fhir_url: str, read_at: datetime
) -> StudyView:
    """The view without error rows and faults. `options` are those of the data partition."""
    held = read.held[0] if read.held else None
    dicom = Side(is_read=False) if read.entries is None else _of_dicom(read.entries, options)
    fhir = Side(held, read.linked, is_read=read.held is not None)
    study, patient = _changed_study(read, held), _changed_patient(read)
    resources = [one for one in (*(read.held or ()), read.linked) if one]
    resources += [one for one in read.seen if _is_of_reports(one, options)]
    return StudyView(
        uid,
        partition,
        read_at,
        None if read.entries is None else bool(read.entries),
        None if read.held is None else bool(read.held),
        lines(dicom, fhir, study, patient),
        series_lines(dicom, fhir, study),
        [HeldResource(reference_of(one), f"{fhir_url}/{reference_of(one)}", _says(one)) for one in resources],
        None if read.changes is None else [_resource_change(one) for one in read.changes],
    )


def _of_dicom(entries: Sequence[ChangeFeedEntry], options: MappingOptions) -> Side:
    """What the instances map to if FHIR holds nothing; those that cannot be mapped are only counted."""
    mapper = StudyMapper(options)
    mapped: list[MappedInstance] = []
    for entry in entries:
        try:
            mapped.append(mapper.map(entry))
        except InvalidDicomTagError:  # the rebuild reports it
            continue
    counts = Counter(entry.series_instance_uid for entry in entries)
    if not mapped:
        return Side(instances=counts)
    named = {PatientIdentity.of(one.patient): one.patient for one in mapped}
    patient = merge_patient(None, mapped[-1].patient) or {}
    identifiers = [one.add["identifier"][0] for one in named.values()]
    return Side(merge_study(None, mapped, {}), {**patient, "identifier": identifiers}, counts)


def _changed_study(read: StudyRead, held: Resource | None) -> Changed | None:
    if read.changes is None:
        return None
    reference = reference_of(held) if held else None
    return _changed(one for one in read.changes if _is(one, "ImagingStudy", reference))


def _changed_patient(read: StudyRead) -> Changed | None:
    if read.changes is None:
        return None
    reference = reference_of(read.linked) if read.linked else None
    return _changed(one for one in read.changes if _is(one, "Patient", reference))


def _is(change: PlannedChange, resource_type: str, reference: str | None) -> bool:
    """Whether the change is one of this resource, or creates it if `reference` is None."""
    return change.write.url == (reference or resource_type)


def _changed(changes: Iterable[PlannedChange]) -> Changed:
    paths = {one.path for change in changes for one in differences(change.before, change.after or {})}

    def is_changed(path: str) -> bool:
        return any(one == path or one.startswith(f"{path}.") for one in paths)

    return is_changed


def _resource_change(change: PlannedChange) -> ResourceChange:
    elements = differences(change.before, change.after)
    more = max(0, len(elements) - MOST_ELEMENTS)
    return ResourceChange(change.write.method, change.write.url, tuple(elements[:MOST_ELEMENTS]), more)


def _is_of_reports(resource: Resource, options: MappingOptions) -> bool:
    """Whether it is an Observation of a report in this data partition: a search may find others too."""
    is_of_partition = any(one.get("system") == options.uid_system for one in objects(resource.get("identifier")))
    return resource["resourceType"] == "Observation" and is_of_partition


def _says(resource: Resource) -> str:
    code = resource.get("code")
    codings = list(objects(code.get("coding"))) if isinstance(code, dict) else []
    return text(resource.get("status")) if not codings else text(codings[0].get("display"))
