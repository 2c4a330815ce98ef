"""The measurements as Markdown."""

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from local.stack import ROOT
from tests.bench import hapi, mapping, open_rows, orders
from tests.bench.bars import OWN_STAGES, WIRE_STAGES, Bar, cost, growth, pair, rss_rows
from tests.bench.mapping import Cost
from tests.bench.others import Dicom2Fhir
from tests.bench.row import Row
from tests.bench.workloads import EXAMINATIONS, INSTANCES

STAGES = ("feed JSON", "map", "merge", "FHIR JSON", "HTTP", "storage", "rest")
KINDS = {"sync": "", "deletes": ": half of it deleted", "rerun": ": all of it again, nothing to write"}


def machine() -> str:
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert memory
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {int(memory[1]) / 2**20:.0f} GB of memory, Python {platform.python_version()}, {platform.system()}"


def commit() -> str:
    """What was measured."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, cwd=ROOT, text=True, capture_output=True, check=False).stdout.strip() or "unknown"


def bar_lines(bars: Sequence[Bar]) -> Iterator[str]:
    yield "| bar | limit | measured | |"
    yield "| :--- | ---: | ---: | :--- |"
    yield from map(str, bars)


def throughput_lines(rows: Sequence[Row], server: str) -> Iterator[str]:
    yield (
        "| work | FHIR latency | app entries/s | reference entries/s | ratio | app calls per entry | reference | ratio "
        "| app bytes to FHIR per entry | reference | measured: app; reference |"
    )
    yield "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- |"
    for app in rows:
        if app.server != server or app.who != "app" or app.kind == "rss":
            continue
        _, reference = pair(rows, app.work, app.latency_ms, server, app.kind)
        calls = [row.calls / row.entries for row in (app, reference)]
        yield (
            f"| {app.title}{KINDS[app.kind]} | {app.latency_ms} ms | {app.per_second:,.0f} | {reference.per_second:,.1f} "
            f"| {app.per_second / reference.per_second:,.1f} | {calls[0]:.4f} | {calls[1]:.2f} | {_over(calls[1], calls[0])} "
            f"| {app.bytes_in / app.entries:,.0f} | {reference.bytes_in / reference.entries:,.0f} | {app.how}; {reference.how} |"
        )


def stage_lines(rows: Sequence[Row]) -> Iterator[str]:
    yield f"| work | who | {' | '.join(STAGES)} | together | the FHIR server's | peak RSS MB |"
    yield f"| :--- | :--- |{' ---: |' * (len(STAGES) + 3)}"
    for row in rows:
        if row.latency_ms == 0 and row.server == "memory" and row.kind != "rss":
            told = [row.micros(stage) for stage in STAGES]
            server = row.server_seconds / row.entries * 1e6
            figures = " | ".join(f"{figure:,.0f}" for figure in (*told, sum(told), server))
            rss = f"{row.rss_mb:,.0f}" if row.who == "app" else ""
            yield f"| {row.title}{KINDS[row.kind]} | {row.who} | {figures} | {rss} |"


def function_lines(rows: Sequence[Row]) -> Iterator[str]:
    yield "| work | function | CPU µs per entry | of all |"
    yield "| :--- | :--- | ---: | ---: |"
    for row in rows:
        if row.latency_ms == 0 and row.server == "memory" and row.who == "app" and row.kind != "rss":
            whole = sum(row.stages.values())
            most = sorted(row.functions.items(), key=lambda item: -item[1])[:6]
            for name, seconds in most:
                micros = seconds / row.entries * 1e6
                yield f"| {row.title}{KINDS[row.kind]} | `{name}` | {micros:,.0f} | {seconds / whole:.0%} |"


def growth_lines(large: Row) -> Iterator[str]:
    yield "| batch | own CPU µs per entry | wire: FHIR JSON and HTTP | the FHIR server's | bytes to FHIR per entry |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for number, step in enumerate(large.steps, 1):
        fhir, entries = step["fhir"], step["entries"]
        server, sent = fhir["cpu_seconds"] / entries * 1e6, fhir["bytes_in"] / entries
        yield f"| {number} | {cost(step, OWN_STAGES):,.0f} | {cost(step, WIRE_STAGES):,.0f} | {server:,.0f} | {sent:,.0f} |"


def dicom2fhir_lines(others: Sequence[Dicom2Fhir], rows: Sequence[Row]) -> Iterator[str]:
    yield "| work | dicom2fhir: digested | CPU µs per instance | app: map, merge, FHIR JSON | ratio |"
    yield "| :--- | ---: | ---: | ---: | ---: |"
    for one in others:
        app, _ = pair(rows, one.work.name, 0)
        own = sum(app.micros(stage) for stage in ("map", "merge", "FHIR JSON"))
        theirs = one.cpu_seconds / max(1, one.done) * 1e6
        yield f"| {one.work.title} | {one.done:,} of {one.work.entries:,} | {theirs:,.0f} | {own:,.0f} | {theirs / own:,.0f} |"


def hapi_lines(seen: Sequence[hapi.Beside]) -> Iterator[str]:
    """Why there are none, where this machine cannot start it."""
    why = hapi.left_out()
    return iter([why]) if why else hapi.lines(seen)


def document(
    command: str,
    rows: Sequence[Row],
    on_hapi: Sequence[hapi.Beside],
    bars: Sequence[Bar],
    others: Sequence[Dicom2Fhir],
    unit: float,
    costs: Sequence[Cost],
    rows_cost: open_rows.OpenRowCost,
    ordered: Sequence[orders.OrderCost],
) -> str:
    """docs/benchmarks.md."""
    template = (Path(__file__).parent / "benchmarks.md.in").read_text()
    large, _ = pair(rows, "large", 0)
    whole = sum(EXAMINATIONS.values())
    parts = {
        "command": command,
        "machine": machine(),
        "commit": commit(),
        "day": ", ".join(f"{name} {share / whole:.0%}" for name, share in EXAMINATIONS.items()),
        "day_instances": ", ".join(f"{name} {least}-{most}" for name, (least, most) in INSTANCES.items()),
        "bars": bar_lines(bars),
        "memory": throughput_lines(rows, "memory"),
        "sekmet": throughput_lines(rows, "sekmet"),
        "hapi": hapi_lines(on_hapi),
        "stages": stage_lines(rows),
        "functions": function_lines(rows),
        "growth": growth_lines(large),
        "growth_ratio": f"{growth(large):.2f}",
        "rss": (f"- {row.title}: {row.rss_mb:,.0f} MB ({row.how} synced)" for row in rss_rows(rows)),
        "open_rows": open_rows.lines(rows_cost),
        "orders": orders.lines(ordered),
        "dicom2fhir": dicom2fhir_lines(others, rows),
        "baseline": f"{unit:.0f}",
        "mapping": mapping.table(unit, costs),
    }
    for name, part in parts.items():
        template = template.replace(f"@{name}@", part if isinstance(part, str) else "\n".join(part))
    return template


def _over(more: float, less: float) -> str:
    return f"{more / less:,.0f}" if less else "no calls"
