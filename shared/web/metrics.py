"""The status as metrics in Prometheus' text format."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.sync.status.status import Status

# totals' name -> the counter's name and help
_COUNTERS = {
    "ticks": ("dicom_cast_ticks", "Ticks that held the lease"),
    "entries": ("dicom_cast_entries", "Change feed entries worked on"),
    "written": ("dicom_cast_entries_written", "Entries whose study was written to FHIR"),
    "unchanged": ("dicom_cast_entries_unchanged", "Entries that FHIR said already"),
    "failed": ("dicom_cast_entries_failed", "Entries recorded as not synced"),
    "invalid_tags": ("dicom_cast_invalid_tags", "Optional tags that were left out"),
    "fhir_calls": ("dicom_cast_fhir_calls", "HTTP requests to the FHIR server"),
}


def metrics_text(status: Status) -> str:
    """The whole exposition; a metric whose system is down is left out."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    return generate_latest(registry).decode()


class _StatusCollector(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield _gauge("dicom_cast_faults", "Systems that are down or did not answer", len(status.faults))
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
        if status.lease:
            yield _gauge("dicom_cast_lease_held", "1 while a host works", status.lease.held)
        if status.carried is not None:
            yield _gauge("dicom_cast_carried_studies", "Studies that wait for a later tick", len(status.carried))
        if status.replays is not None:
            yield _gauge("dicom_cast_replays", "Replays under way", len(status.replays))
        if status.errors:
            rows = GaugeMetricFamily("dicom_cast_open_errors", "Open rows, counted to 1000", labels=["table"])
            for table, count in status.errors.counts.items():
                rows.add_metric([table], count)
            yield rows
        yield from self._of_the_journal()

    def _of_the_journal(self) -> Iterable[Metric]:
        journal = self._status.journal
        if journal is None:
            return
        for name, (metric, text) in _COUNTERS.items():
            yield CounterMetricFamily(metric, text, value=journal.totals.get(name, 0))
        if journal.last:
            yield _gauge("dicom_cast_last_tick_duration_seconds", "Of the last tick", journal.last.duration_seconds)
        if journal.well_at:
            yield _gauge("dicom_cast_last_good_tick_timestamp_seconds", "When a tick last ended well", journal.well_at)


def _gauge(name: str, text: str, value: float | datetime) -> Metric:
    return GaugeMetricFamily(name, text, value=value.timestamp() if isinstance(value, datetime) else float(value))
