"""The rows as Markdown and as a picture, and the document that keeps them."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from local.stack import ROOT
from tests.bench.fresh.row import HEADINGS, Measured, Result
from tests.bench.fresh.rows import ROWS
from tests.bench.others import PYTHON
from tests.bench.report import machine

DOCUMENT = ROOT / "docs/freshness.md"
PICTURE = ROOT / "docs/images/freshness.svg"
KEPT = ROOT / "docs/freshness.json"
"""The figures, for a row that is measured anew to stand beside the others."""
_HEAD = """# Freshness

Written by `make bench-fresh` on {machine}, each row beside the code of {baseline} in the same run. One row:
`make bench-fresh ROW=name`. A bar that is missed stands here as missed. "About" is before what was not measured to its end;
the notes below the table say of what it is reckoned.

The FHIR server is the benchmark's own in memory, with the latency that the row names, where no other is named; the DICOM service
is the local one on a database file; storage is Azurite. Each is a process of its own, as the app is, and the app runs with
its default settings; all of them share the machine. What takes time here takes mostly CPU, and machines differ from day to day:
the last table says what was measured when, and how long `json.loads` of one CT instance's metadata took then. Where the bars of
seconds were set it took 290 µs.

![Each figure as a share of its bar](images/freshness.svg)

"""
_LIMITS = """
## What keeps the missed bars from being met

The notes above have the figures that these lines speak of.

"""
LIMITS = {
    "invalid-tag": (
        "each study has two rows, its own and one in the index of open rows. The SDK sends each row as a request of its own "
        "in a multipart body, and reads each answer, with Python's email package: that takes half of the app's CPU time, and "
        "storage takes as long again. The baseline wrote one row after another, so its rate hangs on how quickly storage "
        "answers: it was 67 to 127 studies/s on this machine."
    ),
    "replay-errors": (
        "a replay trusts nothing that is stored, so each study is read from the archive. Reading alone opens these pages "
        "and drops them; the app also maps, merges and writes the studies, and resolves their rows, in one Python process: "
        "its CPU time alone is more than 1.3 times the reads."
    ),
    "ct-server": (
        "one Python process reads and maps, so the app's CPU time alone is more than 1.25 times the longer part. And a slice "
        "is read to its end before its studies are written, so that none is written twice: the server's time is added."
    ),
    "cr-server": (
        "the FHIR server also answers two searches for each study before its transaction, so it is busy for nearly all of the "
        "time that the bar allows, and would have to be so from the first moment on. But the app reads the slice and maps its "
        "first studies before it asks for anything, and its own CPU time mostly adds to the server's on these two cores."
    ),
}
"""Of rows whose bars are missed: what they spend, whatever is done at once."""
_ARCHIVES = (
    ("a hospital of 100,000 examinations", 100_000),
    ("a group of hospitals, a million", 1_000_000),
    ("a region, five million", 5_000_000),
    ("all imaging of a country, 43 million", 43_000_000),
)
INSTANCES_OF_AN_EXAMINATION = 73
"""The country's 43 million examinations are 100 instances a second."""
BUSIEST_HOUR = 4
"""Times the average of the year: nights and week-ends have little."""
_SECONDS_OF_A_YEAR = 365 * 24 * 3600
_CAPACITY = """
## Which archive one worker holds

One worker drained the backlog of `{row}` at {drained:,.0f} instances a second. An examination is taken for {each} instances, the
busiest hour for {times} times the year's average.

| archive, examinations a year | instances/s | in the busiest hour | share of what one worker drains |
| :--- | ---: | ---: | ---: |
"""
_SPLIT = """
One deployment follows one DICOM service, with all its data partitions: the feed is one sequence, and the lease lets one
worker follow it. What is split is the sources. Several DICOM services have a deployment each, which may write to one FHIR server,
and share a storage account by `TableStore__TableNamePrefix`. One service's feed cannot be shared out among workers; what
helps there is a faster FHIR server, or more of it at once (`DicomCast__MaxConcurrency`), as long as the worker's own CPU
is not what is full: above some {most:,.0f} instances/s it is.
"""


def table(results: Sequence[Result]) -> Iterator[str]:
    """Of all bars."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| :--- | :--- | ---: | ---: | ---: | :--- | :--- |"
    for result in results:
        yield from result.lines()


def write(measured: Sequence[Result], baseline: str) -> None:
    """docs/freshness.md, its figures and its picture: these rows, and those that are kept of the others."""
    kept = {one.row.name: one for one in (*read_kept(), *measured)}
    results = [kept[row.name] for row in ROWS if row.name in kept]
    KEPT.write_text(_KEPT.dump_json([_Kept.of(one) for one in results], indent=1).decode() + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(results, baseline), encoding="utf-8")
    draw(results)


def read_kept() -> list[Result]:
    """Of rows that are measured still, with the figures that they tell still."""
    if not KEPT.exists():
        return []
    rows = {row.name: row for row in ROWS}
    kept = [one for one in _KEPT.validate_json(KEPT.read_bytes()) if one.row in rows]
    return [
        Result(rows[one.row], one.now, one.baseline, one.at, one.unit)
        for one in kept
        if all(bar.figure in one.now.figures for bar in rows[one.row].bars)
    ]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A result in the file; its row is known by its name."""

    row: str
    now: Measured
    baseline: Measured | None
    at: str
    unit: float

    @classmethod
    def of(cls, result: Result) -> "_Kept":
        return cls(result.row.name, result.now, result.baseline, result.at, result.unit)


_KEPT = TypeAdapter(list[_Kept])


def document(results: Sequence[Result], baseline: str) -> str:
    """docs/freshness.md."""
    notes = [note for result in results for note in result.notes()]
    head = _HEAD.format(machine=machine(), baseline=baseline)
    body = "\n".join([*table(results), "", *notes]) + "\n" + limits(results) + capacity(results)
    return head + body + "\n".join(_when(results)) + "\n"


def limits(results: Sequence[Result]) -> str:
    """Why the missed bars are missed; empty if none is, or if it is not known."""
    lines = [
        f"- `{one.row.name}`: {LIMITS[one.row.name]}" for one in results if one.is_missed and one.row.name in LIMITS
    ]
    return _LIMITS + "\n".join(lines) + "\n" if lines else ""


def _when(results: Sequence[Result]) -> Iterator[str]:
    """What was measured at which commit, and how quick the machine was."""
    yield "\n## What was measured when\n\n| commit | `json.loads`, µs | rows |\n| :--- | ---: | :--- |"
    runs: dict[tuple[str, float], list[str]] = {}
    for result in results:
        runs.setdefault((result.at, result.unit), []).append(f"`{result.row.name}`")
    for (at, unit), names in runs.items():
        yield f"| {at} | {unit:.0f} | {', '.join(names)} |"


def capacity(results: Sequence[Result]) -> str:
    """How large an archive one worker holds, by what it drained of a hospital's mix; empty where that was not measured."""
    rates = {result.row.name: result.now.figures["entries"] for result in results if "drained" in result.now.figures}
    if not rates:
        return ""
    row, drained = min(rates.items(), key=lambda one: one[1])
    lines = [
        f"| {name} | {_short(each)} | {_short(BUSIEST_HOUR * each)} | {BUSIEST_HOUR * each / drained:.2%} |"
        for name, examinations in _ARCHIVES
        for each in (examinations * INSTANCES_OF_AN_EXAMINATION / _SECONDS_OF_A_YEAR,)
    ]
    said = {"row": row, "drained": drained, "each": INSTANCES_OF_AN_EXAMINATION, "times": BUSIEST_HOUR}
    return _CAPACITY.format(**said) + "\n".join(lines) + "\n" + _SPLIT.format(most=max(rates.values()))


def draw(results: Sequence[Result]) -> None:
    """Each figure that has a bar, as a share of it, into docs/images/freshness.svg."""
    shares = [share for result in results for share in result.shares()]
    given = json.dumps([{"label": label, "share": share} for label, share in shares])
    subprocess.run([PYTHON, ROOT / "tests/bench/fresh/plot.py", PICTURE], input=given, text=True, check=True)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"
