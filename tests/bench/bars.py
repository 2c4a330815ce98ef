"""The bars: what the measurements must reach. Ratios are against the reference of the same run, on the same server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.mapping import Cost
from tests.bench.row import Row

OWN_STAGES = ("feed JSON", "map", "merge", "storage", "rest")
WIRE_STAGES = ("FHIR JSON", "HTTP")


@dataclass(frozen=True, slots=True)
class Bar:
    """`limit` is the least, or where `is_most` the most.

    `is_of_machine`: of work against a wait, and so of how fast the machine is; it is told, and fails nothing.
    """

    name: str
    limit: float
    measured: float
    unit: str
    is_most: bool = False
    is_of_machine: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured <= self.limit if self.is_most else self.measured >= self.limit

    @property
    def fails(self) -> bool:
        """Whether `make bench` is to fail for it."""
        return not self.is_met and not self.is_of_machine

    def __str__(self) -> str:
        sign = "≤" if self.is_most else "≥"
        verdict = "met" if self.is_met else "**missed**"
        measured = f"{self.measured:,.{0 if self.measured >= 100 else 1 if self.measured >= 10 else 2}f}"
        return f"| {self.name} | {sign} {self.limit:g} {self.unit} | {measured} {self.unit} | {verdict} |"


def bars(rows: Sequence[Row], unit: float, costs: Sequence[Cost]) -> Iterator[Bar]:
    """Those of the memory server: it is quick enough for the client's own cost to show.

    What the CPU alone bounds is held as a ratio of the same run. `unit`: µs of `json.loads` of one instance's metadata.
    """
    for work, title, calls, delayed in (
        ("ct", "1,000-instance CT studies", 100, 200),
        ("cr", "one-instance studies", 4, 20),
    ):
        app, reference = pair(rows, work, 0)
        yield Bar(f"{title}: fewer FHIR calls", calls, _calls(reference) / _calls(app), "x")
        if work == "ct":
            yield Bar(f"{title}: entries/s at 0 ms", 50, app.per_second / reference.per_second, "x")
        else:  # seconds of a tick are too few here: 3.7, 4.1, 4.9 and 5.3 were seen
            yield Bar(f"{title}: less CPU per entry at 0 ms", 2, _cpu(reference) / _cpu(app), "x")
        app, reference = pair(rows, work, 20)
        ratio = app.per_second / reference.per_second
        yield Bar(f"{title}: entries/s at 20 ms", delayed, ratio, "x", is_of_machine=True)
    app, reference = pair(rows, "ct", 0, kind="deletes")
    yield Bar("half of it deleted: entries/s at 0 ms", 50, app.per_second / reference.per_second, "x")
    worst = max(cost.together for cost in costs) / unit
    yield Bar("map and merge, per instance, to `json.loads` of its metadata", 0.1, worst, "x", is_most=True)
    large, _ = pair(rows, "large", 0)
    yield Bar("large study: own cost, second half of the batches to the first", 1.2, growth(large), "x", is_most=True)
    for row in rss_rows(rows):
        yield Bar(f"peak RSS, a batch of {row.of:,} entries: {row.title}", 300, row.rss_mb, "MB", is_most=True)


def pair(
    rows: Sequence[Row], work: str, latency_ms: int, server: str = "memory", kind: str = "sync"
) -> tuple[Row, Row]:
    """The app's and the reference's row."""
    wanted = (work, latency_ms, server, kind)
    found = {row.who: row for row in rows if (row.work, row.latency_ms, row.server, row.kind) == wanted}
    return found["app"], found["reference"]


def rss_rows(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.kind == "rss"]


def growth(row: Row) -> float:
    """CPU time of our own per entry, second half of the batches to the first: 1 is linear."""
    half = len(row.steps) // 2
    first, second = ([cost(step, OWN_STAGES) for step in steps] for steps in (row.steps[:half], row.steps[half:]))
    return (sum(second) / len(second)) / (sum(first) / len(first))


def cost(step: dict, stages: Sequence[str]) -> float:
    """CPU µs per entry of a batch."""
    return sum(step["stages"].get(stage, 0.0) for stage in stages) / step["entries"] * 1e6


def _cpu(row: Row) -> float:
    """CPU µs per entry, of all stages."""
    return sum(row.stages.values()) / row.entries * 1e6


def _calls(row: Row) -> float:
    return row.calls / row.entries
