"""What is told to OpenTelemetry, seen through an SDK in memory."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from local.processes import free_port
from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.clients.open_telemetry import OpenTelemetry, route_of
from shared.errors import OutageError
from shared.model.failures import ErrorTable
from shared.model.outcome import BatchResult, Lag, Outcome, TickRecord
from shared.model.watermark import Watermark
from tests.fakes import NOW

ROOT = Path(__file__).parents[3]


class Sdk:
    """Tracer and meter of its own, and all that they were told."""

    def __init__(self):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers, meters = TracerProvider(), MeterProvider([self.reader])
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.telemetry = OpenTelemetry(tracers.get_tracer("test"), meters.get_meter("test"))

    def span(self, name):
        (found,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return found

    def points(self):
        """(metric, values of its attributes) -> value; of a histogram the sum."""
        scopes = self.reader.get_metrics_data().resource_metrics[0].scope_metrics
        metrics = [metric for scope in scopes for metric in scope.metrics]
        return {
            (metric.name, *point.attributes.values()): getattr(point, "value", None) or getattr(point, "sum", 0)
            for metric in metrics
            for point in metric.data.data_points
        }


@pytest.fixture
def sdk():
    return Sdk()


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("", "/"),
        ("/metadata", "/metadata"),
        ("/Patient?identifier=%7CP-1", "/Patient"),
        ("?_getpages=P-1", "/"),
        ("/Patient/P-1", "/Patient/*"),
        ("/v1/studies/1.2.3/metadata", "/v1/studies/*/metadata"),
        ("/Doe/John?x", "/*/*"),
        ("/Patient#P-1", "/Patient"),
        ("/page;P-1/next", "/*/*"),
        ("/v2/changefeed/latest?includeMetadata=false", "/v2/changefeed/latest"),
    ],
)
def test_a_route_is_made_of_known_words(path, route):
    """A search's query holds a PatientID; what a server's next link holds nobody knows."""
    assert route_of(path) == route


def test_a_call_that_fails_tells_the_class_alone(sdk):
    """The message of `requests` quotes the URL."""
    fhir = FhirClient(HttpService("FHIR server", f"http://127.0.0.1:{free_port()}/fhir", telemetry=sdk.telemetry))
    with pytest.raises(OutageError), sdk.telemetry.studies("1.2", 1):
        fhir.search("Patient", "identifier=%7CP-1")
    span = sdk.span("GET /Patient")
    assert (span.attributes["Error"], span.status.is_ok, span.events) == ("ConnectionError", False, ())
    assert "P-1" not in "".join(one.to_json() for one in sdk.exporter.get_finished_spans())
    assert "P-1" not in str(sdk.points())


@pytest.mark.parametrize(("status", "is_ok"), [(200, True), (304, True), (404, False), (503, False)])
def test_an_error_status_is_a_failed_call(sdk, status, is_ok):
    """As HTTP clients are to tell it (OpenTelemetry semantic conventions, HTTP spans)."""
    with sdk.telemetry.call("FHIR server", "http://x/fhir", "GET", "/Patient?a") as tell:
        tell(status)
    span = sdk.span("GET /Patient")
    assert (span.status.is_ok, span.attributes["url.full"]) == (is_ok, "http://x/fhir/Patient")
    assert list(sdk.points()) == [("dicom_cast.call.duration", "FHIR server", "GET", "/Patient", status)]


def test_a_study_in_a_thread_of_its_own_is_part_of_the_tick(sdk):
    """Threads begin without a span."""
    with sdk.telemetry.tick():

        def work():
            with sdk.telemetry.studies("1.2", 1) as tell:
                tell(True, 0)

        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert sdk.span("study").parent == sdk.span("tick").context


def test_a_tick_is_counted_as_its_record_says(sdk):
    """Entries by fate, rows by table, the lag; a tick that did not get the lease has no duration."""
    result = BatchResult(
        Outcome.SYNCED,
        Watermark(9),
        written=5,
        failed=2,
        invalid_tags=3,
        carried=4,
        recorded={ErrorTable.FHIR: 2},
        codings_without_system={"ImagingStudy.reasonCode": 6},
    )
    for record in (
        TickRecord(NOW, 1.5, Outcome.SYNCED, result, lag=Lag(7, 60.0)),
        TickRecord(NOW, 0.0, Outcome.LEASE_HELD),
        TickRecord(NOW - timedelta(1), 2.0, Outcome.FAILED, error="OutageError: down"),
    ):
        with sdk.telemetry.tick() as tell:
            tell(record)
    assert sdk.points() == {
        ("dicom_cast.ticks", "synced"): 1,
        ("dicom_cast.ticks", "leaseHeld"): 1,
        ("dicom_cast.ticks", "failed"): 1,
        ("dicom_cast.tick.duration", "synced"): 1.5,
        ("dicom_cast.tick.duration", "failed"): 2.0,
        ("dicom_cast.entries", "written"): 5,
        ("dicom_cast.entries", "unchanged"): 0,
        ("dicom_cast.entries", "failed"): 2,
        ("dicom_cast.invalid_tags",): 3,
        ("dicom_cast.carried",): 4,
        ("dicom_cast.codings_without_system", "ImagingStudy.reasonCode"): 6,
        ("dicom_cast.error_rows", ErrorTable.FHIR.value): 2,
        ("dicom_cast.lag.entries",): 7,
        ("dicom_cast.lag.seconds",): 60.0,
    }
    spans = [span.attributes["Outcome"] for span in sdk.exporter.get_finished_spans() if span.status.is_ok]
    assert spans == ["synced", "leaseHeld"]


START = """
import os, sys
storage = "AccountName=a;AccountKey=a2V5;" + "".join(f"{one}Endpoint=http://127.0.0.1:1/a;" for one in ("Blob", "Table"))
os.environ.update({"AzureWebJobsStorage": storage, "DicomWeb__Endpoint": "http://127.0.0.1:1",
                   "Fhir__Endpoint": "http://127.0.0.1:2", "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": sys.argv[1]})
import function_app
from shared import bootstrap
bootstrap.app().tick()
print(len([name for name in sys.modules if name.startswith("opentelemetry")]), "opentelemetry.sdk" in sys.modules)
"""


@pytest.mark.parametrize("value", ["", "false", "off"])
def test_off_means_that_nothing_is_imported(value):
    """A start on a cold host is paid by nobody who has no use for it."""
    ended = subprocess.run([sys.executable, "-c", START, value], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0", "False"], ended.stderr


def test_on_without_a_worker_that_sets_it_up():
    """The sync goes on; a log line says what is wrong."""
    ended = subprocess.run([sys.executable, "-c", START, "true"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "is APPLICATIONINSIGHTS_CONNECTION_STRING set?" in ended.stderr
    assert ended.stdout.split()[-1] == "False"
