"""The process that syncs, alone with its CPU clock and its memory: `python -m tests.bench.worker '{"who": "app", ...}'`.

It takes commands as lines of JSON and answers each with a line: `begin` (the app anew, with tables of its own, which are
there as after a deployment), `drain` (the app ticks until nothing is left, or until its time is over), `sync` and `jump`
(the reference, between two sequence numbers). The first command is a warm-up on a DICOM service of its own: imports and
first connections are not measured, a Functions host keeps them for hours.
"""

import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from azure.data.tables import TableServiceClient

from shared import bootstrap
from shared.clients.azure.lease import CONTAINER
from shared.model.outcome import Outcome
from shared.process.garbage_collector import freeze_startup_objects
from shared.settings.config import read_settings
from tests.bench.reference import Reference
from tests.bench.sampler import Sampler
from tests.bench.workloads import warm_up
from tests.unit.test_names import tables

if TYPE_CHECKING:
    from shared.app import App

Json = dict[str, Any]
ADVANCES = (Outcome.SYNCED, Outcome.IDLE)


class Worker:
    """`told`: who, dicom, warm_dicom, fhir, meter, settings."""

    def __init__(self, told: Json) -> None:
        self._told = told
        self._reference = Reference(told["dicom"], told["fhir"])
        self._app: App | None = None

    def warm(self) -> Json:
        if self._told["who"] == "app":
            self.begin("warm")
            assert self._app
            record = self._app.tick()
            assert record.outcome is Outcome.SYNCED, record
        else:
            warm = Reference(self._told["warm_dicom"], self._told["fhir"])
            warm.sync(warm.feed(0, warm_up().entries))
        return {}

    def begin(self, name: str) -> Json:
        """The app with new tables, at the feed's beginning; peak RSS counts anew."""
        prefix = f"b{os.getpid()}{name}"
        own = {"TableStore__TableNamePrefix": prefix}
        with TableServiceClient.from_connection_string(self._told["settings"]["AzureWebJobsStorage"]) as service:
            for table in set(tables()) - {CONTAINER}:
                service.create_table(prefix + table)
        if name == "warm":
            own["DicomWeb__Endpoint"] = self._told["warm_dicom"]
        self._app = bootstrap.build(read_settings(self._told["settings"] | own))
        gc.collect()
        freeze_startup_objects()  # as the app of a process does
        Path("/proc/self/clear_refs").write_text("5")
        return {}

    def drain(self, seconds: float, is_sampled: bool) -> Json:
        """Ticks until the lag is nought, or `seconds` are over; a step per tick."""
        steps: list[Json] = []
        deadline = time.monotonic() + seconds
        while True:
            step = self._measured(self._tick, is_sampled)
            steps.append(step)
            if step["lag"] == 0 or time.monotonic() > deadline:
                return {"steps": steps, "rss_mb": peak_rss_mb()}

    def _tick(self) -> Json:
        assert self._app
        record = self._app.tick()
        result = record.result
        if record.outcome not in ADVANCES or result is None or record.lag is None or result.failed:
            raise RuntimeError(f"the tick did not end well: {record}")
        return {"entries": result.written + result.unchanged, "written": result.written, "lag": record.lag.entries}

    def sync(self, after: int, through: int, is_sampled: bool) -> Json:
        reference = self._reference
        step = self._measured(lambda: {"entries": reference.sync(reference.feed(after, through))}, is_sampled)
        return {"steps": [step], "rss_mb": peak_rss_mb()}

    def jump(self, after: int, through: int) -> Json:
        self._reference.jump(self._reference.feed(after, through))
        return {}

    def _measured(self, work: Callable[[], Json], is_sampled: bool) -> Json:
        """What the work told, its seconds, where they were sampled CPU seconds, and what the FHIR server's meter says."""
        requests.post(self._told["meter"], timeout=60).raise_for_status()
        sampler = Sampler()
        started = time.perf_counter()
        with sampler if is_sampled else nullcontext():
            told = work()
        seconds = time.perf_counter() - started
        meter = requests.get(self._told["meter"], timeout=60).json()
        cpu_seconds = {"stages": dict(sampler.stages), "functions": dict(sampler.functions.most_common(25))}
        return {**told, "seconds": seconds, **cpu_seconds, "fhir": meter}


def peak_rss_mb() -> float:
    """Of this process since `begin`."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) / 1024


def serve(worker: Any) -> None:
    """Answers each command of standard input by the worker's method of that name."""
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(worker, name)(*arguments)), flush=True)


if __name__ == "__main__":
    serve(Worker(json.loads(sys.argv[1])))
