"""One work, one FHIR server, one latency: what the app does with it, and what the reference does."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tests.bench.rig import DicomService, FhirServer, Rig, WorkerProcess
from tests.bench.row import Json, Row
from tests.bench.workloads import Work

APP_SECONDS = 20
"""The time budget of a tick, so that no measurement takes for ever."""


class Setup:
    """What measurements of one work run on: the services, and a warm worker of each kind."""

    def __init__(
        self, dicom: DicomService, fhir: FhirServer, app: WorkerProcess, reference: WorkerProcess | None
    ) -> None:
        self.dicom, self.fhir, self.app = dicom, fhir, app
        self._reference = reference
        self.latency_ms = 0
        self.is_sampled = False
        self._begun = 0

    @property
    def work(self) -> Work:
        return self.dicom.work

    @property
    def reference(self) -> WorkerProcess:
        assert self._reference
        return self._reference

    def begin(self, *, keeps: bool = False) -> None:
        """The app at the feed's beginning; the FHIR server is empty, unless it `keeps` what it has. No latency yet."""
        self._begun += 1
        self.fhir.delay(0.0)
        if not keeps:
            self.fhir.empty()
        self.app.ask("begin", str(self._begun))

    def delay(self) -> None:
        self.fhir.delay(self.latency_ms / 1000)

    def row(self, who: str, of: int, told: Json, how: str = "") -> Row:
        """Of all steps together."""
        steps = told["steps"]
        entries = sum(step["entries"] for step in steps)
        part = "whole" if entries == of else f"first {entries:,}"
        return Row(
            self.work.name,
            self.work.title,
            self.fhir.kind,
            self.latency_ms,
            who,
            entries,
            of,
            sum(step["seconds"] for step in steps),
            sum(step["fhir"]["calls"] for step in steps),
            sum(step["fhir"]["bytes_in"] for step in steps),
            _summed(step["stages"] for step in steps),
            _summed(step["functions"] for step in steps),
            sum(step["fhir"]["cpu_seconds"] for step in steps),
            told["rss_mb"],
            how or part,
            steps=steps,
        )


@contextmanager
def setup(
    rig: Rig,
    work: Work,
    server: str,
    settings: Mapping[str, str],
    *,
    is_alone: bool = False,
    seconds: int = APP_SECONDS,
) -> Iterator[Setup]:
    """`is_alone`: without the reference. `seconds` a tick may take."""
    budget = {"DicomCast__TickTimeBudget": f"00:{seconds // 60:02d}:{seconds % 60:02d}"}
    with ExitStack() as stack:
        dicom = stack.enter_context(rig.dicom(work))
        fhir = stack.enter_context(rig.fhir(server))
        app = stack.enter_context(rig.worker("app", dicom, fhir, {**budget, **settings}))
        reference = None if is_alone else stack.enter_context(rig.worker("reference", dicom, fhir, {}))
        yield Setup(dicom, fhir, app, reference)


def app_row(on: Setup, seconds: float = APP_SECONDS) -> Row:
    """The app, from an empty FHIR server on; ticks begin within so many seconds."""
    on.begin()
    on.delay()
    return on.row("app", on.work.entries, on.app.ask("drain", seconds, on.is_sampled))


def reference_row(on: Setup, entries: int) -> Row:
    """The reference, on the first entries. Each study's cost grows with the study: give it whole ones."""
    on.begin()
    on.delay()
    return on.row(
        "reference", on.work.entries, on.reference.ask("sync", 0, min(entries, on.work.entries), on.is_sampled)
    )


def sampled_reference_row(on: Setup, length: int, sample: int) -> Row:
    """The reference on a study of so many instances: measured at its beginning, in its middle and at its end.

    The cost of an entry grows with the study. Simpson's rule over the three gives the mean, exact up to a cubic curve.
    """
    on.begin()
    points = []
    done = 0
    for at in (0, (length - sample) // 2, length - sample):
        on.fhir.delay(0.0)
        if at > done:
            on.reference.ask("jump", done, at)
        on.delay()
        done = at + sample
        points.append(on.reference.ask("sync", at, done, on.is_sampled))
    return _simpson(on, length, points)


def _simpson(on: Setup, length: int, points: Sequence[Json]) -> Row:
    begin, middle, end = (point["steps"][0] for point in points)
    weighted = ((begin, 1 / 6), (middle, 4 / 6), (end, 1 / 6))
    scale = length / begin["entries"]
    step: Json = {
        "entries": length,
        "seconds": scale * sum(one["seconds"] * weight for one, weight in weighted),
        "fhir": {
            name: scale * sum(one["fhir"][name] * weight for one, weight in weighted)
            for name in ("calls", "bytes_in", "cpu_seconds")
        },
    }
    for name in ("stages", "functions"):
        step[name] = _summed(
            {key: scale * weight * used for key, used in one[name].items()} for one, weight in weighted
        )
    told = {"steps": [step], "rss_mb": max(point["rss_mb"] for point in points)}
    how = f"from {begin['entries']} at the beginning, in the middle and at the end of a study"
    return on.row("reference", on.work.entries, told, how)


def app_deletion_row(on: Setup) -> Row:
    """Half of what is synced is deleted in the DICOM service."""
    on.begin()
    on.app.ask("drain", APP_SECONDS, False)
    deleted = on.dicom.delete_half()
    on.delay()
    return replace(on.row("app", deleted, on.app.ask("drain", APP_SECONDS, on.is_sampled)), kind="deletes")


def reference_deletion_row(on: Setup, entries: int) -> Row:
    """The same, for the first deletes: give it those of a whole study."""
    stored = on.work.entries
    on.begin()
    on.reference.ask("jump", 0, stored)
    deleted = on.dicom.delete_half()
    on.delay()
    told = on.reference.ask("sync", stored, stored + min(entries, deleted), on.is_sampled)
    return replace(on.row("reference", deleted, told), kind="deletes")


def app_rerun_row(on: Setup) -> Row:
    """The whole feed once more, when all of it is in FHIR: there is nothing to write."""
    on.begin()
    on.app.ask("drain", APP_SECONDS, False)
    on.begin(keeps=True)
    on.delay()
    told = on.app.ask("drain", APP_SECONDS, on.is_sampled)
    assert not any(step["written"] for step in told["steps"])
    return replace(on.row("app", on.work.entries, told), kind="rerun")


def reference_rerun_row(on: Setup, entries: int) -> Row:
    """The same, for the first entries: all of a work's cost the same, as no study grows."""
    on.begin()
    on.reference.ask("jump", 0, on.work.entries)
    on.delay()
    told = on.reference.ask("sync", 0, min(entries, on.work.entries), on.is_sampled)
    return replace(on.row("reference", on.work.entries, told), kind="rerun")


def _summed(parts: Any) -> dict[str, float]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
