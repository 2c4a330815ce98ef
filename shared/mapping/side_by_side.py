"""What DICOM and FHIR say of one study, line by line. What differs is the merge's to say: see `Mark`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from shared.mapping.accession import is_of_type_accession
from shared.mapping.held import as_list, objects, text
from shared.model.fhir import Resource

Changed = Callable[[str], bool]
"""Whether the merge, run dry, changes anything at or below a path of the ImagingStudy, or of the Patient."""


class Mark(StrEnum):
    """What the merge makes of a line.

    `LEFT`: the two sides differ, and FHIR's stays: another system wrote it, or the settings do not let it change.
    `UNKNOWN`: a side could not be read, or the two differ and the merge could not be run.
    """

    SAME = "same"
    DIFFERS = "differs"
    LEFT = "left"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Side:
    """The study and its patient as resources: those that FHIR holds, or those that DICOM alone would make.

    `instances`: how many each series has, by its UID, where the resource does not tell it. `is_read`: False where
    nobody knows what this side holds.
    """

    study: Resource | None = None
    patient: Resource | None = None
    instances: Mapping[str, int] | None = None
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that both sides say: its name, its element, and the values on either side."""

    name: str
    element: str
    dicom: tuple[str, ...]
    fhir: tuple[str, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class SeriesSide:
    """A series as one side has it."""

    number: str
    modality: str
    description: str
    started: str
    instances: int


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series on both sides; None: this side does not have it."""

    series_instance_uid: str
    dicom: SeriesSide | None
    fhir: SeriesSide | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class _Row:
    """`paths`: what of the resource is changed where the line differs."""

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
    """The patient and the study. `study` and `patient` tell what the merge changes; None: it could not be run."""
    made = []
    for row in _ROWS:
        changed = patient if row.element.startswith("Patient.") else study
        said, held = tuple(row.values(dicom)), tuple(row.values(fhir))
        is_same = set(said) <= set(held) and bool(said or not held)
        mark = _mark(row.paths, changed, is_same=is_same)
        if mark is Mark.LEFT and changed is patient and study is not None and study("subject"):
            mark = Mark.DIFFERS  # it is another Patient's line, and goes with the link
        made.append(Line(row.name, row.element, said, held, mark))
    made += _counts(dicom, fhir, study)
    return made if dicom.is_read and fhir.is_read else [replace(one, mark=Mark.UNKNOWN) for one in made]


def series_lines(dicom: Side, fhir: Side, study: Changed | None) -> list[SeriesLine]:
    """The series of either side, those of DICOM first."""
    said, held = _series(dicom), _series(fhir)
    made = []
    for uid in dict.fromkeys([*said, *held]):
        path = f"series.where(uid = '{uid}')"
        mark = _mark((path,), study, is_same=said.get(uid) == held.get(uid))
        made.append(SeriesLine(uid, said.get(uid), held.get(uid), mark))
    return made if dicom.is_read and fhir.is_read else [replace(one, mark=Mark.UNKNOWN) for one in made]


def _counts(dicom: Side, fhir: Side, study: Changed | None) -> list[Line]:
    said, held = _series(dicom), _series(fhir)
    numbers: tuple[tuple[str, str, Callable[[Mapping[str, SeriesSide]], int]], ...] = (
        ("Series", "numberOfSeries", len),
        ("Instances", "numberOfInstances", lambda side: sum(one.instances for one in side.values())),
    )
    found = []
    for name, element, count in numbers:
        told = (fhir.study or {}).get(element)
        in_dicom, in_fhir = count(said), told if isinstance(told, int) else count(held)
        # Where the numbers themselves are not written they follow from the series.
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
