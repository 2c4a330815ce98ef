"""The search for a study by what an operator has at hand, on both sides, to the letter; the log has no word of it."""

import logging
from dataclasses import dataclass, field

import pytest

from shared.errors import FeedError, FhirRefusedError
from shared.mapping.mapping_options import MappingOptions
from shared.model.listed_study import ListedStudy
from shared.sync.status.study_page import StudyPage
from shared.sync.status.study_search import MOST_FOUND, MOST_PATIENTS
from tests.fakes import FakeFhir, ports

SERVICE = "https://dicom.example.org"
OPTIONS = MappingOptions(SERVICE)


@dataclass
class Archive:
    """Studies by keyword and value, each of one data partition."""

    held: dict[tuple[str, str, str], list[ListedStudy]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def studies(self, keyword, value, partition, most):
        self.asked.append(keyword)
        return self.held.get((keyword, value, partition), [])[:most]


@dataclass
class Fhir(FakeFhir):
    """Finds by any identifier's value, whatever its system, and by subject."""

    def first(self, resource_type, query):
        name, _, value = query.partition("=")
        held = [one for one in self.resources if one["resourceType"] == resource_type]
        if name == "identifier":
            value = value.replace("%3A", ":")
            return [one for one in held if any(i["value"] == value for i in one["identifier"])]
        asked = value.replace("%2F", "/").replace("%2C", ",").split(",")
        return [one for one in held if one["subject"]["reference"] in asked]


def study(number, uid, *, system="urn:dicom:uid", accession=None, patient="Patient/1", **said):
    identifiers = [{"system": system, "value": f"urn:oid:{uid}"}]
    identifiers += [{"type": {"coding": [{"code": "ACSN"}]}, "value": accession}] if accession else []
    return {"resourceType": "ImagingStudy", "id": str(number), "identifier": identifiers, "subject": {"reference": patient}} | said  # fmt: skip


def patient(number, value):
    return {"resourceType": "Patient", "id": str(number), "identifier": [{"system": "urn:x", "value": value}]}


def page(resources=(), held=None, **others):
    parts = {"archive": Archive(held or {}), "fhir": Fhir(list(resources))} | others
    return StudyPage(ports(**parts), OPTIONS, "")


def found(answer):
    return [(one.study_instance_uid, one.in_dicom, one.in_fhir) for one in answer.studies]


RESOURCES = [
    patient(1, "P-1"),
    study(1, "1.2.1", accession="A-1", started="2024-05-06T07:00:00Z", description="Chest"),
    study(2, "1.2.2", patient="Patient/2"),
]
HELD = {
    ("StudyInstanceUID", "1.2.1", "Microsoft.Default"): [ListedStudy("1.2.1", "20240506", "Chest")],
    ("AccessionNumber", "A-1", "Microsoft.Default"): [ListedStudy("1.2.1", "20240506", "Chest")],
    ("PatientID", "P-1", "Microsoft.Default"): [ListedStudy("1.2.1", "20240506", "Chest"), ListedStudy("1.2.9", "20250101", "")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "studies"),
    [
        ("1.2.1", [("1.2.1", True, True)]),
        ("1.2.2", [("1.2.2", False, True)]),
        ("A-1", [("1.2.1", True, True)]),
        ("P-1", [("1.2.9", True, False), ("1.2.1", True, True)]),
        ("P-9", []),
        ("a-1", []),
    ],
)
def test_what_is_found(text, studies):
    """By each of the three, on either side, each study once, the latest first."""
    answer = page(RESOURCES, HELD).find(text, None)
    assert (found(answer), answer.is_all, answer.faults) == (studies, True, [])


def test_dates_are_told_in_one_form():
    """FHIR's, whichever side has it; what is none of DICOM's stays."""
    odd = {("PatientID", "P-1", "Microsoft.Default"): [ListedStudy("1.2.8", "2024", "")]}
    told = [
        one.started for text in ("P-1",) for held in (HELD, odd) for one in page(held=held).find(text, None).studies
    ]
    assert told == ["2025-01-01", "2024-05-06", "2024"]


def test_a_uid_alone_is_searched_as_one():
    """A DICOM service refuses a search by what is none."""
    archive = Archive()
    page(archive=archive).find("A-1", None)
    assert archive.asked == ["AccessionNumber", "PatientID"]


def test_partitions():
    """FHIR's studies of all of them are told, unless one is asked for; what is of another DICOM service is not."""
    resources = [
        study(1, "1.2.1"),
        study(2, "1.2.1", system=f"{SERVICE}/partitions/north"),
        study(3, "1.2.1", system="https://other.example.org/partitions/north"),
    ]
    made = page(resources)
    assert [one.partition for one in made.find("1.2.1", None).studies] == ["Microsoft.Default", "north"]
    assert [one.partition for one in made.find("1.2.1", "north").studies] == ["north"]


def test_many():
    """The first are told, and that there may be more."""
    many = [ListedStudy(f"1.2.{n}", "", "") for n in range(MOST_FOUND + 5)]
    answer = page(held={("PatientID", "P-1", "Microsoft.Default"): many}).find("P-1", None)
    assert (len(answer.studies), answer.is_all) == (MOST_FOUND, False)
    studies = [study(n, f"1.2.{n}") for n in range(MOST_FOUND + 5)]
    answer = page([patient(1, "P-1"), *studies]).find("P-1", None)
    assert (len(answer.studies), answer.is_all) == (MOST_FOUND, False)
    answer = page([patient(n, "P-1") for n in range(MOST_PATIENTS + 1)]).find("P-1", None)
    assert (len(answer.studies), answer.is_all) == (0, False)


class Refuses:
    """Every question."""

    def __init__(self, error):
        self._error = error

    def studies(self, *_):
        raise self._error

    first = studies


def test_one_side_is_down():
    """The other answers all the same; what could not be asked is told, without what was asked for."""
    answer = page(RESOURCES, archive=Refuses(FeedError("studies: status 500"))).find("P-1", None)
    assert (found(answer), answer.faults) == ([("1.2.1", False, True)], ["studies: status 500"])
    answer = page(held=HELD, fhir=Refuses(FhirRefusedError("FHIR server: status 400"))).find("P-1", None)
    assert (len(answer.studies), answer.faults) == (2, ["FHIR server: status 400"])


def test_the_log_does_not_say_what_was_searched_for(caplog):
    """How many were found, and nothing else."""
    with caplog.at_level(logging.INFO):
        page(RESOURCES, HELD).find("P-1", None)
    assert [one.getMessage() for one in caplog.records] == ['studies searched for {"Found":2}']
