"""The error tables on Azurite: one row per failure, counted, cut to the limits, resolved once its entry is synced."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.data.tables import TableServiceClient, UpdateMode

from shared.clients.error_tables import ErrorTables
from shared.clients.tables import Tables
from shared.failures import ErrorQuery, ErrorTable, FailedEntry

START = datetime(2024, 5, 6, tzinfo=UTC)


def failure(
    sequence, *, table=ErrorTable.DICOM, exception="InvalidDicomTagError", message="(0010,0020) PatientID (LO): missing"
):
    return FailedEntry(table, sequence, "1.2", "1.3", f"1.4.{sequence}", exception, message)


class Clock:
    """A clock that only the test moves."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def errors(storage, clock):
    with TableServiceClient.from_connection_string(storage) as service:
        tables = Tables(service, f"t{uuid4().hex[:8]}", ErrorTable)
        store = ErrorTables(tables, clock)
        store.rows = lambda table=ErrorTable.DICOM: list(tables[table].query_entities("PartitionKey ge ''"))
        store.put = lambda row, table=ErrorTable.DICOM: tables[table].update_entity(row, mode=UpdateMode.REPLACE)
        yield store


def test_a_failure_is_a_row_with_dicom_casts_columns(errors):
    """And what an operator wants to know besides."""
    errors.record([failure(7)])
    (row,) = errors.rows()
    assert dict(row) | {"ChangeFeedSequence": row["ChangeFeedSequence"].value} == {
        "PartitionKey": "InvalidDicomTagError",
        "RowKey": f"{7:020d}",
        "StudyUid": "1.2",
        "SeriesUid": "1.3",
        "InstanceUid": "1.4.7",
        "Partition": "Microsoft.Default",
        "ChangeFeedSequence": 7,
        "Exception": "(0010,0020) PatientID (LO): missing",
        "RetryNumber": 0,
        "FirstSeen": START.isoformat(),
        "LastSeen": START.isoformat(),
        "LastTried": START.isoformat(),
        "NotBefore": "",
        "ResolvedAt": "",
    }


def test_a_row_says_its_data_partition(errors):
    """One that was written before it did, or by DICOM Cast, is of the default one."""
    errors.record([replace(failure(7), partition="north"), failure(8)])
    for row in errors.rows():
        if row["RowKey"] == f"{8:020d}":
            del row["Partition"]
            errors.put(row)
    told = errors.page(ErrorQuery(ErrorTable.DICOM), 10)
    assert [(row.sequence, row.partition) for row in told] == [(7, "north"), (8, "Microsoft.Default")]


def test_the_same_failure_again_counts(errors, clock):
    """One row; first and last seen tell them apart."""
    for _ in range(3):
        errors.record([failure(7)])
        clock.now += timedelta(minutes=1)
    (row,) = errors.rows()
    assert (row["RetryNumber"], row["FirstSeen"], row["LastSeen"]) == (
        2,
        START.isoformat(),
        (START + timedelta(minutes=2)).isoformat(),
    )


def test_several_tags_of_one_entry_are_several_rows(errors):
    """A row says one tag."""
    tags = ["(0010,0030) PatientBirthDate (DA): x", "(0010,0040) PatientSex (CS): x"]
    errors.record([failure(7, table=ErrorTable.INVALID_TAG, message=tag) for tag in tags])
    assert [row["RowKey"][-9:] for row in errors.rows(ErrorTable.INVALID_TAG)] == ["0010,0030", "0010,0040"]


def test_many_failures_at_once(errors):
    """More than one entity group transaction holds, of two classes, some of them known."""
    errors.record([failure(n) for n in range(50)])
    errors.record([failure(n) for n in range(250)] + [failure(n, exception="Other") for n in range(5)])
    rows = errors.rows()
    assert len(rows) == 255
    assert sum(row["RetryNumber"] for row in rows) == 50


def test_long_texts_are_cut(errors):
    """A string property holds 32 Ki characters."""
    errors.record([failure(7, message="x" * 100_000)])
    assert len(errors.rows()[0]["Exception"]) == 32_000


def test_rows_are_resolved_by_their_entry(errors, clock):
    """In all tables, of all classes; another entry's stay open, and a failure that comes again opens its row."""
    errors.record([failure(7), failure(8), failure(9), failure(7, table=ErrorTable.FHIR, exception="FhirRefusedError")])
    clock.now += timedelta(hours=1)
    errors.resolve({7, 9})
    at = clock.now.isoformat()
    assert [row["ResolvedAt"] for row in errors.rows()] == [at, "", at]
    assert [row["ResolvedAt"] for row in errors.rows(ErrorTable.FHIR)] == [at]
    errors.record([failure(7)])
    assert [row["ResolvedAt"] for row in errors.rows()] == ["", "", at]
    assert errors.rows()[0]["StudyUid"] == "1.2"


def test_what_fails_again_stays_open_in_its_table(errors):
    """All other rows of the entry are of the past."""
    tables = [ErrorTable.DICOM, ErrorTable.FHIR, ErrorTable.TRANSIENT_RETRY]
    errors.record([failure(number, table=table) for number in (7, 8) for table in tables])
    errors.resolve({7, 8}, {(ErrorTable.FHIR, 7), (ErrorTable.DICOM, 9)})
    open_ = [(table, row["RowKey"][-1]) for table in tables for row in errors.rows(table) if not row["ResolvedAt"]]
    assert open_ == [(ErrorTable.FHIR, "7")]


def as_dicom_cast_wrote(errors, sequence, table):
    """The row without what it did not have."""
    [row] = [row for row in errors.rows(table) if row["RowKey"] == f"{sequence:020d}"]
    for column in ("FirstSeen", "LastSeen", "LastTried", "NotBefore", "ResolvedAt", "Partition"):
        del row[column]
    errors.put(row, table)


@pytest.mark.parametrize(("table", "open_"), [(ErrorTable.TRANSIENT_RETRY, [8]), (ErrorTable.DICOM, [7, 8])])
def test_a_retry_that_dicom_cast_noted_is_history(errors, table, open_):
    """Nobody tries it again, so it is not open; it is told among all rows. What DICOM Cast had not synced is open."""
    errors.record([failure(number, table=table) for number in (7, 8)])
    as_dicom_cast_wrote(errors, 7, table)
    assert [row.sequence for row in errors.page(ErrorQuery(table), 10)] == open_
    assert errors.open_errors().counts[table] == len(open_)
    assert {row.sequence for row in errors.open_errors().newest} == set(open_)
    assert [row.sequence for row in errors.page(ErrorQuery(table, only_open=False), 10)] == [7, 8]


def waits(sequence, tries=1, **others):
    one = failure(sequence, table=ErrorTable.TRANSIENT_RETRY, exception="TransientError", message="status 503")
    return replace(one, tries=tries, **others)


def test_all_that_is_carried_is_found_wherever_the_feed_has_it(errors, clock):
    """With its partition, up to so many; not what is resolved, nor what DICOM Cast wrote in its time."""
    errors.record([waits(9, partition="north"), waits(2), waits(5), waits(4), waits(7)])
    as_dicom_cast_wrote(errors, 4, ErrorTable.TRANSIENT_RETRY)
    errors.resolve({5})
    carried = errors.carried(100)
    assert [(one.sequence, one.study) for one in carried] == [
        (2, ("Microsoft.Default", "1.2")),
        (7, ("Microsoft.Default", "1.2")),
        (9, ("north", "1.2")),
    ]
    assert [one.sequence for one in errors.carried(2)] == [2, 7]
    assert {(one.first_seen, one.last_tried, one.retries) for one in carried} == {(clock.now, clock.now, 0)}


def test_a_row_says_when_its_entry_was_tried_last(errors, clock):
    """To be seen again is no try; an entry that only waits for others was never tried; rows of before say when seen."""
    errors.record([waits(1), waits(2, tries=0), waits(3)])
    for row in errors.rows(ErrorTable.TRANSIENT_RETRY):
        if row["RowKey"] == f"{3:020d}":
            del row["LastTried"]
            errors.put(row, ErrorTable.TRANSIENT_RETRY)
    clock.now += timedelta(minutes=1)
    errors.record([waits(1, tries=0), waits(2, tries=0), waits(3, tries=0)])
    assert [one.last_tried for one in errors.carried(9)] == [START, None, START]
    clock.now += timedelta(minutes=1)
    errors.record([waits(number, tries=4) for number in (1, 2, 3)])
    assert {one.last_tried for one in errors.carried(9)} == {clock.now}
    assert [one.retries for one in errors.carried(9)] == [4, 4, 4]
