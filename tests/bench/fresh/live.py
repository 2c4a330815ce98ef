"""What arrives while the app runs by its schedule: how soon it is in FHIR, and how often it is written."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests

from tests.bench.fresh.parts import EVERY_SECOND, Host, Parts, await_true
from tests.bench.fresh.row import Measured
from tests.bench.fresh.stores import Readers, nth, store_study
from tests.bench.fresh.tree import Tree
from tests.bench.rig import FhirServer

STUDIES = 60
HOLE_SECONDS = 20
PATIENCE_SECONDS = 90
SLICES, SCAN_SECONDS = 2_000, 120
EVERY_2_SECONDS = "*/2 * * * * *"
FED_PER_SECOND, FED_SECONDS, FED_SECONDS_BASELINE = 1_000, 300, 60
FED_LATENCY_MS = 300


def fresh(*, holes: bool = False, version: str = "v1") -> Callable[[Parts, Tree, bool, bool], Measured]:
    """From STOW's answer to readable in FHIR, a study a second; `holes`: every 20 s a number that is never used."""

    def measure(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
        more = {"DicomWeb__ApiVersion": version} if version != "v1" else {}
        more |= {"DicomCast__GapGracePeriod": "00:00:01"} if is_quick else {}
        studies = 3 if is_quick else STUDIES
        with (
            parts.archive(None) as archive,
            parts.fhir() as fhir,
            parts.host(tree, archive, fhir, EVERY_SECOND if is_quick else None, **more) as host,
            Readers(fhir) as readers,
        ):
            with _ticking(host):
                began = time.monotonic()
                for number in range(studies):
                    if holes and number % HOLE_SECONDS == 1:
                        requests.post(f"{archive.url}/admin/reserve", timeout=60).raise_for_status()
                    readers.wait_for(*store_study(archive, number))
                    time.sleep(max(0.0, began + (number + 1) * (0.1 if is_quick else 1) - time.monotonic()))
                assert readers.all_read(PATIENCE_SECONDS), "a study did not come to FHIR"
            waits = readers.waits
        return Measured({"p50": nth(waits, 50), "p95": nth(waits, 95)})

    return measure


def scanner(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Versions of the ImagingStudy of a CT whose slices come one by one, at a tick every 2 s."""
    slices, seconds = (40, 4) if is_quick else (SLICES, SCAN_SECONDS)
    with (
        parts.archive(None) as archive,
        parts.fhir() as fhir,
        parts.host(tree, archive, fhir, EVERY_SECOND if is_quick else EVERY_2_SECONDS) as host,
        _ticking(host),
    ):
        with parts.feeder(archive, "ct", [1, slices], slices / seconds, seconds):
            time.sleep(seconds)
        assert await_true(lambda: one_study(fhir).get("numberOfInstances") == slices, PATIENCE_SECONDS, 1)
        versions = int(one_study(fhir)["meta"]["versionId"])
    return Measured({"versions": versions})


def saturation(parts: Parts, tree: Tree, is_baseline: bool, is_quick: bool) -> Measured:
    """Age of the oldest entry that is not synced, while a mix arrives faster than any hospital sends it."""
    seconds = 6 if is_quick else FED_SECONDS_BASELINE if is_baseline else FED_SECONDS
    rate = 50 if is_quick else FED_PER_SECOND
    with (
        parts.archive(None) as archive,
        parts.fhir() as fhir,
        parts.host(tree, archive, fhir, EVERY_SECOND if is_quick else None) as host,
        parts.host(tree, archive, fhir) as looking,
    ):
        looking.begin("", host.begin("fed"))
        fhir.delay(FED_LATENCY_MS / 1000)
        with _ticking(host), parts.feeder(archive, "day", [seconds * rate // 40 + 20], rate, seconds):
            ages = list(_ages(looking, seconds))
    minute = min(60, len(ages) // 3)
    second, last = ages[minute : 2 * minute], ages[-minute:]
    p95s = [nth(sorted(part), 95) for part in (ages, second, last)]
    note = f"{seconds} s of {rate:,} entries/s"
    return Measured({"p95": p95s[0], "last minute : second": p95s[2] / max(p95s[1], 0.1)}, note=note)


def _ages(looking: Host, seconds: int) -> Iterator[float]:
    """Once a second, as the app's status says it."""
    began = time.monotonic()
    for number in range(seconds):
        time.sleep(max(0.0, began + number - time.monotonic()))
        age = looking.ask("lag")["seconds"]
        if age is not None:
            yield age


def one_study(fhir: FhirServer) -> dict:
    """The only ImagingStudy there is; empty where there is none yet."""
    entries = requests.get(f"{fhir.url}/ImagingStudy", timeout=60).json().get("entry", [])
    return entries[0]["resource"] if entries else {}


@contextmanager
def _ticking(host: Host) -> Iterator[None]:
    host.ask("start")
    yield
    host.ask("stop")
