"""Many rows for one table: as few transactions as they fit, some of them at once."""

from threading import Barrier, Lock

import pytest

from shared.clients.azure.row_transactions import MAX_ROWS, TRANSACTIONS_AT_ONCE, write_rows

ROWS = [{"PartitionKey": "open", "RowKey": str(number)} for number in range(2 * TRANSACTIONS_AT_ONCE * MAX_ROWS)]


class Table:
    """Takes transactions, all of those that come at once together; falls over those that begin with a row of `bad`."""

    def __init__(self, bad=()):
        self.bad, self.sent, self._lock = bad, [], Lock()
        self._together = Barrier(TRANSACTIONS_AT_ONCE, timeout=20)

    def submit_transaction(self, operations):
        self._together.wait()
        rows = [row for _, row, _ in operations]
        with self._lock:
            self.sent.append(rows)
        if rows[0]["RowKey"] in self.bad:
            raise OSError("refused")


def test_some_at_once():
    """Each row once, a hundred in a transaction; as many transactions as may be are under way together."""
    write_rows(table := Table(), "upsert", ROWS)
    assert {len(rows) for rows in table.sent} == {MAX_ROWS}
    assert sorted(row["RowKey"] for rows in table.sent for row in rows) == sorted(row["RowKey"] for row in ROWS)


def test_one_that_fails_is_told():
    """Once all the others are through."""
    table = Table(bad=("100",))
    with pytest.raises(OSError, match="refused"):
        write_rows(table, "upsert", ROWS)
    assert len(table.sent) == len(ROWS) / MAX_ROWS


def test_no_rows_are_no_transaction():
    """Nor an error."""
    write_rows(table := Table(), "upsert", [])
    assert table.sent == []
