"""The app on HAPI FHIR beside a bare replay of the transactions that it sent: `python -m tests.bench.hapi` for this part alone.

The replay is what HAPI alone takes for the same writes, as many at once: what the app's searches, its own CPU time and its
waiting add is the difference. Each round has studies and patients of its own, the replay of it others again.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.bars import Bar
from tests.bench.rig import Json, Rig, WorkerProcess, rig
from tests.bench.workloads import Work, cr_studies, ct_studies
from tests.servers.server import missing, started_process

STUDIES = 600
ROUNDS = 5
WARM = 2
"""Rounds that are not measured: HAPI is compiled while it runs."""
FIRST = 1_000_000
APART = 100_000
REPLAYED = 5_000_000
"""Added to a number for the replay: the first digits of all differ, and no length does."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The quickest round of each. `seconds` of the app and of the replay; the calls are the app's.

    `server_seconds` and `bare_server_seconds`: HAPI's CPU time for each, the least of the rounds.
    """

    work: Work
    seconds: float
    bare_seconds: float
    server_seconds: float
    bare_server_seconds: float
    calls: int
    transactions: int
    size: int

    @property
    def ratio(self) -> float:
        """App : bare replay, in entries per second."""
        return self.bare_seconds / self.seconds


def left_out() -> str | None:
    """Why this part cannot be measured here."""
    programs = missing("hapi")
    return f"Left out: no {', no '.join(programs)} on the machine that measured." if programs else None


def measured(parts: Rig, rounds: int = ROUNDS, studies: int = STUDIES) -> Iterator[Beside]:
    """One HAPI, with its Docker image's defaults, for all of it."""
    number = 0
    with started_process("hapi", parts.directory / "hapi.log") as (url, process):
        told = {"storage": parts.storage, "fhir": url}
        with WorkerProcess(told, "tests.bench.hapi_worker") as worker:
            for work in (cr_studies(studies), ct_studies(1, 1_000)):
                seen = []
                for _ in range(WARM + rounds):
                    number += 1
                    seen.append(_round(parts, worker, process, work, number))
                yield _best(work, seen[WARM:])


def _round(parts: Rig, worker: WorkerProcess, process: int, work: Work, number: int) -> tuple[Json, Json]:
    """The app, then the replay of it; nothing was there of either before."""
    base = FIRST + number * APART
    with parts.dicom(_numbered(work, base)) as dicom:
        worker.ask("begin", f"r{number}", dicom.url)
        begun = cpu_seconds(process)
        app = worker.ask("sync")
        app["server_seconds"] = cpu_seconds(process) - begun
    assert (app["entries"], app["updates"]) == (work.entries, 0), app
    begun = cpu_seconds(process)
    bare = worker.ask("replay", base // APART, (base + REPLAYED) // APART)
    bare["server_seconds"] = cpu_seconds(process) - begun
    assert bare["created"] == 2 * len(work.studies), bare  # each a Patient and an ImagingStudy; the Endpoint is there
    return app, bare


def _numbered(work: Work, base: int) -> Work:
    """Its studies and patients with other numbers."""
    studies = [replace(one, number=base + one.number, patient=base + one.patient) for one in work.studies]
    return replace(work, name=f"{work.name}-{base}", studies=studies)


def cpu_seconds(process: int) -> float:
    """User and system time of a process and its threads (proc(5), stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _best(work: Work, rounds: Sequence[tuple[Json, Json]]) -> Beside:
    apps, bares = zip(*rounds, strict=True)
    best = min(apps, key=lambda one: one["seconds"])
    return Beside(
        work,
        best["seconds"],
        min(one["seconds"] for one in bares),
        min(one["server_seconds"] for one in apps),
        min(one["server_seconds"] for one in bares),
        max(one["calls"] for one in apps),
        best["transactions"],
        best["bytes"],
    )


def lines(seen: Sequence[Beside]) -> Iterator[str]:
    yield (
        "| work | app entries/s | bare replay entries/s | app : bare replay | HAPI's CPU s: app | bare replay | FHIR calls "
        "| of these transactions | bytes of these |"
    )
    yield "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in seen:
        rates = [one.work.entries / seconds for seconds in (one.seconds, one.bare_seconds)]
        yield (
            f"| {one.work.title} | {rates[0]:,.0f} | {rates[1]:,.0f} | {one.ratio:.2f} | {one.server_seconds:.1f} "
            f"| {one.bare_server_seconds:.1f} | {one.calls} | {one.transactions} | {one.size:,} |"
        )


def bars(seen: Sequence[Beside]) -> Iterator[Bar]:
    for one in seen:
        if len(one.work.studies) > 1:
            calls = one.calls / len(one.work.studies) * STUDIES
            yield Bar(f"HAPI, one-instance studies: FHIR calls per {STUDIES}", 60, calls, "calls", is_most=True)
    for one in seen:
        yield Bar(f"HAPI, {one.work.title}: app : bare replay", 0.8, one.ratio, "x")


def main() -> None:
    if why := left_out():
        print(why)
        return
    seen = []
    with rig() as parts:
        for one in measured(parts):
            seen.append(one)
            print(*lines([one]), sep="\n", flush=True)
    held = list(bars(seen))
    print(*held, sep="\n")
    sys.exit(not all(bar.is_met for bar in held))


if __name__ == "__main__":
    main()
