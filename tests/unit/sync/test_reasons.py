"""Open error rows by reason and study: what 500 rows say is one line."""

import re
from pathlib import Path

import pytest

from shared import errors
from shared.errors import EntryError, UnforeseenError
from shared.model.failures import OF_STUDY, ErrorRow, ErrorTable
from shared.sync.status import reasons
from shared.sync.status.reasons import OpenReasons, open_reasons, reasons_of
from shared.web import remedies
from shared.web.as_json import reasons_json
from tests.fakes import FakeErrors

RUNBOOK = Path(__file__).parents[3] / "docs/runbook.md"
NO_ID = "(0010,0020) PatientID (LO): required, and missing or empty"
NO_MODALITY = "(0008,0060) Modality (CS): required, and missing or empty"
UNFORESEEN = {"UnforeseenError", "UnforeseenTickError"}
DICOM, FHIR = ErrorTable.DICOM, ErrorTable.FHIR


def row(
    sequence, study="1.2.1", message=NO_ID, *, table=DICOM, exception="InvalidDicomTagError", partition="p", seen=None
):
    last = f"2026-05-04T12:00:{sequence:02d}+00:00" if seen is None else seen
    uids = (study, f"{study}.1", f"{study}.1.{sequence}")
    return ErrorRow(table, exception, sequence, *uids, partition, message, 0, last, last or None, None, ("", ""))


def told(rows):
    """Reason, rows, studies with theirs."""
    return [
        (one.exception, one.message, one.rows, [(study.study_instance_uid, study.rows) for study in one.studies])
        for one in reasons_of(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ([], []),
        # a study without PatientID is one line, however many instances it has
        ([row(n) for n in range(1, 51)], [("InvalidDicomTagError", NO_ID, 50, [("1.2.1", 50)])]),
        # newest first, reasons and studies
        (
            [row(1), row(2, "1.2.2"), row(3, message=NO_MODALITY)],
            [
                ("InvalidDicomTagError", NO_MODALITY, 1, [("1.2.1", 1)]),
                ("InvalidDicomTagError", NO_ID, 2, [("1.2.2", 1), ("1.2.1", 1)]),
            ],
        ),
        # what names a resource or an entry is one reason by its class; the newest row's words stand for it
        (
            [
                row(1, message="Patient/7, Patient/8", table=FHIR, exception="A"),
                row(2, "1.2.2", "Patient/9", table=FHIR, exception="A"),
            ],
            [("A", "Patient/9", 2, [("1.2.2", 1), ("1.2.1", 1)])],
        ),
        # the same in two tables, or of two classes, is two reasons
        ([row(1), row(2, table=FHIR)], [("InvalidDicomTagError", NO_ID, 1, [("1.2.1", 1)])] * 2),
        # one UID in two data partitions is two studies
        ([row(1), row(2, partition="q")], [("InvalidDicomTagError", NO_ID, 2, [("1.2.1", 1), ("1.2.1", 1)])]),
        # rows that the original wrote have no time: they come last
        (
            [row(9, "1.2.9", seen=""), row(1)],
            [("InvalidDicomTagError", NO_ID, 2, [("1.2.1", 1), ("1.2.9", 1)])],
        ),
    ],
    ids=["none", "one line", "newest first", "by class", "by table", "by partition", "of the original"],
)
def test_rows_that_say_the_same_are_one_reason(rows, reasons):
    """Also where they come in another order."""
    assert told(rows) == told(rows[::-1]) == reasons


def test_what_is_not_listed_is_counted(monkeypatch):
    """The newest are; and it is said where a table has more rows than are read."""
    monkeypatch.setattr(reasons, "MAX_STUDIES", 2)
    [found] = reasons_of([row(n, f"1.2.{n}") for n in range(1, 6)])
    assert [study.study_instance_uid for study in found.studies] == ["1.2.5", "1.2.4"]
    assert (found.rows, found.more_studies) == (5, 3)
    monkeypatch.setattr(reasons, "MAX_ROWS", 0)
    assert open_reasons(FakeErrors()) == OpenReasons(0, False, [], 0)


def test_each_comes_with_what_to_do():
    """Of its class where the runbook has something to say of that, else of its table."""
    [known, other] = reasons_json(
        OpenReasons(2, True, reasons_of([row(1), row(2, table=FHIR, exception="PagingError")]), 0)
    )["reasons"]
    assert "base URL" in known["remedy"]
    assert "corrected in the archive" in other["remedy"]
    titles = [title for said in remedies._BY_EXCEPTION.values() for title in re.findall(r"md, '([^']+)'", said)]
    assert titles
    assert [title for title in titles if f"**{title}" not in RUNBOOK.read_text()] == []


def test_every_remedy_is_of_a_class_that_there_is():
    """And all that the FHIR server's rows can be of have one of their own, but for its plain refusal."""
    classes = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, EntryError)}
    assert remedies._BY_EXCEPTION.keys() - classes == OF_STUDY - classes
    of_fhir = {name for name in classes if getattr(getattr(errors, name), "table", None) is FHIR}
    assert of_fhir - remedies._BY_EXCEPTION.keys() <= {"FhirRefusedError"} | UNFORESEEN
    assert remedies.remedy_of(FHIR, "KeyError", str(UnforeseenError("KeyError", []))).startswith("please report it")
    assert remedies._BY_TABLE.keys() == set(ErrorTable)
