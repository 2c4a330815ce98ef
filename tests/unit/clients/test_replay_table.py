"""Rows of replays that an earlier release wrote."""

import json
from types import SimpleNamespace

from shared.clients.azure.replay_table import TABLE, ReplayTable
from shared.model.replay import ReplayRequest, SequenceRange
from tests.fakes import NOW


class Row(dict):
    """An entity as the SDK gives it."""

    @property
    def metadata(self):
        return {"etag": "1"}


def test_a_row_of_before_asks_for_no_patients():
    """It has no such field, nor has its request."""
    record = {
        "id": "7",
        "request": {"target": {"first": 1, "last": 2}, "dry_run": True},
        "state": "queued",
        "created": NOW.isoformat(),
        "updated": NOW.isoformat(),
    }
    row = Row(RowKey="7", Record=json.dumps(record))
    table = SimpleNamespace(get_entity=lambda *_: row)
    replay = ReplayTable({TABLE: table}, lambda: NOW).read("7")
    assert replay.request == ReplayRequest(SequenceRange(1, 2), dry_run=True, patients=False)
