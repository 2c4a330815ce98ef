"""Measures how fresh FHIR is, beside the same on the code of a commit: `python -m tests.bench.fresh [ROW ...]`.

Prints each row as it is measured. Ends with 1 where a bar is missed. `--write` puts the rows into docs/freshness.md, beside those of
others that were measured before, and its picture.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from tests.bench import mapping
from tests.bench.fresh.parts import Parts
from tests.bench.fresh.report import table, write
from tests.bench.fresh.row import Result, Row
from tests.bench.fresh.rows import ROWS
from tests.bench.fresh.tree import BASELINE, HERE, baseline
from tests.bench.report import commit
from tests.bench.rig import rig


def main() -> None:
    arguments = _parser().parse_args()
    if unknown := set(arguments.rows) - {row.name for row in ROWS}:
        sys.exit(f"no row {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}")
    if arguments.write and (arguments.quick or not arguments.baseline):
        sys.exit("--write goes with whole sizes and a baseline")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the worktree goes with us
    chosen = [row for row in ROWS if row.name in (arguments.rows or [one.name for one in ROWS])]
    results = measured(chosen, arguments.baseline, is_quick=arguments.quick)
    print("", *table(results), sep="\n")
    if arguments.write:
        at, unit = commit(), mapping.baseline()
        write([replace(result, at=at, unit=unit) for result in results], arguments.baseline)
    if arguments.quick:
        print("\nsmall sizes: the bars are not held")
    sys.exit(not arguments.quick and any(result.is_missed for result in results))


def measured(rows: Sequence[Row], commit: str, *, is_quick: bool) -> list[Result]:
    """Tells each on the way; `commit` of the baseline, empty: none is measured."""
    began = time.monotonic()
    results = []
    with rig() as started, baseline(commit) if commit else nullcontext() as before:
        parts = Parts(started)
        for row in rows:
            result = row.measured(parts, HERE, before, is_quick)
            results.append(result)
            print(f"{time.monotonic() - began:5.0f} s", *result.lines(), *result.notes(), sep="\n  ", flush=True)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fresh", description=__doc__)
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all, or these: {names}")
    parser.add_argument("--baseline", metavar="COMMIT", default=BASELINE, help="measured too; empty: nothing is")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the rows run")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/freshness.md")
    return parser


if __name__ == "__main__":
    main()
