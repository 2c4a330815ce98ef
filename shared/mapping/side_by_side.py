"""What DICOM and FHIR say about one study, line by line. The merge decides what counts as a difference: see `Mark`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from shared.mapping.accession import is_of_type_accession
from shared.mapping.held import as_list, objects, text
from shared.model.fhir import Resource

Changed = Callable[[str], bool]
"""Whether a dry run of the merge changes anything at or below a path of the ImagingStudy, or of the Patient."""


class Mark(StrEnum):
    """The result for a line.

    `DIFFERS`: the merge would change it. `LEFT`: the sides differ, and FHIR's value stays, as another system wrote it
    or the settings forbid the change. `UNKNOWN`: a side could not be read, or they differ and the merge could not run.
    """

    SAME = "same"
    DIFFERS = "differs"
    LEFT = "left"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Side:
    """The study and its patient as resources: those that FHIR holds, or those that would be made from DICOM alone.

    `instances`: how many each series has, by its UID, if the resource does not say. `is_read`: False if this side
    could not be read.
    """

    study: Resource | None = None
    patient: Resource | None = None
    instances: Mapping[str, int] | None = None
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its DICOM name, its FHIR element, and the values on either side."""

    name: str
    element: str
    dicom: tuple[str, ...]
    fhir: tuple[str, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class SeriesSide:
    """A series on one side."""

    number: str
    modality: str
    description: str
    started: str
    instances: int


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series on both sides; None if a side does not have it."""

    series_instance_uid: str
    dicom: SeriesSide | None
    fhir: SeriesSide | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class _Row:
    """`paths`: the elements of the resource that a merge changes if the line differs."""

    name: str
    element: str
    paths: tuple[str, ...]
    values: Callable[[Side], list[str]]


def _of_study(read: Callable[[Resource], list[Any]]) -> Callable[[Side], list[str]]:
    return lambda side: [str(one) for one in read(side.study or {}) if one not in (None, "")]


def _of_patient(read: Callable[[Resource], list[Any]]) -> Callable[[Side], list[str]]:
    return lambda side: [str(one) for one in read(side.patient or {}) if one not in (None, "")]


def _identifiers(patient: Resource) -> list[str]:
    return [_with_system(one) for one in objects(patient.get("identifier"))]


def _with_system(identifier: Resource) -> str:
    return " of ".join(filter(None, (text(identifier.get("value")), text(identifier.get("system")))))


def _names(patient: Resource) -> list[str]:
    return [
        text(one.get("text"))
        or ", ".join(filter(None, (text(one.get("family")), " ".join(map(text, as_list(one.get("given") or []))))))
        for one in objects(patient.get("name"))
    ]


def _accession(study: Resource) -> list[str]:
    return [_with_system(one) for one in objects(study.get("identifier")) if is_of_type_accession(one)]


def _codes(study: Resource) -> list[str]:
    return sorted(text(one.get("code")) for one in objects(study.get("modality")))


def _description(study: Resource) -> list[str]:
    notes = [text(one.get("text")) for one in objects(study.get("note"))]
    return list(dict.fromkeys([text(study.get("description")), *notes]))


_ROWS = (
    _Row("PatientID", "ImagingStudy.subject", ("subject",), _of_patient(_identifiers)),
    _Row("PatientName", "Patient.name", ("name",), _of_patient(_names)),
    _Row("PatientBirthDate", "Patient.birthDate", ("birthDate",), _of_patient(lambda one: [one.get("birthDate")])),
    _Row("PatientSex", "Patient.gender", ("gender",), _of_patient(lambda one: [one.get("gender")])),
    _Row("AccessionNumber", "ImagingStudy.identifier", ("identifier",), _of_study(_accession)),
    _Row("StudyDate, StudyTime", "ImagingStudy.started", ("started",), _of_study(lambda one: [one.get("started")])),
    _Row("StudyDescription", "ImagingStudy.description", ("description", "note"), _of_study(_description)),
    _Row("Modality", "ImagingStudy.modality", ("modality",), _of_study(_codes)),
)


def lines(dicom: Side, fhir: Side, study: Changed | None, patient: Changed | None) -> list[Line]:
    """The lines of patient and study. `study`, `patient`: what the merge changes; None if it could not run."""
    made = []
    for row in _ROWS:
        changed = patient if row.element.startswith("Patient.") else study
        in_dicom, in_fhir = tuple(row.values(dicom)), tuple(row.values(fhir))
        is_same = set(in_dicom) <= set(in_fhir) and bool(in_dicom or not in_fhir)
        mark = _mark(row.paths, changed, is_same=is_same)
        if mark is Mark.LEFT and changed is patient and study is not None and study("subject"):
            mark = Mark.DIFFERS  # the study will link to another Patient
        made.append(Line(row.name, row.element, in_dicom, in_fhir, mark))
    made += _counts(dicom, fhir, study)
    return made if dicom.is_read and fhir.is_read else [replace(one, mark=Mark.UNKNOWN) for one in made]


def series_lines(dicom: Side, fhir: Side, study: Changed | None) -> list[SeriesLine]:
    """The series of both sides, those of DICOM first."""
    in_dicom, in_fhir = _series(dicom), _series(fhir)
    made = []
    for uid in dict.fromkeys([*in_dicom, *in_fhir]):
        path = f"series.where(uid = '{uid}')"
        mark = _mark((path,), study, is_same=in_dicom.get(uid) == in_fhir.get(uid))
        made.append(SeriesLine(uid, in_dicom.get(uid), in_fhir.get(uid), mark))
    return made if dicom.is_read and fhir.is_read else [replace(one, mark=Mark.UNKNOWN) for one in made]


def _counts(dicom: Side, fhir: Side, study: Changed | None) -> list[Line]:
    series_in_dicom, series_in_fhir = _series(dicom), _series(fhir)
    numbers: tuple[tuple[str, str, Callable[[Mapping[str, SeriesSide]], int]], ...] = (
        ("Series", "numberOfSeries", len),
        ("Instances", "numberOfInstances", lambda side: sum(one.instances for one in side.values())),
    )
    found = []
    for name, element, count in numbers:
        stated = (fhir.study or {}).get(element)
        in_dicom = count(series_in_dicom)
        in_fhir = stated if isinstance(stated, int) else count(series_in_fhir)
        # If the numbers themselves are not written, they follow from the series.
        paths = (element,) if in_dicom == in_fhir else (element, "series")
        mark = _mark(paths, study, is_same=in_dicom == in_fhir)
        on_dicom = (str(in_dicom),) if dicom.is_read else ()
        on_fhir = (str(in_fhir),) if fhir.is_read else ()
        found.append(Line(name, f"ImagingStudy.{element}", on_dicom, on_fhir, mark))
    return found


def _mark(paths: Sequence[str], changed: Changed | None, *, is_same: bool) -> Mark:
    if changed is None:
        return Mark.SAME if is_same else Mark.UNKNOWN
    if any(map(changed, paths)):
        return Mark.DIFFERS
    return Mark.SAME if is_same else Mark.LEFT


def _series(side: Side) -> dict[str, SeriesSide]:
    found = {}
    for one in objects((side.study or {}).get("series")):
        modality = one.get("modality")
        uid, number, listed = text(one.get("uid")), one.get("number"), one.get("instance")
        counted = one.get("numberOfInstances")
        found[uid] = SeriesSide(
            "" if number is None else str(number),
            text(modality.get("code")) if isinstance(modality, dict) else "",
            text(one.get("description")),
            text(one.get("started")),
            len(listed) if isinstance(listed, list) else counted if isinstance(counted, int) else 0,
        )
    for uid, count in (side.instances or {}).items():
        known = found.get(uid, SeriesSide("", "", "", "", 0))
        found[uid] = SeriesSide(known.number, known.modality, known.description, known.started, count)
    return found
