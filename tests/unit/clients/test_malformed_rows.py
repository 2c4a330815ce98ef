"""Rows of the app's own tables that somebody has changed: passed over with a warning, never a fall of the status."""

import json
from types import SimpleNamespace

import pytest

from shared.clients.azure import journal_table, replay_table
from shared.clients.azure.journal_table import JournalTable
from shared.clients.azure.replay_table import ReplayTable
from shared.model.journal import Journal
from tests.fakes import NOW

GOOD = {
    "id": "7",
    "request": {"target": {"first": 1, "last": 2}},
    "state": "queued",
    "created": NOW.isoformat(),
    "updated": NOW.isoformat(),
}
MALFORMED = [
    # name, the columns beside the key
    ("no record", {}),
    ("null", {"Record": None}),
    ("a number", {"Record": 7}),
    ("no JSON", {"Record": "Nightingale^Florence {"}),
    ("JSON of another kind", {"Record": "[1]"}),
    ("a time that is none", {"Record": json.dumps({**GOOD, "created": "yesterday", "start": "yesterday", "last": 7})}),
    ("another replay's", {"Record": json.dumps({**GOOD, "id": "8", "last": 7})}),
]
each = pytest.mark.parametrize(("name", "columns"), MALFORMED, ids=[row[0] for row in MALFORMED])


class Row(dict):
    """An entity as the SDK gives it."""

    metadata = {"etag": "1"}  # noqa: RUF012 it is never written


def tables_of(name, *rows):
    table = SimpleNamespace(get_entity=lambda *_: rows[0], query_entities=lambda *_, **__: iter(rows))
    return {name: table}


@each
def test_a_replays_row(name, columns, caplog):
    """The others are told, and worked on."""
    bad, good = Row(RowKey="6", **columns), Row(RowKey="7", Record=json.dumps(GOOD))
    replays = ReplayTable(tables_of(replay_table.TABLE, bad, good), lambda: NOW)
    assert [one.id for one in replays.under_way()] == ["7"]
    assert [one.id for one in replays.latest(1)] == ["7"]
    assert replays.read("6") is None
    assert replays.cancel("6") is None
    assert "Nightingale" not in caplog.text


@each
def test_the_journal(name, columns, caplog):
    """It begins anew; a slot of the history is left out."""
    journals = JournalTable(tables_of(journal_table.TABLE, Row(RowKey="Journal", **columns)))
    assert journals.read() == Journal()
    assert journals.history(NOW) == []
    assert "Nightingale" not in caplog.text
    assert "TickTable" in caplog.text
