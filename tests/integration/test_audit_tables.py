"""The audit's two tables on real table storage: one round at a time, and a row for each study that differed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.data.tables import TableServiceClient

from shared.clients.azure import audit_table, difference_table
from shared.clients.azure.audit_table import AuditTable
from shared.clients.azure.difference_table import DifferenceTable
from shared.clients.azure.tables import Tables
from shared.errors import LeaseLostError, RoundUnderWayError
from shared.model.audit import Difference, DifferenceQuery, Kind, Phase, Place, RoundRequest, RoundState

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


@pytest.fixture
def tables(storage):
    with TableServiceClient.from_connection_string(storage) as service:
        yield Tables(service, f"t{uuid4().hex[:8]}", [audit_table.TABLE, difference_table.TABLE])


@pytest.fixture
def hosts(tables):
    """Two, each with what it remembers of the row's version."""
    clock = iter(NOW + timedelta(seconds=number) for number in range(1000))
    return AuditTable(tables, lambda: next(clock)), AuditTable(tables, lambda: next(clock))


def test_a_round_is_kept_as_it_is(hosts):
    """Whatever it holds; the other host reads it so."""
    one, other = hosts
    assert (one.current(), one.latest(5), one.cancel()) == (None, [], None)
    begun = one.create(RoundRequest(is_deep=True))
    working = replace(begun, state=RoundState.RUNNING, place=Place(Phase.UNDATED, "north", offset=200, after="1.2"))
    assert one.write(working.counting(compared=7).not_knowing("nothing")) == other.current()


def test_one_round_at_a_time_and_those_before_it_stay(hosts):
    """One that only waits for its time makes room."""
    one, other = hosts
    one.create(RoundRequest(), not_before=NOW)
    first = other.create(RoundRequest())
    with pytest.raises(RoundUnderWayError):
        one.create(RoundRequest())
    other.write(replace(first, state=RoundState.RUNNING, not_before=NOW))
    with pytest.raises(RoundUnderWayError):
        one.create(RoundRequest())
    ended = other.write(replace(first, state=RoundState.DONE))
    second = one.create(RoundRequest(dry_run=True))
    assert one.write(replace(second, number=2)).number == 2
    assert [found.id for found in other.latest(5)] == [second.id, first.id]
    assert other.latest(5)[1] == ended


def test_a_round_that_was_stopped_meanwhile_is_not_written_over(hosts):
    """Its host is told; and who writes after another host, without its lease, stops."""
    one, other = hosts
    begun = one.create(RoundRequest())
    one.current()
    assert other.cancel().state is RoundState.CANCELLED
    assert one.write(replace(begun, number=3)).state is RoundState.CANCELLED
    begun = one.create(RoundRequest())
    other.current()
    one.write(replace(begun, number=4))
    with pytest.raises(LeaseLostError):
        other.write(replace(begun, number=5))


def test_who_only_looks_at_the_rounds_lets_nobody_be_written_over(hosts):
    """A round that begins looks at those before it, and a person may stop it at the same moment."""
    one, other = hosts
    begun = one.create(RoundRequest())
    assert one.current() == begun
    other.cancel()
    assert one.latest(5)[0].state is RoundState.CANCELLED
    assert one.write(replace(begun, state=RoundState.RUNNING)).state is RoundState.CANCELLED


@pytest.fixture
def interrupted(tables):
    """A process of which one thread has read the current round, and another reads it again once a host has written."""
    between = []

    def now():
        while between:
            between.pop()()
            page.current()
        return NOW

    page = AuditTable(tables, now)
    return page, between


def test_a_page_that_is_read_meanwhile_has_no_request_undo_what_a_host_wrote(hosts, interrupted):
    """The request begins anew from what the host has written, whichever thread of its process reads that first."""
    (host, _), (page, between) = hosts, interrupted
    begun = host.create(RoundRequest(), not_before=NOW)
    working = replace(begun, state=RoundState.RUNNING).counting(compared=7)
    between.append(lambda: host.write(working))
    with pytest.raises(RoundUnderWayError):
        page.create(RoundRequest())
    assert host.current() == working
    between.append(lambda: host.write(working.counting(compared=1)))
    assert page.cancel().counts.compared == 8
    stopped = replace(host.create(RoundRequest()), state=RoundState.STOPPED, deletes_waiting=12)
    host.write(stopped)
    between.append(lambda: host.write(replace(stopped, state=RoundState.FAILED)))
    assert page.confirm(stopped.id) is None
    assert host.current().state is RoundState.FAILED


def test_a_person_s_word_is_for_one_stopped_round(hosts):
    """By its id, and for as many deletes as it told."""
    one, _ = hosts
    begun = one.create(RoundRequest())
    assert one.confirm(begun.id) is None
    stopped = replace(begun, state=RoundState.STOPPED, deletes_waiting=12).counting(deleted=1)
    one.write(stopped)
    assert one.confirm("7") is None
    going_on = one.confirm(begun.id)
    assert (going_on.state, going_on.deletes_confirmed, going_on.deletes_waiting) == (RoundState.RUNNING, 13, 0)


def test_differences_are_rows_that_are_found_by_what_they_are(tables):
    """Open or not, by kind, seen before a round or in it, page by page."""
    table = DifferenceTable(tables)
    rows = [
        Difference(f"1.2.{number}", "north", kind, "ImagingStudy.series", NOW, NOW + timedelta(hours=number))
        for number, kind in enumerate([Kind.MISSING, Kind.GONE, Kind.GONE, Kind.SERIES])
    ]
    for row in rows:
        table.write(replace(row, absent_since=NOW if row.kind is Kind.GONE else None))
    table.write(replace(rows[3], resolved_at=NOW, is_healed=True, failure="none"))
    assert table.of(("north", "1.2.1")) == replace(rows[1], absent_since=NOW)
    assert table.of(("south", "1.2.1")) is None
    table.write(rows[1])
    assert table.of(("north", "1.2.1")).absent_since is None
    keys = [key for key, _ in table.open(10)]
    assert [key for key, _ in table.open(2)] + [key for key, _ in table.open(2, keys[1])] == keys == sorted(keys)
    assert {row.kind for _, row in table.open(10, seen_before=NOW + timedelta(hours=1))} == {Kind.MISSING}
    assert len(table.open(10, kind=Kind.GONE)) == 2
    assert len(table.page(DifferenceQuery(only_open=False))) == 4
    assert {kind: count for kind, count in table.counts().items() if count} == {Kind.MISSING: 1, Kind.GONE: 2}
    table.let_go(NOW + timedelta(seconds=1))
    assert len(table.page(DifferenceQuery(only_open=False))) == 3


def test_a_row_that_somebody_spoiled_is_passed_over(tables, caplog):
    """And told."""
    table = DifferenceTable(tables)
    table.write(Difference("1.2.1", "north", Kind.GONE, "", NOW, NOW))
    ((key, _),) = table.open(10)
    tables[difference_table.TABLE].upsert_entity({"PartitionKey": "Study", "RowKey": key, "Kind": "odd"})
    assert table.open(10) == []
    assert table.of(("north", "1.2.1")) is None
    assert key in caplog.text
    table.write(Difference("1.2.2", "north", Kind.GONE, "", NOW, NOW))
    table.write(Difference("1.2.3", "north", Kind.GONE, "", NOW, NOW))
    assert len(table.open(2)) == 2  # a page of fewer would be taken for the last one
