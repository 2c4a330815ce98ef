"""`python -m tests.bench`: measures, writes docs/benchmarks.md and its plot, and fails where a bar is missed.

`--quick`: small sizes, printed; nothing is written and no bar is held.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

from local.stack import ROOT
from tests.bench import hapi, mapping, open_rows, orders, report
from tests.bench.bars import OWN_STAGES, WIRE_STAGES, bars, cost, pair
from tests.bench.others import PYTHON, dicom2fhir
from tests.bench.plan import FULL, QUICK, Sizes, rows
from tests.bench.rig import rig
from tests.bench.row import Row
from tests.bench.workloads import cr_studies, ct_studies

DOCUMENT = ROOT / "docs/benchmarks.md"
PLOT = ROOT / "docs/images/benchmarks.svg"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes; print, and write nothing")
    is_quick = parser.parse_args().quick
    measured, on_hapi, ordered = _measured(QUICK if is_quick else FULL)
    if is_quick:
        _show(measured, on_hapi, ordered)
        return
    unit, costs = mapping.baseline(), list(mapping.costs())
    rows_cost = open_rows.measured()
    held = [*bars(measured, unit, costs), *orders.bars(ordered), *hapi.bars(on_hapi), *open_rows.bars(rows_cost)]
    others = [dicom2fhir(ct_studies(1, 1_000)), dicom2fhir(cr_studies(200))]
    DOCUMENT.write_text(report.document("make bench", measured, on_hapi, held, others, unit, costs, rows_cost, ordered))
    _draw(measured)
    _print(report.bar_lines(held))
    print(f"\nwritten: {DOCUMENT.relative_to(ROOT)}, {PLOT.relative_to(ROOT)}")
    sys.exit(any(bar.fails for bar in held))


def _measured(sizes: Sizes) -> tuple[list[Row], list[hapi.Beside], list[orders.OrderCost]]:
    """Tells each row on the way."""
    started = time.monotonic()
    measured = []
    with rig() as parts:
        for row in rows(parts, sizes):
            measured.append(row)
            told = f"{row.title}{report.KINDS.get(row.kind, '')}, {row.server}, {row.latency_ms} ms"
            passed = time.monotonic() - started
            print(f"{passed:4.0f} s  {told}: {row.who} {row.per_second:,.0f} entries/s ({row.how})", flush=True)
        ordered = list(orders.measured(parts, *((20, 1) if sizes.is_quick else ())))
        on_hapi = [] if hapi.left_out() else list(hapi.measured(parts, sizes.repeats, 60 if sizes.is_quick else 600))
    return measured, on_hapi, ordered


def _show(measured: Sequence[Row], on_hapi: Sequence[hapi.Beside], ordered: Sequence[orders.OrderCost]) -> None:
    large, _ = pair(measured, "large", 0)
    unit, costs = mapping.baseline(), list(mapping.costs(mapping.SIZES[:1]))
    for server in ("memory", "sekmet"):
        print(f"\nFHIR server: {server}\n")
        _print(report.throughput_lines(measured, server))
    for lines in (
        report.stage_lines(measured),
        report.function_lines(measured),
        report.growth_lines(large),
        mapping.table(unit, costs),
        orders.lines(ordered),
        report.hapi_lines(on_hapi),
        open_rows.lines(open_rows.measured(5_000)),
        report.bar_lines([*bars(measured, unit, costs), *orders.bars(ordered), *hapi.bars(on_hapi)]),
    ):
        print()
        _print(lines)
    print("\nsmall sizes: the bars are those of `make bench`, and not held here")


def _print(lines) -> None:
    for line in lines:
        print(line)


def _draw(measured: Sequence[Row]) -> None:
    throughput = []
    for app in measured:
        if app.server == "memory" and app.who == "app" and app.kind != "rss":
            _, reference = pair(measured, app.work, app.latency_ms, "memory", app.kind)
            label = f"{app.title}{report.KINDS[app.kind].split(',')[0]}, {app.latency_ms} ms"
            throughput.append({"label": label, "app": app.per_second, "reference": reference.per_second})
    large, _ = pair(measured, "large", 0)
    growth = {
        "own": [cost(step, OWN_STAGES) for step in large.steps],
        "wire": [cost(step, WIRE_STAGES) for step in large.steps],
        "server": [step["fhir"]["cpu_seconds"] / step["entries"] * 1e6 for step in large.steps],
    }
    PLOT.parent.mkdir(exist_ok=True)
    given = json.dumps({"throughput": throughput, "growth": growth})
    subprocess.run([PYTHON, ROOT / "tests/bench/plot.py", PLOT], input=given, text=True, check=True)


if __name__ == "__main__":
    main()
