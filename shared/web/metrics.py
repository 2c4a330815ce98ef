"""The status as metrics in Prometheus' text format; docs/telemetry.md has what to scrape, rules and a dashboard."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from shared.mapping.codes import CODED
from shared.model.journal import Journal
from shared.model.outcome import DURATION_BUCKETS, Outcome, TickDurations
from shared.sync.status.snapshot import SYSTEMS, State
from shared.sync.status.status import AuditSummary, Status

_TICKS = [outcome for outcome in Outcome if outcome is not Outcome.LEASE_HELD]
"""A host that does not get the lease keeps no record of its tick."""
_ENTRIES = ("written", "unchanged", "failed")
"""How a change feed entry ends, by the names of the totals. A carried entry has not ended yet."""


def metrics_text(status: Status) -> str:
    """The whole exposition, without the metrics that a system which is down would have to give."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    return generate_latest(registry).decode()


class _StatusCollector(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily("dicom_cast_build", "The app's version", {"version": self._status.version})
        yield from self._of_the_state()
        yield from self._of_the_feed()
        yield from self._of_the_tables()
        if self._status.journal:
            yield from _of_the_ticks(self._status.journal)

    def _of_the_state(self) -> Iterable[Metric]:
        state, down = self._status.state, self._status.down
        yield _by(
            "dicom_cast_state", "1 for the state of the sync", "state", {one: one is state.state for one in State}
        )
        if state.since:
            yield _gauge("dicom_cast_state_since_timestamp_seconds", "When the state began", state.since)
        yield _by("dicom_cast_up", "1 where the system answers", "system", {one: one not in down for one in SYSTEMS})

    def _of_the_feed(self) -> Iterable[Metric]:
        status = self._status
        if status.watermark:
            yield _gauge("dicom_cast_watermark_sequence", "Sequence up to which all is done", status.watermark.sequence)
        if status.latest:
            yield _gauge("dicom_cast_latest_sequence", "The change feed's latest sequence", status.latest.sequence)
        if status.watermark and status.latest:
            ahead = max(0, status.watermark.sequence - status.latest.sequence)
            yield _gauge(
                "dicom_cast_watermark_ahead", "Sequence numbers that the feed ends before the watermark", ahead
            )
        if status.lag:
            yield _gauge("dicom_cast_lag_entries", "Sequence numbers between the two", status.lag.entries)
            yield _gauge("dicom_cast_lag_seconds", "Age of the oldest entry that is not synced", status.lag.seconds)

    def _of_the_tables(self) -> Iterable[Metric]:
        status = self._status
        if status.lease:
            yield _gauge("dicom_cast_lease_held", "1 while a host works", status.lease.held)
        if status.carried is not None:
            yield _gauge("dicom_cast_carried_studies", "Studies that wait for a later tick", len(status.carried))
        if status.replays is not None:
            yield _gauge("dicom_cast_replays", "Replays under way", len(status.replays))
        yield from _of_the_audit(status.audit) if status.audit else ()
        if status.errors:
            yield _by(
                "dicom_cast_open_errors",
                "Open rows, counted to 1000",
                "table",
                {table.value: count for table, count in status.errors.counts.items()},
            )


def _of_the_audit(audit: AuditSummary) -> Iterable[Metric]:
    """Of rounds through all studies. Until the first has ended there are only the open differences."""
    open_ = {kind.value: count for kind, count in audit.open.items()}
    yield _by("dicom_cast_audit_open_differences", "Studies that differ, counted to 1000", "kind", open_)
    yield _gauge("dicom_cast_audit_waits", "1 while a round waits: for the feed, or for a fault to pass", audit.waits)
    if audit.last:
        name = "dicom_cast_audit_last_round_timestamp_seconds"
        yield _gauge(name, "When the last round ended", audit.last.updated)
        yield _gauge("dicom_cast_audit_compared_studies", "Studies that it compared", audit.last.counts.compared)
        yield _gauge("dicom_cast_audit_deletes_waiting", "Deletes that wait for a person", audit.last.deletes_waiting)


def _of_the_ticks(journal: Journal) -> Iterable[Metric]:
    """All counters exist from the first tick on, at 0, because `increase()` does not see a counter appear."""
    ticks = CounterMetricFamily("dicom_cast_ticks", "Ticks that held the lease", labels=["outcome"])
    took = HistogramMetricFamily("dicom_cast_tick_duration_seconds", "How long these ticks took", labels=["outcome"])
    for outcome in _TICKS:
        durations = journal.durations.get(outcome, TickDurations())
        ticks.add_metric([outcome], durations.ticks)
        sums = accumulate(durations.buckets.get(bucket, 0) for bucket in DURATION_BUCKETS)
        took.add_metric([outcome], list(zip(DURATION_BUCKETS, sums, strict=True)), durations.seconds)
    entries = CounterMetricFamily("dicom_cast_entries", "Change feed entries by how they ended", labels=["outcome"])
    for name in _ENTRIES:
        entries.add_metric([name], journal.totals.get(name, 0))
    yield from (ticks, took, entries)
    tags, calls = journal.totals.get("invalid_tags", 0), journal.totals.get("fhir_calls", 0)
    yield CounterMetricFamily("dicom_cast_invalid_tags", "Optional tags that were left out", value=tags)
    yield CounterMetricFamily("dicom_cast_fhir_calls", "HTTP requests to the FHIR server", value=calls)
    codings = CounterMetricFamily(
        "dicom_cast_codings_without_system", "Codings written that have no system", labels=["element"]
    )
    for element in CODED:
        codings.add_metric([element], journal.codings_without_system.get(element, 0))
    yield codings
    if journal.last:
        yield _gauge("dicom_cast_last_tick_duration_seconds", "Of the last tick", journal.last.duration_seconds)
    if journal.well_at:
        yield _gauge("dicom_cast_last_good_tick_timestamp_seconds", "When a tick last ended well", journal.well_at)


def _gauge(name: str, text: str, value: float | datetime) -> Metric:
    return GaugeMetricFamily(name, text, value=value.timestamp() if isinstance(value, datetime) else float(value))


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], float(value))
    return family
