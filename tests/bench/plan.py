"""What is measured: `make bench` in full, `make bench-quick` at small sizes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from local.compare import compare
from local.compare_rules import Rules
from shared.settings.config import SETTINGS
from tests.bench import measure
from tests.bench.measure import Setup
from tests.bench.rig import Rig
from tests.bench.row import Row, at_latency, best, with_cpu_of
from tests.bench.workloads import Work, cr_studies, ct_studies, hospital_day, large_study

LATENCIES_MS = (0, 20, 100)
RSS_BATCH = 20_000
RSS_SECONDS = 60
CATCHING_UP = {"DicomCast__MaxBatchesPerTick": "0"}
BATCH_BY_BATCH = {"DicomCast__MaxBatchesPerTick": "1", "DicomCast__StudySettle": "0"}
"""Each batch is written: what waits would have no cost to measure."""


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
    ct_studies(20, 1_000),
    cr_studies(2_000),
    hospital_day(60),
    large_study(40_000, 20),
    2_000,
    1_000,
    {0: 20, 20: 15, 100: 8},
    5,
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
    for server, latencies in (("memory", sizes.latencies), ("sekmet", sizes.latencies[:2])):
        yield from _grown(rig, sizes, server, latencies)
        yield from _constant(rig, sizes, server, latencies)
    yield from _day(rig, sizes)
    yield from _large(rig, sizes)
    yield from _deletes(rig, sizes)
    yield from _rerun(rig, sizes)
    if not sizes.is_quick:
        yield from _rss(rig)


def known(wanted: Mapping[str, str]) -> dict[str, str]:
    """The settings that the app knows already."""
    names = {row.name for row in SETTINGS}
    return {name: value for name, value in wanted.items() if name in names}


def _is_whole(server: str, latency_ms: int) -> bool:
    """Whether there is time for the reference to sync more than a sample."""
    return server == "memory" and latency_ms == 0


def _best_of(on: Setup, repeats: int, entries: int) -> list[Row]:
    """The app and the reference in turn, the quickest of each; then once more to sample CPU time and to check."""
    pairs = [(measure.app_row(on), measure.reference_row(on, entries)) for _ in range(repeats)]
    on.is_sampled = True
    app = measure.app_row(on)
    _check(on, app)
    reference = measure.reference_row(on, entries)
    _check(on, reference)
    on.is_sampled = False
    return [
        with_cpu_of(best(rows), sampled)
        for rows, sampled in zip(zip(*pairs, strict=True), (app, reference), strict=True)
    ]


def _grown(rig: Rig, sizes: Sizes, server: str, latencies: Sequence[int]) -> Iterator[Row]:
    """Studies of one size: the reference syncs one of them, or samples of it."""
    with measure.setup(rig, sizes.ct, server, known(CATCHING_UP)) as on:
        for on.latency_ms in latencies:
            if _is_whole(server, on.latency_ms):
                yield from _best_of(on, sizes.repeats, sizes.ct_length)
            else:
                yield measure.app_row(on)
                yield measure.sampled_reference_row(on, sizes.ct_length, sizes.sample[on.latency_ms])


def _constant(rig: Rig, sizes: Sizes, server: str, latencies: Sequence[int]) -> Iterator[Row]:
    """Every entry costs the same: the reference syncs the first."""
    with measure.setup(rig, sizes.cr, server, known(CATCHING_UP)) as on:
        for on.latency_ms in latencies:
            if _is_whole(server, on.latency_ms):
                yield from _best_of(on, sizes.repeats, sizes.cr.entries)
            else:
                yield measure.app_row(on)
                yield measure.reference_row(on, 5 * sizes.sample[on.latency_ms])


def _day(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    with measure.setup(rig, sizes.day, "memory", known(CATCHING_UP)) as on:
        reference = None
        for on.latency_ms in sizes.latencies:
            on.is_sampled = on.latency_ms == 0
            app = measure.app_row(on)
            if reference is None:
                _check(on, app)
                reference = measure.reference_row(on, sizes.day.entries)
                _check(on, reference)
            yield app
            yield at_latency(reference, on.latency_ms)


def _large(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    more = known({**BATCH_BY_BATCH, "DicomCast__BatchSize": str(sizes.large_batch)})
    with measure.setup(rig, sizes.large, "memory", more) as on:
        reference = None
        for on.latency_ms in sizes.latencies:
            on.is_sampled = on.latency_ms == 0
            yield measure.app_row(on, seconds=120)
            reference = reference or measure.sampled_reference_row(on, sizes.large.entries, 5)
            yield at_latency(reference, on.latency_ms)


def _deletes(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    """A DICOM service for each: what is deleted is gone."""
    with measure.setup(rig, sizes.ct, "memory", known(CATCHING_UP)) as on:
        on.is_sampled = True
        reference = measure.reference_deletion_row(on, sizes.ct_length // 2)
    for latency in sizes.latencies:
        with measure.setup(rig, sizes.ct, "memory", known(CATCHING_UP), is_alone=True) as on:
            on.latency_ms = latency
            on.is_sampled = latency == 0
            yield measure.app_deletion_row(on)
            yield at_latency(reference, latency)


def _rerun(rig: Rig, sizes: Sizes) -> Iterator[Row]:
    with measure.setup(rig, sizes.ct, "memory", known(CATCHING_UP)) as on:
        reference = None
        for on.latency_ms in sizes.latencies:
            on.is_sampled = on.latency_ms == 0
            yield measure.app_rerun_row(on)
            reference = reference or measure.reference_rerun_row(on, 200)
            yield at_latency(reference, on.latency_ms)


def _rss(rig: Rig) -> Iterator[Row]:
    """Batches of 20,000 entries: of one study, and of as many studies; each in a process of its own."""
    more = known({**BATCH_BY_BATCH, "DicomCast__BatchSize": str(RSS_BATCH)})
    for work in (large_study(RSS_BATCH, 1), cr_studies(RSS_BATCH)):
        with measure.setup(rig, work, "memory", more, is_alone=True, seconds=RSS_SECONDS) as on:
            row = replace(measure.app_row(on), kind="rss")
            assert row.entries, "nothing was written: the peak is not reached"
            yield row


def _check(on: Setup, row: Row) -> None:
    """FHIR held against DICOM, where all was synced."""
    if row.entries == row.of:
        on.fhir.delay(0.0)
        rules = Rules(extended=row.who == "app")
        wrong = [one for one in compare(on.dicom.url, on.fhir.url, (), rules=rules) if one.differences]
        assert not wrong, f"{row.who}, {row.title}: {len(wrong)} studies differ, first {wrong[0].differences}"
