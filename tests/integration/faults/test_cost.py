"""What an idle tick asks of storage: docs/cost.py computes with it what a deployment costs."""

from docs import cost
from shared.model.outcome import Outcome


def test_an_idle_tick_asks_no_more_of_storage_than_the_costs_say(world):
    """Nothing is written: neither a row nor a blob."""
    world.store()
    for _ in range(3):  # synced; idle, and written down; idle
        record = world.tick()
    assert record.outcome is Outcome.IDLE
    blobs, tables = len(world.blobs.seen), len(world.tables.seen)
    world.tick()
    of_lease = world.blobs.seen[blobs:]
    assert [one.action for one in of_lease] == ["acquire", "release"]
    assert len(of_lease) == cost.LEASE_REQUESTS
    asked = world.tables.seen[tables:]
    assert {one.method for one in asked} == {"GET"}
    assert len(asked) <= cost.TABLE_REQUESTS


def test_no_column_costs_more_than_twice_what_it_did():
    """With a tick every ten seconds, five times as rarely."""
    assert [one.name for one in cost.DEPLOYMENTS if cost.total(one) > 2 * one.before] == []
