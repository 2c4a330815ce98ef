"""Replays: of what is unchanged, of stored errors, and of very many stored errors while studies arrive."""

import time

from tests.bench.fresh.drain import told_spent
from tests.bench.fresh.parts import EVERY_SECOND, Archive, Host, Parts
from tests.bench.fresh.row import Measured
from tests.bench.fresh.stores import Readers, store_study
from tests.bench.fresh.tree import Tree
from tests.bench.rig import Json
from tests.bench.workloads import ROOT_UID, cr_studies

STUDIES = 2_000
UNCHANGED_LATENCY_MS = 100
ERRORS = {"errors": "FhirFailToStoreExceptionTable"}
SECONDS = 20
"""So long stored errors are replayed at least, where they are too many or too slow to be replayed to the end."""
OPEN_ROWS, OPEN_STUDIES, OPEN_SECONDS = 10_000, 8_000, 75
RECKONED_ROWS = 100_000
"""To fill Azurite with so many takes most of an hour: it searches a whole partition for each row that it writes."""
FAR = 10**9
"""Sequences of rows that come after those which the archive has the studies of: no replay reaches them here."""
LIVE_EVERY_SECONDS = 3
ASKED_EVERY_SECONDS = 0.5
"""Whether a replay is done: a rate that is asked for seldom is too low by up to that time."""


def unchanged(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Of studies that FHIR has as they are; beside it the same reads of the archive, and nothing else."""
    work = cr_studies(20 if is_quick else STUDIES)
    with parts.archive(work) as archive, parts.fhir() as fhir, parts.host(tree, archive, fhir) as host:
        host.ticks_until_synced()
        fhir.delay(UNCHANGED_LATENCY_MS / 1000)
        host.ask("count")
        told = _replayed(host, {"sequence": {"from": 1, "to": work.entries}}, 600)
        assert (told["done"], told["failed"]) == (work.entries, 0), told
        reads = host.ask("get_again", archive.port)
    figures = {"whole": told["seconds"], "whole : reads alone": told["seconds"] / reads["seconds"]}
    return Measured(figures, note=f"{reads['reads']:,} reads of the archive take {reads['seconds']:.1f} s")


def errors(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Of stored errors: studies that FHIR lacks, and takes now."""
    studies = 20 if is_quick else STUDIES
    work = cr_studies(studies)
    with parts.archive(work) as archive, parts.fhir() as fhir, parts.host(tree, archive, fhir) as host:
        host.ticks_until_synced()
        host.ask("record_errors", ROOT_UID, 1, studies)
        fhir.empty()
        host.begin_again()  # it has never written them
        host.ask("count")
        told = _replayed(host, ERRORS, SECONDS)
        requests = host.ask("counted").get(str(parts.table_port), 0)
        waited, spent = host.ask("waited", parts.table_port), host.ask("spent")
        reads = host.ask("get_again", archive.port)
    whole = studies / told["done"]
    is_part = frozenset({"whole", "table requests"}) if told["done"] < studies else frozenset()
    note = f"{reads['reads']:,} reads of the archive take {reads['seconds']:.1f} s"
    note += f"; {waited:.1f} s were waiting for tables; {told_spent(spent)}"
    note += f"; reckoned from the first {told['done']:,}" if is_part else ""
    figures = {
        "whole": told["seconds"] * whole,
        "table requests": requests * whole,
        "whole : reads alone": told["seconds"] / reads["seconds"],
    }
    return Measured(figures, is_part, note)


def among_open_rows(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Of open rows, how long 100,000 would take at the same rate; and what studies wait that are stored meanwhile."""
    rows, studies, seconds = (200, 100, 4) if is_quick else (OPEN_ROWS, OPEN_STUDIES, OPEN_SECONDS)
    schedule = EVERY_SECOND if is_quick else None
    work = cr_studies(studies)
    with (
        parts.archive(work) as archive,
        parts.fhir() as fhir,
        parts.host(tree, archive, fhir, schedule) as host,
        Readers(fhir) as readers,
    ):
        host.ticks_until_synced()
        host.ask("record_errors", ROOT_UID, 1, studies)
        host.ask("record_errors", ROOT_UID, FAR + 1, FAR + rows - studies)
        fhir.empty()
        host.begin_again()
        done, took = _while_studies_arrive(host, archive, readers, studies, seconds)
        assert readers.all_read(120), "a study did not come to FHIR"
        host.ask("stop")
        longest = readers.waits[-1]
    figures = {"whole": took * RECKONED_ROWS / done / 60, "live feed": longest}
    note = f"reckoned from {done:,} rows in {took:.0f} s, among {rows:,} open ones"
    return Measured(figures, frozenset({"whole"}), note=note)


def _while_studies_arrive(host: Host, archive: Archive, readers: Readers, most: int, seconds: int) -> tuple[int, float]:
    """Rows that are done, and in how many seconds; the replay ends where the archive has no more of the studies."""
    host.ask("start")
    replay = host.ask("start_replay", ERRORS)["id"]
    began, number, told = time.monotonic(), 0, {"done": 0}
    while time.monotonic() - began < seconds and told["done"] < most:
        if time.monotonic() >= began + number * min(LIVE_EVERY_SECONDS, seconds / 4):
            readers.wait_for(*store_study(archive, number))
            number += 1
        time.sleep(ASKED_EVERY_SECONDS)
        told = host.ask("replayed", replay)
    return max(1, min(told["done"], most)), time.monotonic() - began


def _replayed(host: Host, body: Json, seconds: float) -> Json:
    """Tick after tick, until the replay is done or so many seconds are over; those of the ticks."""
    replay = host.ask("start_replay", body)["id"]
    took = 0.0
    while True:
        tick = host.tick()
        took += tick["ended"] - tick["began"]
        told = host.ask("replayed", replay)
        if not told["is_under_way"] or took >= seconds:
            return {**told, "seconds": took}
