"""What a deployment costs in a month, as docs/deploy.md shows it: `make docs` writes the table from this arithmetic.

List prices of East US in US dollars. What a tick asks of storage is counted by tests/integration/faults/test_cost.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

MONTH_SECONDS = 30 * 24 * 3600

LEASE_REQUESTS, BLOB_WRITES, TABLE_REQUESTS = 2, 0, 5
"""Of an idle tick, at most. Storage bills what is asked of a lease as "other"."""
WRITES_OF_A_LONG_TICK = 2
"""Blob writes of a tick that lasts more than a second: when it began, and that it is over."""

SECONDS_OF_A_STUDY, TICKS_OF_A_STUDY = 3, 5
"""Assumed: work on it beyond the ticks' own seconds, and over how many ticks its arrival is spread."""
LINES_A_MINUTE = 1
"""Of the app's log where nothing happens; the host's own are off (host.json)."""
KB_OF_A_LINE = 1
"""Assumed: a record of Application Insights with its columns; the app's line itself has 290 bytes."""

GB_SECOND, FREE_GB_SECONDS = 0.000026, 100_000
READY_GB_SECOND, BUSY_GB_SECOND = 0.000004, 0.000016
EXECUTION, FREE_EXECUTIONS = 0.40 / 1e6, 250_000
LEASE_REQUEST, BLOB_WRITE, TABLE_REQUEST = 0.004 / 1e4, 0.05 / 1e4, 0.00036 / 1e4
LOG_GB = 2.30
ALERTS, ALERT = 7, 1.50
ENDPOINT, ZONE = 7.30, 0.50


@dataclass(frozen=True, slots=True)
class Deployment:
    """`memory` of an instance in GB, `every`: seconds from tick to tick. `before`: the sum with a tick every ten."""

    name: str
    studies_a_day: int
    memory: float
    every: int
    before: float
    always_ready: bool = False

    @property
    def ticks(self) -> int:
        return MONTH_SECONDS // self.every

    @property
    def busy_ticks(self) -> int:
        return min(self.ticks, self.studies_a_day * 30 * TICKS_OF_A_STUDY)

    @property
    def seconds(self) -> int:
        """An execution is billed for a second at least."""
        return self.ticks + self.studies_a_day * 30 * SECONDS_OF_A_STUDY

    @property
    def gb_seconds(self) -> float:
        return self.seconds * self.memory


DEPLOYMENTS = (
    Deployment("clinic", 50, 0.5, 2, 14.64),
    Deployment("hospital", 500, 2, 4, 27.03),
    Deployment("network", 5_000, 2, 2, 57.34, always_ready=True),
)


def compute(of: Deployment) -> float:
    """An instance that is always ready has nothing free."""
    if of.always_ready:
        return of.memory * MONTH_SECONDS * READY_GB_SECOND + of.gb_seconds * BUSY_GB_SECOND
    return max(0.0, of.gb_seconds - FREE_GB_SECONDS) * GB_SECOND


def executions(of: Deployment) -> float:
    return max(0, of.ticks - (0 if of.always_ready else FREE_EXECUTIONS)) * EXECUTION


def blobs(of: Deployment) -> float:
    return of.ticks * LEASE_REQUESTS * LEASE_REQUEST + of.busy_ticks * WRITES_OF_A_LONG_TICK * BLOB_WRITE


def tables(of: Deployment) -> float:
    """A busy tick's few requests more are a fraction of a cent."""
    return of.ticks * TABLE_REQUESTS * TABLE_REQUEST


def logs(of: Deployment) -> float:
    lines = MONTH_SECONDS / 60 * LINES_A_MINUTE + of.busy_ticks
    return lines * KB_OF_A_LINE / 1e6 * LOG_GB


def alerts(of: Deployment) -> float:  # noqa: ARG001 the same for all
    return ALERTS * ALERT


COSTS: tuple[tuple[str, Callable[[Deployment], float]], ...] = (
    ("compute", compute),
    ("executions", executions),
    ("blobs", blobs),
    ("tables", tables),
    ("logs", logs),
    ("alerts", alerts),
)


def total(of: Deployment) -> float:
    return sum(round(cost(of), 2) for _, cost in COSTS)


def cost_table() -> str:
    """The table as Markdown."""
    rows: list[tuple[str, list[str]]] = [
        ("studies a day", [f"{one.studies_a_day:,}" for one in DEPLOYMENTS]),
        ("instance", [_instance(one) for one in DEPLOYMENTS]),
        ("`syncSchedule`", [f"`*/{one.every} * * * * *`" for one in DEPLOYMENTS]),
        ("ticks", [f"{one.ticks:,}" for one in DEPLOYMENTS]),
        (f"seconds: ticks + studies * 30 * {SECONDS_OF_A_STUDY}", [f"{one.seconds:,}" for one in DEPLOYMENTS]),
        ("GB-s: seconds * GB", [f"{one.gb_seconds:,.0f}" for one in DEPLOYMENTS]),
        *((name, [f"{cost(one):.2f}" for one in DEPLOYMENTS]) for name, cost in COSTS),
        ("**sum**", [f"**{total(one):.2f}**" for one in DEPLOYMENTS]),
        ("it was, with a tick every ten seconds", [f"{one.before:.2f}" for one in DEPLOYMENTS]),
        (
            f"with `enablePrivateNetworking`: 3 endpoints at {ENDPOINT:.2f}, 5 zones at {ZONE:.2f}",
            [f"{total(one) + 3 * ENDPOINT + 5 * ZONE:.2f}" for one in DEPLOYMENTS],
        ),
    ]
    head = f"| | {' | '.join(one.name for one in DEPLOYMENTS)} |\n| :--- |{' :--- |' * len(DEPLOYMENTS)}\n"
    return head + "".join(f"| {name} | {' | '.join(cells)} |\n" for name, cells in rows)


def _instance(of: Deployment) -> str:
    return f"{of.memory:g} GB{', `alwaysReady`' if of.always_ready else ''}"
