"""The app as Microsoft's own language worker runs it: indexed, loaded, invoked; no .NET host, no gRPC."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from shared import bootstrap
from tests.integration.dicom_service_client import dicom_file
from tests.worker import protos

handle_event = pytest.importorskip(
    "azure_functions_runtime.handle_event",
    reason="azure-functions-runtime is for Python 3.13 and later: see tests/worker/requirements.txt",
)
ROOT = Path(__file__).parents[2]


class Worker:
    """Sends the worker the requests that a host would send."""

    def __init__(self, directory):
        request = protos.Message(
            worker_init_request=protos.Message(capabilities={}, function_app_directory=str(directory))
        )
        answer = self._ask(handle_event.worker_init_request, request)
        assert answer.result.status == "success", vars(answer.result.exception)
        self.capabilities = answer.capabilities
        said = self._ask(handle_event.functions_metadata_request, protos.Message())
        self.functions = {one.name: one for one in said.function_metadata_results}
        for one in self.functions.values():
            load = protos.Message(function_load_request=protos.Message(function_id=one.function_id))
            assert self._ask(handle_event.function_load_request, load).result.status == "success"

    def invoke(self, name, parameter, data):
        """The invocation's answer; a failure is raised with its traceback."""
        trace = protos.Message(trace_parent="", trace_state="", attributes={})
        retry = protos.Message(retry_count=0, max_retry_count=0, exception=None)
        invocation = protos.Message(
            invocation_id="1",
            function_id=self.functions[name].function_id,
            input_data=[protos.ParameterBinding(name=parameter, data=data)],
            trigger_metadata={},
            trace_context=trace,
            retry_context=retry,
        )
        answer = self._ask(handle_event.invocation_request, protos.Message(invocation_request=invocation))
        if answer.result.status != "success":
            raise RuntimeError(answer.result.exception.stack_trace)
        return answer

    @staticmethod
    def _ask(handler, request):
        return asyncio.run(handler(protos.Message(request=request, properties={"host": "127.0.0.1", "protos": protos})))


@pytest.fixture
def worker(dicom, storage, fhir_url, monkeypatch):
    """A worker that has indexed this app, whose settings name the real parts."""
    settings = {
        "AzureWebJobsStorage": storage,
        "DicomWeb__Endpoint": dicom.url,
        "Fhir__Endpoint": fhir_url,
        "SyncSchedule": "*/10 * * * * *",
        "TableStore__TableNamePrefix": "worker",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(ROOT))
    bootstrap.app.cache_clear()
    sys.modules.pop("function_app", None)
    yield Worker(ROOT)
    bootstrap.app.cache_clear()


def test_the_worker_indexes_the_functions(worker):
    """With the bindings that the host is to listen on."""
    bindings = {name: [json.loads(one) for one in function.raw_bindings] for name, function in worker.functions.items()}
    (timer,) = bindings["sync"]
    assert (timer["type"], timer["name"], timer["schedule"]) == ("timerTrigger", "timer", "%SyncSchedule%")
    http, answer = bindings["status"]
    assert (http["type"], http["route"], http["methods"], http["authLevel"]) == (
        "httpTrigger",
        "status",
        ["GET"],
        "FUNCTION",
    )
    assert (answer["type"], answer["name"]) == ("http", "$return")
    routes = re.findall(r"^def (\w+)\(req: ", (ROOT / "shared/web/triggers.py").read_text("utf-8"), re.MULTILINE)
    assert set(bindings) == {"sync", *routes}


def test_the_worker_runs_timer_and_http(worker, dicom):
    """A stored instance is synced by the timer, and the status says so."""
    dicom.store(dicom_file(PatientID="worker-1"))
    worker.invoke(
        "sync", "timer", protos.TypedData(json='{"IsPastDue": false, "Schedule": {}, "ScheduleStatus": null}')
    )
    request = protos.RpcHttp(
        method="GET", url="http://x/api/status", headers={}, params={}, query={}, body=protos.TypedData(bytes=b"")
    )
    answer = worker.invoke("status", "req", protos.TypedData(http=request)).return_value.http
    status = json.loads(answer.body.bytes)
    assert (str(answer.status_code), status["lag"]["entries"]) == ("200", 0)
    assert (status["lastTick"]["outcome"], status["lastTick"]["written"]) == ("synced", 1)
