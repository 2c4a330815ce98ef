"""One measurement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `entries` were measured of `of`; `how` says what stands for the rest.

    `kind`: sync, deletes, rerun or rss. `stages` and `functions` are CPU seconds, none where they were not sampled. `server_seconds`: CPU of the FHIR server. `steps`: what each batch took.
    """

    work: str
    title: str
    server: str
    latency_ms: int
    who: str
    entries: int
    of: int
    seconds: float
    calls: float
    bytes_in: float
    stages: Mapping[str, float]
    functions: Mapping[str, float]
    server_seconds: float
    rss_mb: float
    how: str = "whole"
    kind: str = "sync"
    steps: Sequence[Json] = field(default=(), repr=False)

    @property
    def per_second(self) -> float:
        return self.entries / self.seconds

    def micros(self, stage: str) -> float:
        """CPU µs per entry."""
        return self.stages.get(stage, 0.0) / self.entries * 1e6


def at_latency(row: Row, latency_ms: int) -> Row:
    """The reference at another latency: its time without, and its calls, which come one after another."""
    if not latency_ms:
        return row
    seconds = row.seconds + row.calls * latency_ms / 1000
    return replace(row, latency_ms=latency_ms, seconds=seconds, how=f"0 ms: {row.how}; + calls x latency")


def best(rows: Sequence[Row]) -> Row:
    """The quickest: other work on the machine only ever adds."""
    return max(rows, key=lambda row: row.per_second)


def with_cpu_of(row: Row, sampled: Row) -> Row:
    """The row with the CPU times of another run of the same, whose clock the sampling has slowed."""
    return replace(row, stages=sampled.stages, functions=sampled.functions, rss_mb=sampled.rss_mb)
