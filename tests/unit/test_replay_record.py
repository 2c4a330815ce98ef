"""What a replay keeps of what it met: as much as its row in storage takes, the rest counted."""

import pytest
from pydantic import TypeAdapter

from shared.model.replay import PlannedWrite, Replay, ReplayError, ReplayRequest, ReplayState, SequenceRange
from shared.model.stored_text import stored_bytes
from tests.fakes import NOW

REPLAY = Replay("1", ReplayRequest(SequenceRange(1, 9)), ReplayState.RUNNING, NOW, NOW)
PROPERTY_BYTES = 2**16


def row_bytes(replay):
    return stored_bytes(TypeAdapter(Replay).dump_json(replay).decode())


def met(count, message):
    return [ReplayError(10**18, "1." * 31 + "1", message) for _ in range(count)]


@pytest.mark.parametrize("message", ["x" * 5000, "語" * 5000, "😀" * 5000, '"' * 5000, "\n" * 300, "x" * 300, "y"])
@pytest.mark.parametrize("at_once", [1, 7, 200])
def test_whatever_it_meets_its_row_is_stored(message, at_once):
    """64 KiB of UTF-16 is what a property takes: above that storage refuses the row, in this tick and in all that come."""
    replay = REPLAY
    writes = [PlannedWrite("PUT", "ImagingStudy/" + "x" * 64, "1." * 31 + "1")] * 30
    for start in range(0, 200, at_once):
        replay = replay.adding(met(min(at_once, 200 - start), message), writes).waiting(message)
        assert row_bytes(replay) <= PROPERTY_BYTES
    assert replay.errors
    assert len(replay.errors) <= 50
    assert len(replay.errors) + replay.more_errors == 200
    assert len(replay.writes) + replay.more_writes == 30 * len(range(0, 200, at_once))
    ended = replay.failing(ReplayError(None, "", "why it ended"))
    assert (ended.errors[-1].message, ended.state) == ("why it ended", ReplayState.FAILED)
    assert len(ended.errors) + ended.more_errors == 201
    assert row_bytes(ended) <= PROPERTY_BYTES


def test_few_errors_are_all_kept():
    """In their order."""
    replay = REPLAY.adding(met(1, "a")).adding(met(2, "b"))
    assert ([one.message for one in replay.errors], replay.more_errors) == (["a", "b", "b"], 0)
