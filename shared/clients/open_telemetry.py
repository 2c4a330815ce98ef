"""Reports to OpenTelemetry what the app does: metrics, and a trace of each tick. Imported only if telemetry is on.

The language worker sets up the SDK with Azure Monitor's distro (docs/adr/0011-telemetry.md). The distro makes HTTP
libraries record whole URLs, and the URL of a FHIR search may hold a PatientID. So this is switched off here, and
requests are recorded with a path that has only known words.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points

from azure.core.settings import settings as azure_sdk
from opentelemetry import context, metrics, trace

from shared.model.outcome import Outcome, TickRecord
from shared.model.replay import Replay
from shared.process.telemetry import Telemetry

NAME = "dicom_cast"
KNOWN_WORDS = frozenset({
    "v1", "v2", "changefeed", "latest", "studies",
    "metadata", "Patient", "Endpoint", "ImagingStudy", "Observation", "ServiceRequest",
})  # fmt: skip
"""Parts of the paths that the app requests; any other part is recorded as `*`."""
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_FIRST_ERROR_STATUS = 400
_UNSET = (
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY is on, but the language worker has not set OpenTelemetry up: "
    "is APPLICATIONINSIGHTS_CONNECTION_STRING set? Its own log lines say more"
)

logger = logging.getLogger(__name__)


def open_telemetry() -> "OpenTelemetry":
    """The app's telemetry. All other instrumentation of this process is switched off."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        logger.warning(_UNSET)
    _stop_instrumentations()
    return OpenTelemetry(trace.get_tracer(NAME), metrics.get_meter(NAME))


def _stop_instrumentations() -> None:
    for found in entry_points(group="opentelemetry_instrumentor"):
        with suppress(ImportError):  # its library is not installed
            instrumentor = found.load()()
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()
    azure_sdk.tracing_enabled = False


class OpenTelemetry(Telemetry):
    """Metrics and traces. Metrics are made of the ticks' records, so that they agree with the status."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._tick: context.Context | None = None
        self._ticks = meter.create_counter(f"{NAME}.ticks", "{tick}", "Ticks by Outcome")
        self._duration = meter.create_histogram(
            f"{NAME}.tick.duration", "s", "Ticks that held the lease", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._entries = meter.create_counter(f"{NAME}.entries", "{entry}", "Change feed entries by Fate")
        self._invalid_tags = meter.create_counter(f"{NAME}.invalid_tags", "{tag}", "Optional tags that were left out")
        self._codings = meter.create_counter(
            f"{NAME}.codings_without_system", "{coding}", "Codings written that have no system, by Element"
        )
        self._rows = meter.create_counter(f"{NAME}.error_rows", "{row}", "Rows written, by error Table")
        self._carried = meter.create_gauge(f"{NAME}.carried", "{entry}", "Entries that wait for a later tick")
        self._lag_entries = meter.create_gauge(f"{NAME}.lag.entries", "{entry}", "Sequence numbers behind the feed")
        self._lag_seconds = meter.create_gauge(f"{NAME}.lag.seconds", "s", "Age of the oldest entry not synced")
        self._replays = meter.create_counter(f"{NAME}.replays", "{replay}", "Replays that ended, by State")
        self._calls = meter.create_histogram(
            f"{NAME}.call.duration", "s", "HTTP requests", explicit_bucket_boundaries_advisory=_SECONDS
        )

    @contextmanager
    def tick(self) -> Iterator[Callable[[TickRecord], None]]:
        def report(record: TickRecord) -> None:
            span.set_attribute("Outcome", record.outcome.value)
            if record.outcome in (Outcome.FAILED, Outcome.STOPPED):
                span.set_status(trace.StatusCode.ERROR)
            self._count(record)

        with self._span("tick", {}) as span:
            self._tick = context.get_current()
            try:
                yield report
            finally:
                self._tick = None

    @contextmanager
    def studies(self, study_instance_uids: str, entries: int) -> Iterator[Callable[[bool, int], None]]:
        def report(wrote: bool, failed: int) -> None:
            span.set_attributes({"Wrote": wrote, "Failed": failed})

        with self._span("study", {"StudyInstanceUID": study_instance_uids, "Entries": entries}) as span:
            yield report

    @contextmanager
    def call(self, system: str, url: str, method: str, path: str) -> Iterator[Callable[[int], None]]:
        route = route_of(path)
        dimensions: dict[str, str | int] = {"System": system, "Method": method, "Route": route, "Status": "none"}
        attributes = {"http.request.method": method, "url.full": f"{url}{route}", "System": system, "Route": route}

        def report(status: int) -> None:
            dimensions["Status"] = status
            span.set_attribute("http.response.status_code", status)
            if status >= _FIRST_ERROR_STATUS:
                span.set_status(trace.StatusCode.ERROR)

        with self._span(f"{method} {route}", attributes, trace.SpanKind.CLIENT) as span:
            started = time.perf_counter()
            try:
                yield report
            finally:
                self._calls.record(time.perf_counter() - started, dimensions)

    def replay(self, replay: Replay) -> None:
        self._replays.add(1, {"State": replay.state.value})

    def _count(self, record: TickRecord) -> None:
        outcome = {"Outcome": record.outcome.value}
        self._ticks.add(1, outcome)
        if record.outcome is not Outcome.LEASE_HELD:
            self._duration.record(record.duration_seconds, outcome)
        if lag := record.lag:
            self._lag_entries.set(lag.entries)
            self._lag_seconds.set(lag.seconds)
        if result := record.result:
            for fate in ("written", "unchanged", "failed"):
                self._entries.add(getattr(result, fate), {"Fate": fate})
            self._invalid_tags.add(result.invalid_tags)
            self._carried.set(result.carried)
            for element, codings in result.codings_without_system.items():
                self._codings.add(codings, {"Element": element})
            for table, rows in result.recorded.items():
                self._rows.add(rows, {"Table": table.value})

    @contextmanager
    def _span(
        self, name: str, attributes: Mapping[str, str | int], kind: trace.SpanKind = trace.SpanKind.INTERNAL
    ) -> Iterator[trace.Span]:
        """A span. Of an error only the class is recorded, as a traceback of `requests` has the URL.

        In a thread that the tick has started there is no current span, so the tick's span becomes the parent.
        """
        is_within = trace.get_current_span().get_span_context().is_valid
        parent = None if is_within else self._tick
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("Error", type(error).__name__)
                span.set_status(trace.StatusCode.ERROR)
                raise


def route_of(path: str) -> str:
    """The path without its query, with `*` for unknown parts: `/Patient`, `/v1/studies/*/metadata`."""
    parts = path.partition("?")[0].partition("#")[0].strip("/").split("/")
    return "/" + "/".join(part if part in KNOWN_WORDS or not part else "*" for part in parts)
