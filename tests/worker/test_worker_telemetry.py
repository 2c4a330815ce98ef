"""Microsoft's own language worker sets OpenTelemetry up, and the app makes use of it; in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.dicom_service_client import dicom_file, running
from tests.integration.ingestion_endpoint import IngestionEndpoint

pytest.importorskip(
    "azure_functions_runtime.handle_event",
    reason="azure-functions-runtime is for Python 3.13 and later: see tests/worker/requirements.txt",
)
ROOT = Path(__file__).parents[2]
WORK = """
import json
import logging
from tests.worker import protos
from tests.worker.test_worker import ROOT, Worker

logging.getLogger().setLevel(logging.DEBUG)  # as PYTHON_ENABLE_DEBUG_LOGGING does
worker = Worker(ROOT)
timer = protos.TypedData(json='{"IsPastDue": false, "Schedule": {}, "ScheduleStatus": null}')
worker.invoke("sync", "timer", timer)
print(json.dumps(worker.capabilities))
"""


def test_the_worker_sends_what_the_app_tells(dicom, storage, fhir_url):
    """One setting turns it on; the host is told not to send the log lines again."""
    dicom.store(dicom_file(PatientID="ZQ-7731-X", PatientName="Quillfeather^Zebedee", PatientBirthDate="19510309"))
    endpoint = IngestionEndpoint()
    with running(endpoint.app) as client:
        endpoint.url = client.url
        settings = {
            "AzureWebJobsStorage": storage,
            "DicomWeb__Endpoint": dicom.url,
            "Fhir__Endpoint": fhir_url,
            "SyncSchedule": "*/10 * * * * *",
            "TableStore__TableNamePrefix": "workertelemetry",
            "FUNCTIONS_WORKER_RUNTIME": "python",
        }
        environment = os.environ | settings | endpoint.settings
        command = [sys.executable, "-c", WORK]
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout.splitlines()[-1])["WorkerOpenTelemetryEnabled"] == "true"
    spans = {one["name"]: one for one in endpoint.items("RemoteDependencyData")}
    assert spans["study"]["ai.operation.parentId"] == spans["tick"]["id"]
    assert {"tick", "study", "GET /fhir/metadata", "POST /fhir/", "GET /v1/changefeed"} <= set(spans)
    assert not [name for name in spans if "devstoreaccount1" in name]
    (written,) = [
        one["value"] for one in endpoint.metrics("dicom_cast.entries") if one["properties"]["Fate"] == "written"
    ]
    assert written == 1
    assert [one for one in endpoint.items("MessageData") if one["message"].startswith("tick synced")]
    everything = "\n".join(endpoint.bodies).lower()
    assert not [
        value for value in ("zq-7731-x", "quillfeather", "zebedee", "19510309", "1951-03-09") if value in everything
    ]
