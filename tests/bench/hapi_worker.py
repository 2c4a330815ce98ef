"""The process that syncs to HAPI, and then sends what it sent once more with nothing around it.

`python -m tests.bench.hapi_worker '{"storage": ..., "fhir": ...}'` takes commands as worker.py does: `begin` (the app anew), `sync`
(it ticks until nothing is left, its requests are seen as they leave it) and `replay` (the transactions of the last `sync`, with other
UIDs and PatientIDs in them, as many at once as the app has workers to begin with).
"""

import gc
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, local
from typing import TYPE_CHECKING, Any

import requests

from shared import bootstrap
from shared.clients.fhir.exchange import FHIR_JSON
from shared.process.garbage_collector import freeze_startup_objects
from shared.settings.config import read_settings
from shared.sync.queue.concurrency import FIRST_WORKERS
from tests.bench.worker import ADVANCES, Json, serve
from tests.bench.workloads import ROOT_UID

if TYPE_CHECKING:
    from shared.app import App

OK = 200


class HapiWorker:
    """`told`: storage, fhir."""

    def __init__(self, told: Json) -> None:
        self._told = told
        self._app: App | None = None
        self._sent: list[bytes] = []
        self._workers = 0
        self._lock = Lock()

    def begin(self, name: str, dicom: str) -> Json:
        """An app on the DICOM service at `dicom`. It has read HAPI's CapabilityStatement, 1.8 MB, as a process does once."""
        settings = read_settings(
            {
                "AzureWebJobsStorage": self._told["storage"],
                "DicomWeb__Endpoint": dicom,
                "Fhir__Endpoint": self._told["fhir"],
                "TableStore__TableNamePrefix": f"h{os.getpid()}{name}",
                "DicomCast__MaxBatchesPerTick": "0",
            }
        )
        self._app = bootstrap.build(settings)
        gc.collect()
        freeze_startup_objects()
        self._workers = min(settings.max_concurrency, FIRST_WORKERS)
        self._sent = []
        fhir: Any = self._app.ports.fhir
        fhir.check()
        fhir.service._session.hooks["response"].append(self._saw)
        return {}

    def sync(self) -> Json:
        """Entries, seconds, and what went to the FHIR server."""
        assert self._app
        fhir: Any = self._app.ports.fhir
        before = fhir.calls
        entries = 0
        started = time.perf_counter()
        while True:
            record = self._app.tick()
            result = record.result
            if record.outcome not in ADVANCES or result is None or record.lag is None or result.failed:
                raise RuntimeError(f"the tick did not end well: {record}")
            entries += result.written
            if record.lag.entries == 0:
                break
        seconds = time.perf_counter() - started
        return {
            "entries": entries,
            "seconds": seconds,
            "calls": fhir.calls - before,
            "transactions": len(self._sent),
            "bytes": sum(map(len, self._sent)),
            "updates": sum(body.count(b'"method":"PUT"') for body in self._sent),
        }

    def replay(self, was: int, now: int) -> Json:
        """`was` and `now` are of equal length: what the numbers of all studies and patients begin with."""
        bodies = [renumbered(body, was, now) for body in self._sent]
        threads = local()

        def post(body: bytes) -> int:
            if not hasattr(threads, "session"):
                threads.session = requests.Session()
            headers = {"Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "Prefer": "return=minimal"}
            answer = threads.session.post(self._told["fhir"], data=body, headers=headers, timeout=100)
            answer.raise_for_status()
            return sum(entry["response"]["status"].startswith("201") for entry in answer.json()["entry"])

        started = time.perf_counter()
        with ThreadPoolExecutor(self._workers) as pool:
            created = sum(pool.map(post, bodies))
        return {"seconds": time.perf_counter() - started, "created": created}

    def _saw(self, response: requests.Response, *_: Any, **__: Any) -> None:
        body = response.request.body
        if isinstance(body, bytes) and b'"type":"transaction"' in body and response.status_code == OK:
            with self._lock:
                self._sent.append(body)


def renumbered(body: bytes, was: int, now: int) -> bytes:
    """A transaction about other studies and other patients, of the same length."""
    for text in (f"{ROOT_UID}.{{}}", "BENCH-{}"):
        body = body.replace(text.format(was).encode(), text.format(now).encode())
    return body


if __name__ == "__main__":
    serve(HapiWorker(json.loads(sys.argv[1])))
