"""What waits in the archive when the app begins: how quickly it is through, and what is new meanwhile."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from local.dicom_service.instance import Instance
from tests.bench.fresh.parts import EVERY_SECOND, Parts, await_true, meter
from tests.bench.fresh.row import Measured
from tests.bench.fresh.stores import Readers, store_study
from tests.bench.fresh.tree import Tree
from tests.bench.rig import FhirServer, Json
from tests.bench.workloads import Work, cr_studies, hospital_day

MIX_STUDIES = 722
"""About 50,000 entries of a hospital's mix."""
BASELINE_SECONDS, BACKLOG_SECONDS, SECONDS = 30, 90, 240
"""So long a backlog is worked on; where that does not do, ticks are alike, and the rest of them is reckoned."""
SLOW_STUDIES, BASELINES_SLOW_STUDIES = 8_000, 3_000
INVALID_STUDIES, BASELINES_INVALID_STUDIES = 3_000, 500


def backlog(latency_ms: int) -> Callable[[Parts, Tree, bool, bool], Measured]:
    """Seconds until it is drained, and until a study can be read that was stored when draining began."""

    def measure(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
        work = hospital_day(6 if is_quick else MIX_STUDIES)
        with (
            parts.archive(work) as archive,
            parts.fhir() as fhir,
            parts.host(tree, archive, fhir, EVERY_SECOND if is_quick else None) as host,
            Readers(fhir) as readers,
        ):
            fhir.delay(latency_ms / 1000)
            host.ask("start")
            _await_calls(fhir)
            readers.wait_for(*store_study(archive, 1))
            seconds = BASELINE_SECONDS if is_baseline else BACKLOG_SECONDS
            is_drained = await_true(lambda: any(tick["lag"] == 0 for tick in host.ask("ticks")["ticks"]), seconds)
            readers.all_read(seconds if is_drained else 0)
            ticks = host.ask("stop")["ticks"]
            if is_drained:
                drained = _drained(work, ticks)
                figures = {"drained": drained, "a new study": readers.waits[0], "entries": work.entries / drained}
                return Measured(figures, note=f"{work.entries:,} entries, {len(ticks)} ticks")
            waited = readers.waits
        drained = work.entries / entries_per_second(ticks)
        note = f"reckoned from the first {sum(tick['entries'] for tick in ticks):,} of {work.entries:,} entries"
        figures = {
            "drained": drained,
            "a new study": waited[0] if waited else drained,
            "entries": work.entries / drained,
        }
        return Measured(figures, frozenset(figures.keys() - ({"a new study"} if waited else set())), note)

    return measure


def ceiling(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """What one tick gets through of a backlog, and what that is in a second by the tree's own schedule."""
    work = hospital_day(45 if is_quick else 110)
    with parts.archive(work) as archive, parts.fhir() as fhir, parts.host(tree, archive, fhir) as host:
        fhir.delay(0.02)
        tick = host.tick()
    return Measured(
        {"of the backlog in one tick": 100 * tick["entries"] / work.entries}, note=f"{work.entries:,} entries"
    )


def slow_fhir(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """One-instance studies where each call of the FHIR server takes a second."""
    schedule = EVERY_SECOND if is_quick else None
    studies = BASELINES_SLOW_STUDIES if is_baseline else SLOW_STUDIES
    return _one_instance(parts, tree, 40 if is_quick else studies, 50 if is_quick else 1_000, None, schedule)


def invalid_tag(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """One-instance studies that all carry a PatientSex that DICOM does not know."""
    schedule = EVERY_SECOND if is_quick else None
    studies = BASELINES_INVALID_STUDIES if is_baseline else INVALID_STUDIES
    return _one_instance(parts, tree, 20 if is_quick else studies, 0, sex_x, schedule)


def sex_x(instance: Instance) -> Instance:
    metadata = json.loads(instance.metadata) | {"00100040": {"vr": "CS", "Value": ["X"]}}
    return replace(instance, metadata=json.dumps(metadata))


def _one_instance(
    parts: Parts,
    tree: Tree,
    studies: int,
    latency_ms: int,
    changed: Callable[[Instance], Instance] | None,
    schedule: str | None,
) -> Measured:
    work = cr_studies(studies)
    with (
        parts.archive(work, changed) as archive,
        parts.fhir() as fhir,
        parts.host(tree, archive, fhir, schedule) as host,
    ):
        fhir.delay(latency_ms / 1000)
        host.ask("count")
        ticks = host.ask("drain", SECONDS)["ticks"]
        requests = host.ask("counted").get(str(parts.table_port), 0)
        waited, spent = host.ask("waited", parts.table_port), host.ask("spent")
    assert sum(tick["entries"] for tick in ticks) == work.entries, ticks
    drained = _drained(work, ticks)
    note = f"{_told(work, ticks)}; of {drained:.1f} s {waited:.1f} s were waiting for tables; {told_spent(spent)}"
    return Measured({"entries": work.entries / drained, "table requests": requests}, note=note)


def _told(work: Work, ticks: Sequence[Json]) -> str:
    return f"{work.entries:,} entries, {len(ticks)} tick{'' if len(ticks) == 1 else 's'}"


def told_spent(spent: Json) -> str:
    """What the app's process spent, for a note."""
    return f"the app took {spent['cpu']:.1f} s of CPU, {spent['transactions']:.1f} s of it in the SDK's transactions of rows"


def _drained(work: Work, ticks: Sequence[Json]) -> float:
    """From the first tick's beginning to the end of that which had done them all."""
    done = accumulate(tick["entries"] for tick in ticks)
    last = next(tick for tick, so_far in zip(ticks, done, strict=True) if so_far >= work.entries)
    return float(last["ended"] - ticks[0]["began"])


def entries_per_second(ticks: Sequence[Json]) -> float:
    """From tick to tick, the waiting between them with it."""
    busy = [tick for tick in ticks if tick["entries"]]
    if len(busy) == 1:
        return float(busy[0]["entries"] / (busy[0]["ended"] - busy[0]["began"]))
    return float(sum(tick["entries"] for tick in busy[:-1]) / (busy[-1]["began"] - busy[0]["began"]))


def _await_calls(fhir: FhirServer) -> None:
    """Until the app has begun."""
    await_true(lambda: meter(fhir)["calls"] > 0, 60, 0.05)
