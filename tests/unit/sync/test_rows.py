"""Rows are written under the lease: a host that was frozen meanwhile says that they came too late."""

from dataclasses import dataclass

import pytest

from shared.errors import LeaseLostError
from shared.model.failures import ErrorTable, FailedEntry
from shared.sync.record.rows import ErrorRows
from tests.fakes import FakeErrors, FakeLease, entry, ports


@dataclass
class Disowned(FakeErrors):
    times: int = 0

    def disown(self):
        self.times += 1


@pytest.mark.parametrize("write", ["record", "resolve"])
@pytest.mark.parametrize(
    ("checks", "written", "disowned"),
    [
        (2, 1, 0),
        (1, 1, 1),  # frozen behind the first look at the lease: what was sent arrives
        (0, 0, 0),
    ],
)
def test_what_was_written_after_the_lease_had_ended_is_disowned(write, checks, written, disowned):
    """The host that works now has looked before these came, and looks again."""
    errors = Disowned()
    failure = FailedEntry.of(entry(1), ErrorTable.TRANSIENT_RETRY, "TransientError", "503")
    errors.record([failure] if write == "resolve" else [])
    rows = ErrorRows(ports(errors=errors, lease=FakeLease(checks=checks)), ports().watermarks.read())
    try:
        rows.record([failure]) if write == "record" else rows.resolve(errors.open_())
    except LeaseLostError:
        assert checks < 2
    else:
        assert checks == 2
    assert len(errors.open_(ErrorTable.TRANSIENT_RETRY)) == (written if write == "record" else 1 - written)
    assert errors.times == disowned
