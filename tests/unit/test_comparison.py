"""The demo's table: what is not well first, in 80 columns, each study told from the others."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from local.compare import StudyComparison
from local.comparison import (
    chosen_to_show,
    compare_running,
    ensure_all_answer,
    print_comparison,
    print_verdict,
    short_uids,
)
from local.demo import is_drained
from local.failures import RecordedFailure
from local.fhir_account import DEFAULT_PARTITION
from local.processes import StackError
from local.stack import PortNumbers, Stack, StackOptions
from tests.raw_server import RawServer, silent, whole

STEM = "1.2.826.0.1.3680043.8.498.4544318222390012"


def study(end, instances=1, in_fhir=None, partition=DEFAULT_PARTITION, **said):
    """Of one series."""
    held = instances if in_fhir is None else in_fhir
    counts = {"1": instances}, {"1": held} if held else {}
    return StudyComparison(partition, f"{STEM}.{end}", "PATIENT-0001", ("CT",), *counts, **said)


DIFFERENT = study("1", 3, 2, differences=("series 1.2.3: 1 instance missing in FHIR",))
FAILED = study("2", 5, 0, failed=5)
LARGE = study("3", 300, partition="north")
SMALL = [study(f"4.{number}") for number in range(20)]


@pytest.fixture
def printed():
    """What a terminal of 80 columns shows."""

    def show(studies, failures=(), waited=0):
        console = Console(file=io.StringIO(), width=80, markup=False, force_terminal=False)
        print_comparison(console, studies, failures)
        code = print_verdict(console, studies, waited)
        return code, console.file.getvalue().splitlines()

    return show


def test_what_is_not_well_stands_first():
    """What differs, then what failed, then the largest: what does not fit is told as a number."""
    shown, left_out = chosen_to_show([*SMALL, LARGE, FAILED, DIFFERENT])
    assert shown[:3] == [DIFFERENT, FAILED, LARGE]
    assert len(shown) + left_out == 23
    assert left_out > 0
    assert chosen_to_show([]) == ([], 0)


def test_all_that_is_not_well_is_shown():
    """However much it is."""
    shown, left_out = chosen_to_show([study(f"9.{number}", failed=1) for number in range(100)])
    assert (len(shown), left_out) == (100, 0)


def test_a_study_that_failed_is_not_ok(printed):
    """FHIR matches DICOM but for it, and that is said; exit code 0, as its entries are recorded."""
    failure = RecordedFailure("DicomFailToStoreExceptionTable", 1, "1.2", "(0010,0020) PatientID (LO): required")
    code, lines = printed([LARGE, FAILED], [failure])
    (row,) = [line for line in lines if "5 failed" in line]
    assert "5, FHIR 0" in row
    assert "ok" not in row
    assert code == 0
    assert lines[-2:] == [
        "2 studies: 0 differ, 1 with failed entries, 1 ok",
        "FHIR matches DICOM, but for the entries that are recorded as failed",
    ]


def test_what_is_anothers_is_ok(printed):
    """It is told, before what is well in all, and the exit code is 0."""
    code, lines = printed([LARGE, study("5", stays=("the birth date of Patient/7 is another's, and stays so",))])
    said = " ".join(lines)
    assert said.index("ok; the") < said.index("300")
    assert code == 0
    assert lines[-2:] == [
        "2 studies: 0 differ, 0 with failed entries, 2 ok",
        "FHIR matches DICOM, but for what is another's in FHIR",
    ]


@pytest.mark.parametrize(
    ("studies", "code", "last"),
    [
        ([LARGE], 0, "FHIR matches DICOM"),
        ([], 0, "FHIR matches DICOM"),
        ([LARGE, DIFFERENT, FAILED], 1, "FHIR does not match DICOM: 1 study differs"),
        ([DIFFERENT, replace(DIFFERENT, study_instance_uid="1.2")], 1, "FHIR does not match DICOM: 2 studies differ"),
    ],
)
def test_the_last_line_is_the_verdict(printed, studies, code, last):
    """And the exit code."""
    said, lines = printed(studies)
    assert (said, lines[-1]) == (code, last)


@pytest.mark.parametrize(
    ("studies", "line"),
    [
        ([LARGE], "1 study: 0 differ, 0 with failed entries, 1 ok"),
        ([DIFFERENT], "1 study: 1 differs, 0 with failed entries, 0 ok"),
        ([], "0 studies: 0 differ, 0 with failed entries, 0 ok"),
        (SMALL[:9], "and 1 more study that is ok"),
        (SMALL[:10], "and 2 more studies that are ok"),
    ],
)
def test_one_is_one(printed, studies, line):
    """`1 studies` is read twice."""
    assert line in printed(studies)[1]


@pytest.mark.parametrize(
    ("studies", "waited", "told"),
    [
        ([DIFFERENT], 12, "12 entries of the change feed wait"),
        ([DIFFERENT], 1, "1 entry of the change feed waits"),
        ([DIFFERENT], 0, ""),
        ([LARGE], 12, ""),
    ],
)
def test_what_is_not_synced_yet_is_expected_to_differ(printed, studies, waited, told):
    """And it is said of how many entries; nothing of it where all is well or all is synced."""
    said = " ".join(" ".join(printed(studies, waited=waited)[1]).split())
    assert ("that is expected" in said) is bool(told)
    assert told in said


def test_eighty_columns_hold_a_row_on_one_line(printed):
    """But for a difference's own text."""
    _, lines = printed([FAILED, LARGE, *SMALL])
    assert max(map(len, lines)) <= 80
    assert sum("│" in line for line in lines) == len(chosen_to_show([FAILED, LARGE, *SMALL])[0])


@pytest.mark.parametrize(
    ("uids", "told"),
    [
        (["1.2.3456789012", "1.2.3456789013"], ["…56789012", "…56789013"]),
        (["1.2.1.34567890", "1.2.2.34567890"], ["…1.34567890", "…2.34567890"]),
        (["1.2.3", "1.2.4"], ["1.2.3", "1.2.4"]),
        (["4567890123", "1.4567890123"], ["4567890123", "….4567890123"]),
        ([""], [""]),
    ],
)
def test_uids_tell_studies_apart(uids, told):
    """As short as that allows, and at least eight characters."""
    assert list(short_uids(uids).values()) == told


@pytest.mark.parametrize(
    ("watermark", "latest", "lease", "is_so"),
    [
        ({"sequence": 9}, {"sequence": 9}, {"held": False}, True),
        ({"sequence": 9}, {"sequence": 9}, {"held": True}, False),
        ({"sequence": 8}, {"sequence": 9}, {"held": False}, False),
        (None, {"sequence": 9}, {"held": False}, False),
        ({"sequence": 0}, None, {"held": False}, False),
        ({"sequence": 9}, {"sequence": 9}, None, False),
    ],
)
def test_the_demo_waits_where_a_system_does_not_say(watermark, latest, lease, is_so):
    """The status has null for what storage or the DICOM service was too slow to tell."""
    assert is_drained({"watermark": watermark, "latest": latest, "lease": lease}) is is_so


@pytest.fixture
def ports():
    """Of a stack: of parts that answer, and of parts that take requests and never do. Nothing listens at the others'."""
    servers = []

    def of(answering, frozen=()):
        places = {}
        for part, field in (("dicom", "dicom"), ("fhir", "fhir"), ("azurite", "table")):
            if part in (*answering, *frozen):
                servers.append(RawServer(silent if part in frozen else whole(b"", b"HTTP/1.1 403 Forbidden\r\n")))
                places[field] = int(servers[-1].url.rpartition(":")[2])
        return PortNumbers(**{"dicom": 1, "fhir": 1, "table": 1} | places)

    yield of
    for one in servers:
        one.close()


@pytest.mark.parametrize(
    ("answering", "frozen", "told"),
    [
        (("dicom", "azurite"), (), ["the FHIR server does not answer"]),
        (("dicom", "azurite"), ("fhir",), ["the FHIR server does not answer"]),
        (("fhir", "azurite"), (), ["the DICOM service does not answer"]),
        (("fhir", "dicom"), ("azurite",), ["the storage (Azurite) does not answer"]),
        (("azurite",), ("fhir",), ["the DICOM service does not answer", "the FHIR server does not answer"]),
    ],
)
def test_the_part_that_does_not_answer_is_named(answering, frozen, told, ports, tmp_path):
    """And how to start it again; a part that answers with a refusal is up."""
    stack = Stack(StackOptions(ports(answering, frozen), tmp_path))
    with pytest.raises(StackError) as raised:
        ensure_all_answer(stack, 0.2)
    lines = str(raised.value).splitlines()
    assert [line.partition(" at http")[0] for line in lines] == told
    assert all("start it again with `.venv/bin/python -m local start" in line for line in lines)


def test_where_nothing_answers_no_stack_is_up(ports, tmp_path):
    """One sentence, not one for each part."""
    with pytest.raises(StackError, match=r"^nothing of the stack answers: start it with `make run`"):
        compare_running(ports(()), tmp_path / "none.json", None)


def test_a_fhir_server_of_others_is_not_started(ports, tmp_path):
    """It was named with FHIR=, and is not of this stack."""
    options = StackOptions(ports(("dicom", "azurite")), tmp_path, fhir_url="http://127.0.0.1:1/fhir")
    with pytest.raises(StackError, match=r"^the FHIR server does not answer at http://127.0.0.1:1/fhir/metadata: see"):
        ensure_all_answer(Stack(options))
