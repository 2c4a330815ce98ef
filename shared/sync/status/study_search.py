"""Searches DICOM and FHIR for studies by a StudyInstanceUID, accession number or PatientID."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from shared.mapping.held import objects, text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.study_identity import places_of
from shared.mapping.text import InvalidValueError, uid
from shared.mapping.transaction import reference_of, value_query
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.fhir import Resource
from shared.sync.ports import Ports

MOST_FOUND = 50
"""How many studies are listed of each side."""
MOST_PATIENTS = 10
_OID = "urn:oid:"


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """One study; `in_dicom` and `in_fhir`: the search found it there. `started`: the date, as in FHIR."""

    study_instance_uid: str
    partition: str
    in_dicom: bool
    in_fhir: bool
    started: str
    description: str


@dataclass(frozen=True, slots=True)
class FoundStudies:
    """The studies. `is_all`: there are no others; `faults`: what could not be asked."""

    studies: Sequence[FoundStudy]
    is_all: bool
    faults: Sequence[str] = ()


class StudySearch:
    """Searches for a text as a StudyInstanceUID, an accession number and a PatientID; it must match exactly.

    The DICOM service is asked for one data partition. `partition` None: its default one, and all of them in FHIR.
    """

    def __init__(self, ports: Ports, options: MappingOptions, searched: str, partition: str | None) -> None:
        self._ports = ports
        self._options = options
        self._text = searched
        self._partition = partition
        self._studies: dict[tuple[str, str], FoundStudy] = {}
        self._is_all = True

    @property
    def questions(self) -> Sequence[Callable[[], None]]:
        """To be called one by one; each may raise FeedError, EntryError, TransientError, OutageError."""
        return (self._ask_dicom, self._ask_fhir_for_identifiers, self._ask_fhir_for_patients)

    def found(self, faults: Sequence[str]) -> FoundStudies:
        """The studies that the questions have found, the latest first."""
        studies = sorted(self._studies.values(), key=lambda one: one.started, reverse=True)
        return FoundStudies(studies, self._is_all, faults)

    def _ask_dicom(self) -> None:
        partition = self._partition or DEFAULT_PARTITION
        keywords = [*(["StudyInstanceUID"] if _is_uid(self._text) else []), "AccessionNumber", "PatientID"]
        for keyword in keywords:
            found = self._ports.archive.studies(keyword, self._text, partition, MOST_FOUND)
            self._is_all &= len(found) < MOST_FOUND
            for one in found:
                self._add(
                    FoundStudy(
                        one.study_instance_uid,
                        partition,
                        in_dicom=True,
                        in_fhir=False,
                        started=_as_in_fhir(one.study_date),
                        description=one.description,
                    )
                )

    def _ask_fhir_for_identifiers(self) -> None:
        values = [*([_OID + self._text] if _is_uid(self._text) else []), self._text]
        for value in values:
            found = self._ports.fhir.first("ImagingStudy", value_query(value))
            self._add_held([one for one in found if _has(one, value)])

    def _ask_fhir_for_patients(self) -> None:
        found = self._ports.fhir.first("Patient", value_query(self._text))
        patients = [reference_of(one) for one in found if _has(one, self._text)]
        if not patients:
            return
        self._is_all &= len(patients) <= MOST_PATIENTS
        asked = patients[:MOST_PATIENTS]
        held = self._ports.fhir.first("ImagingStudy", f"subject={quote(','.join(asked), safe='')}")
        self._add_held([one for one in held if _subject(one) in asked])

    def _add_held(self, held: Sequence[Resource]) -> None:
        self._is_all &= len(held) <= MOST_FOUND
        for study in held[:MOST_FOUND]:
            for partition, name in places_of(study, self._options):
                if self._partition in (None, partition):
                    started, description = text(study.get("started")), text(study.get("description"))
                    self._add(
                        FoundStudy(
                            name, partition, in_dicom=False, in_fhir=True, started=started[:10], description=description
                        )
                    )

    def _add(self, found: FoundStudy) -> None:
        """Adds a study; what one side does not say of it is taken from the other."""
        key = found.partition, found.study_instance_uid
        known = self._studies.get(key, found)
        self._studies[key] = replace(
            known,
            in_dicom=known.in_dicom or found.in_dicom,
            in_fhir=known.in_fhir or found.in_fhir,
            started=known.started or found.started,
            description=known.description or found.description,
        )


def _is_uid(searched: str) -> bool:
    try:
        uid(searched)
    except InvalidValueError:
        return False
    return True


def _as_in_fhir(study_date: str) -> str:
    """20240506 -> 2024-05-06; anything else stays as it is."""
    is_date = re.fullmatch(r"[0-9]{8}", study_date)
    return f"{study_date[:4]}-{study_date[4:6]}-{study_date[6:]}" if is_date else study_date


def _has(resource: Resource, value: str) -> bool:
    """Whether it has the identifier: a server that ignores the parameter returns everything."""
    return any(one.get("value") == value for one in objects(resource.get("identifier")))


def _subject(study: Resource) -> str:
    subject = study.get("subject")
    return text(subject.get("reference")).split("/_history/")[0] if isinstance(subject, dict) else ""
