"""What is measured: `make bench` in full, `make bench-quick` at small sizes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from local.compare import compare
from shared.config import SETTINGS
from tests.bench import measure
from tests.bench.measure import Setup
from tests.bench.rig import Rig
from tests.bench.row import Row, at_latency, best
from tests.bench.workloads import Work, cr_studies, ct_studies, hospital_day, large_study

LATENCIES_MS = (0, 20, 100)
RSS_BATCH = 20_000
WANTED_SETTINGS = {"DicomCast__MaxBatchesPerTick": "1"}
"""Used where the app knows them."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """`whole` is what the reference syncs at 0 ms; `sample` at a latency, per point."""

    ct: Work
    cr: Work
    day: Work
    large: Work
    large_batch: int
    ct_length: int
    sample: Mapping[int, int]
    repeats: int
    latencies: tuple[int, ...]
    is_quick: bool


FULL = Sizes(
    ct_studies(5, 1_000),
    cr_studies(2_000),
    hospital_day(60),
    large_study(40_000, 20),
    2_000,
    1_000,
    {0: 20, 20: 15, 100: 8},
    3,
    LATENCIES_MS,
    is_quick=False,
)
QUICK = Sizes(
    ct_studies(2, 250),
    cr_studies(100),
    hospital_day(8),
    large_study(3_000, 6),
    500,
    250,
    {0: 10, 20: 5},
    1,
    LATENCIES_MS[:2],
    is_quick=True,
)


def rows(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    """All measurements, one by one."""
    for server in ("memory", "sekmet"):
        yield from _grown(rig, sizes, sizes.ct, server)
        yield from _constant(rig, sizes, sizes.cr, server)
    yield from _day(rig, sizes)
    yield from _large(rig, sizes)
    yield from _deletes(rig, sizes)
    yield from _rerun(rig, sizes)
    if not sizes.is_quick:
        yield from _rss(rig)


def settings(**more: str) -> dict[str, str]:
    """The wanted settings that the app knows."""
    known = {row.name for row in SETTINGS}
    return {name: value for name, value in WANTED_SETTINGS.items() if name in known} | more


def _repeats(sizes: Sizes, server: str, latency_ms: int) -> int:
    return sizes.repeats if server == "memory" and latency_ms == 0 else 1


def _grown(rig: Rig, sizes: Sizes, work: Work, server: str) -> Iterator[Row]:
    """Studies of one size: the reference syncs one of them, or samples of it."""
    with measure.setup(rig, work, server, settings()) as on:
        for on.latency_ms in sizes.latencies:
            runs = range(_repeats(sizes, server, on.latency_ms))
            if server == "memory" and on.latency_ms == 0:
                pairs = [(measure.app_row(on), measure.reference_row(on, sizes.ct_length)) for _ in runs]
                _check(on, measure.app_row(on))
            else:
                sampled = measure.sampled_reference_row(on, sizes.ct_length, sizes.sample[on.latency_ms])
                pairs = [(measure.app_row(on), sampled)]
            yield best([app for app, _ in pairs])
            yield best([reference for _, reference in pairs])


def _constant(rig: Rig, sizes: Sizes, work: Work, server: str) -> Iterator[Row]:
    """Every entry costs the same: the reference syncs the first."""
    with measure.setup(rig, work, server, settings()) as on:
        for on.latency_ms in sizes.latencies:
            whole = server == "memory" and on.latency_ms == 0
            entries = work.entries if whole else sizes.sample[on.latency_ms] * 5
            runs = range(_repeats(sizes, server, on.latency_ms))
            pairs = [(measure.app_row(on), measure.reference_row(on, entries)) for _ in runs]
            if whole:
                _check(on, pairs[-1][1])
            yield best([app for app, _ in pairs])
            yield best([reference for _, reference in pairs])


def _day(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    with measure.setup(rig, sizes.day, "memory", settings()) as on:
        reference = None
        for on.latency_ms in sizes.latencies:
            app = measure.app_row(on)
            if reference is None:
                _check(on, app)
                reference = measure.reference_row(on, sizes.day.entries)
                _check(on, reference)
            yield app
            yield at_latency(reference, on.latency_ms)


def _large(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    more = settings(DicomCast__BatchSize=str(sizes.large_batch))
    with measure.setup(rig, sizes.large, "memory", more) as on:
        reference = None
        for on.latency_ms in sizes.latencies:
            yield measure.app_row(on, seconds=120)
            reference = reference or measure.sampled_reference_row(on, sizes.large.entries, 5)
            yield at_latency(reference, on.latency_ms)


def _deletes(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    """A DICOM service for each: what is deleted is gone."""
    with measure.setup(rig, sizes.ct, "memory", settings()) as on:
        reference = measure.reference_deletion_row(on, sizes.ct_length // 2)
    for latency in sizes.latencies:
        with measure.setup(rig, sizes.ct, "memory", settings(), is_alone=True) as on:
            on.latency_ms = latency
            yield measure.app_deletion_row(on)
            yield at_latency(reference, latency)


def _rerun(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    with measure.setup(rig, sizes.ct, "memory", settings()) as on:
        reference = None
        for on.latency_ms in sizes.latencies:
            yield measure.app_rerun_row(on)
            reference = reference or measure.reference_rerun_row(on, 200)
            yield at_latency(reference, on.latency_ms)


def _rss(rig: Rig) -> Iterator[Row]:
    """Batches of 20,000 entries: of one study, and of as many studies; each in a process of its own."""
    more = settings(DicomCast__BatchSize=str(RSS_BATCH))
    for work in (large_study(RSS_BATCH, 1), cr_studies(RSS_BATCH)):
        with measure.setup(rig, work, "memory", more, is_alone=True) as on:
            yield replace(measure.app_row(on), kind="rss")


def _check(on: Setup, row: Row) -> None:
    """FHIR held against DICOM, where all was synced."""
    if row.entries == row.of:
        on.fhir.delay(0.0)
        wrong = [one for one in compare(on.dicom.url, on.fhir.url, ()) if one.differences]
        assert not wrong, f"{row.who}, {row.title}: {len(wrong)} studies differ, first {wrong[0].differences}"
