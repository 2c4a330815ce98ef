"""The error tables on Azurite: one row per failure, counted, cut to the limits, resolved once its entry is synced."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.data.tables import TableServiceClient, UpdateMode

from shared.clients.azure import open_rows
from shared.clients.azure.error_tables import ErrorTables
from shared.clients.azure.tables import Tables
from shared.model.failures import ErrorCount, ErrorQuery, ErrorTable, FailedEntry, digest

ORIGINALS = ("PartitionKey", "RowKey", "StudyUid", "SeriesUid", "InstanceUid", "ChangeFeedSequence", "Exception")
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
def tables(storage):
    with TableServiceClient.from_connection_string(storage) as service:
        yield service, f"t{uuid4().hex[:8]}"


@pytest.fixture
def errors(tables, clock):
    return host(*tables, clock)


@pytest.fixture
def other(tables, clock):
    """Another host."""
    return host(*tables, clock)


def host(service, prefix, clock):
    tables = Tables(service, prefix, (*ErrorTable, open_rows.TABLE))
    store = ErrorTables(tables, clock)
    store.rows = lambda table=ErrorTable.DICOM: list(tables[table].query_entities("PartitionKey ge ''"))
    store.put = lambda row, table=ErrorTable.DICOM: tables[table].update_entity(row, mode=UpdateMode.REPLACE)
    store.delete = tables[ErrorTable.DICOM].delete_entity

    def counted():
        calls = []
        tables._tables = {name: Counted(table, calls) for name, table in tables._tables.items()}
        return calls

    def forget_index():
        for row in list(tables[open_rows.TABLE].query_entities("PartitionKey ge ''")):
            tables[open_rows.TABLE].delete_entity(row)

    store.counted, store.forget_index = counted, forget_index
    return store


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


@pytest.mark.parametrize("sign", ["x", "語", "😀"])
def test_long_texts_are_cut(errors, sign):
    """A string property holds 64 KiB of UTF-16, a transaction 4 MiB; what is left out is counted."""
    errors.record([failure(n, message=sign * 100_000) for n in range(40)])
    rows = errors.rows()
    assert len(rows) == 40
    assert {row["Exception"][:100] for row in rows} == {sign * 100}
    assert all("characters left out)" in row["Exception"] for row in rows)


def opened(errors, *, study="1.2", sequences=(), partition="Microsoft.Default"):
    return sorted(errors.open_rows([(partition, study)], sequences), key=lambda row: (row.sequence, row.table))


def test_open_rows_are_found_by_their_study_and_marked(errors, clock):
    """In all tables; others' stay open, also those of the study in another partition; a failure again opens its row."""
    fhir = failure(7, table=ErrorTable.FHIR, exception="FhirRefusedError")
    errors.record([failure(7), failure(8), fhir, replace(failure(9), partition="north")])
    rows = opened(errors)
    assert [(row.table, row.sequence, row.instance) for row in rows] == [
        (ErrorTable.DICOM, 7, digest("Microsoft.Default", "1.2", "1.3", "1.4.7")),
        (ErrorTable.FHIR, 7, digest("Microsoft.Default", "1.2", "1.3", "1.4.7")),
        (ErrorTable.DICOM, 8, digest("Microsoft.Default", "1.2", "1.3", "1.4.8")),
    ]
    clock.now += timedelta(hours=1)
    errors.close(rows[:2])
    at = clock.now.isoformat()
    assert [row["ResolvedAt"] for row in errors.rows()] == [at, "", ""]
    assert [row["ResolvedAt"] for row in errors.rows(ErrorTable.FHIR)] == [at]
    assert opened(errors) == rows[2:]
    assert [row.sequence for row in opened(errors, partition="north")] == [9]
    errors.record([failure(7)])
    assert [row["ResolvedAt"] for row in errors.rows()] == ["", "", ""]
    assert [row.sequence for row in opened(errors)] == [7, 8]
    assert errors.rows()[0]["StudyUid"] == "1.2"


def test_a_row_of_no_study_is_found_by_its_sequence(errors):
    """A torn entry tells no UID."""
    torn = replace(failure(7, exception="TornEntryError"), study_instance_uid="", series_instance_uid="")
    errors.record([replace(torn, sop_instance_uid="")])
    assert opened(errors, sequences=[8]) == []
    (row,) = opened(errors, sequences=[7])
    assert errors.torn(7) == [row]
    errors.close([row])
    assert (opened(errors, sequences=[7]), errors.torn(7)) == ([], [])


class Counted:
    """A table that counts what it is asked."""

    def __init__(self, table, calls):
        self._table, self._calls = table, calls

    def __getattr__(self, name):
        self._calls.append(name)
        return getattr(self._table, name)


def test_a_study_without_open_rows_costs_no_request(errors):
    """However many others have some; one of which the last is marked has none."""
    errors.record([failure(7), replace(failure(8), study_instance_uid="1.9")])
    errors.begin()
    calls = errors.counted()
    assert opened(errors, study="1.5", sequences=range(500)) == []
    assert calls == []
    errors.close(opened(errors))
    calls.clear()
    assert opened(errors) == []
    assert calls == []


def test_another_host_knows_what_this_one_has_recorded(errors, other):
    """And this one again what that one has, once its next tick begins; a tick after one's own reads one row."""
    errors.begin()
    other.begin()
    other.record([failure(7)])
    errors.begin()
    assert [row.sequence for row in opened(errors)] == [7]
    errors.close(opened(errors))
    other.begin()
    assert opened(other) == []
    calls = other.counted()
    other.begin()
    assert calls == ["get_entity"]


def test_what_a_frozen_host_wrote_too_late_is_found(errors, other):
    """The host that works knows nothing of it until it is disowned; then its next tick does, and asks for it once."""
    errors.begin()
    other.begin()
    errors.record([waits(7)])
    other.begin()
    assert not other.is_any_carried
    errors.disown()
    other.begin()
    assert other.is_any_carried
    other.close(opened(other))
    assert not other.is_any_carried
    errors.begin()
    assert not errors.is_any_carried


def test_rows_of_before_are_indexed_once(errors, other):
    """Also DICOM Cast's own, but for its retries, which are history; not what is resolved."""
    errors.record([failure(n) for n in range(1, 5)] + [waits(5), waits(6)])
    errors.close([row for row in opened(errors) if row.sequence == 2])
    for table in (ErrorTable.DICOM, ErrorTable.TRANSIENT_RETRY):
        for row in errors.rows(table):
            if row["RowKey"][-1] in "36":
                columns = {name: value for name, value in row.items() if name in ORIGINALS}
                errors.put(columns, table)
    errors.forget_index()
    other.begin()
    assert [row.sequence for row in opened(other)] == [1, 3, 4, 5]
    assert [one.sequence for one in other.carried(9)] == [5]
    other.close(opened(other))
    assert opened(other) == []
    assert all(row["ResolvedAt"] for row in errors.rows())


def test_to_index_goes_on_where_it_was_killed(errors, other, monkeypatch):
    """100,000 rows of before may take longer than a tick."""
    monkeypatch.setattr(open_rows, "PAGE", 2)
    errors.record([failure(n) for n in range(1, 6)] + [failure(n, table=ErrorTable.FHIR) for n in range(1, 6)])
    errors.forget_index()
    kill_at(other, monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        other.begin()
    calls = other.counted()
    other.begin()
    assert len(opened(other)) == 10
    assert calls.count("submit_transaction") == 3, "the three pages of DICOM are not read again"


def kill_at(store, monkeypatch, times):
    """At so many pages."""
    indexed, pages = store._open._upsert, []

    def upsert(entities):
        pages.append(entities)
        if len(pages) == times:
            raise KeyboardInterrupt
        indexed(entities)

    monkeypatch.setattr(store._open, "_upsert", upsert)


def test_a_row_that_somebody_has_deleted_is_let_go(errors):
    """It is not made again, and the others of its transaction are marked."""
    errors.record([failure(7), failure(8)])
    rows = opened(errors)
    errors.delete(errors.rows()[0])
    errors.close(rows)
    (left,) = errors.rows()
    assert (left["RowKey"][-1], bool(left["ResolvedAt"])) == ("8", True)
    assert opened(errors) == []


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


def waits(sequence, attempts=1, **others):
    one = failure(sequence, table=ErrorTable.TRANSIENT_RETRY, exception="TransientError", message="status 503")
    return replace(one, attempts=attempts, **others)


def test_all_that_is_carried_is_found_wherever_the_feed_has_it(errors, clock):
    """With its partition, up to so many; not what is resolved."""
    errors.record([waits(9, partition="north"), waits(2), waits(5), waits(7)])
    errors.close([row for row in opened(errors) if row.sequence == 5])
    carried = errors.carried(100)
    assert [(one.sequence, one.study) for one in carried] == [
        (2, ("Microsoft.Default", "1.2")),
        (7, ("Microsoft.Default", "1.2")),
        (9, ("north", "1.2")),
    ]
    assert len(errors.carried(2)) == 2
    assert {(one.first_seen, one.last_attempt, one.retries) for one in carried} == {(clock.now, clock.now, 0)}


def test_a_row_says_when_its_entry_was_tried_last(errors, clock):
    """To be seen again is no try; an entry that only waits for others was never tried; rows of before say when seen."""
    errors.record([waits(1), waits(2, attempts=0), waits(3)])
    for row in errors.rows(ErrorTable.TRANSIENT_RETRY):
        if row["RowKey"] == f"{3:020d}":
            del row["LastTried"]
            errors.put(row, ErrorTable.TRANSIENT_RETRY)
    errors.forget_index()
    errors.begin()
    clock.now += timedelta(minutes=1)
    errors.record([waits(1, attempts=0), waits(2, attempts=0), waits(3, attempts=0)])
    assert [one.last_attempt for one in errors.carried(9)] == [START, None, START]
    clock.now += timedelta(minutes=1)
    errors.record([waits(number, attempts=4) for number in (1, 2, 3)])
    assert {one.last_attempt for one in errors.carried(9)} == {clock.now}
    assert [one.retries for one in errors.carried(9)] == [4, 4, 4]


def test_what_is_carried_anew_has_all_its_time(errors, clock):
    """That it was carried once, and synced, gives it no less."""
    errors.record([waits(1, attempts=4)])
    errors.close(opened(errors))
    clock.now += timedelta(days=30)
    errors.record([waits(1, attempts=4)])
    (carried,) = errors.carried(9)
    assert (carried.first_seen, carried.retries) == (clock.now, 3)


def test_studies_that_no_entry_told_of_have_a_row_each(errors, other):
    """By study and data partition; each counts on, is found by its study, also by another host, and is closed alone."""
    whole = replace(failure(0, table=ErrorTable.TRANSIENT_FAILURE), series_instance_uid="", sop_instance_uid="")
    errors.record([whole, replace(whole, partition="north"), replace(whole, study_instance_uid="1.9")])
    errors.record([whole])
    query = ErrorQuery(ErrorTable.TRANSIENT_FAILURE)
    rows = [(row.study_instance_uid, row.partition, row.retry_number) for row in errors.page(query, 9)]
    assert rows == [("1.2", "Microsoft.Default", 1), ("1.2", "north", 0), ("1.9", "Microsoft.Default", 0)]
    other.begin()
    (found,) = other.open_rows([("north", "1.2")], [])
    other.close([found])
    assert [row.partition for row in other.page(query, 9)] == ["Microsoft.Default"] * 2


def test_rows_are_counted_and_their_classes_named(errors):
    """Of the query that a page is of; the classes are all that the table has, open or not."""
    known = ["A", "B", "C"]
    errors.record([failure(n, exception=known[n % 3]) for n in range(1, 7)])
    errors.close(errors.open_rows([("Microsoft.Default", "1.2")], [1])[:2])
    assert errors.count(ErrorQuery(ErrorTable.DICOM)) == ErrorCount(4, known)
    assert errors.count(ErrorQuery(ErrorTable.DICOM, only_open=False)) == ErrorCount(6, known)
    assert errors.count(ErrorQuery(ErrorTable.DICOM, only_open=False, exception="B")) == ErrorCount(2, known)
    assert errors.count(ErrorQuery(ErrorTable.DICOM, study_instance_uid="1.9")) == ErrorCount(0, known)
    assert errors.count(ErrorQuery(ErrorTable.FHIR)) == ErrorCount(0, [])
