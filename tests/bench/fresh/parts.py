"""What a row is measured on: an archive on a database of its own, a FHIR server, and the app of one tree of code."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import requests

from local.dicom_service import store, timestamps
from local.dicom_service.database import Database
from local.dicom_service.instance import Instance
from local.stack import ROOT
from tests.bench.fresh.tree import Tree
from tests.bench.rig import DicomService, FhirServer, Json, Rig, WorkerProcess
from tests.bench.workloads import Work, instances

EVERY_SECOND = "* * * * * *"
"""A schedule for small sizes; else it is the tree's default."""
MOST_FAULTS = 3
"""Ticks that may not end well before a row is given up."""
_CHUNK = 500
_WARM_TICKS = 3


@dataclass(frozen=True, slots=True)
class Archive:
    """A DICOM service, and the database that it serves."""

    service: DicomService
    database: Path

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def port(self) -> int:
        return port_of(self.url)

    def add(self, arriving: Iterable[Instance], at: float) -> None:
        """Stores them all, as of this time (seconds since 1970)."""
        database = Database(str(self.database))
        last = database.rows("SELECT coalesce(max(sequence), 0) FROM change")[0][0]
        store.add(database, store.DEFAULT_PARTITION, list(arriving))
        with database.transaction() as connection:
            ticks = int(at * timestamps.TICKS_PER_SECOND)
            connection.execute("UPDATE change SET timestamp = ? WHERE sequence > ?", (ticks, last))
        database.close()


class Host(WorkerProcess):
    """See host.py. Its folder, and what it imports, are the tree's."""

    def __init__(self, tree: Tree, told: Json) -> None:
        command = [sys.executable, "-P", str(ROOT / "tests/bench/fresh/host.py"), json.dumps(told)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        environment = {**os.environ, "PYTHONPATH": str(tree.path)}
        self._process = subprocess.Popen(command, cwd=tree.path, env=environment, text=True, **pipes)

    def begin(self, prefix: str, more: Mapping[str, str] | None = None, clock: float | None = None) -> dict[str, str]:
        """The app anew; with what settings."""
        self._prefix = prefix
        settings: dict[str, str] = self.ask("begin", prefix, dict(more or {}), clock)["settings"]
        return settings

    def begin_again(self) -> None:
        """As another process on the same storage: what this one remembers is forgotten."""
        self.begin(self._prefix)

    def tick(self, clock: float | None = None) -> Json:
        return self.ask("tick", clock)

    def ticks_until_synced(self) -> list[Json]:
        """One after another, without the schedule. On a busy machine a lease is lost now and then; entries never fail."""
        ticks: list[Json] = []
        while not ticks or ticks[-1]["lag"] != 0:
            ticks.append(self.tick())
            if sum(bool(tick["error"]) for tick in ticks) > MOST_FAULTS or ticks[-1]["failed"]:
                raise RuntimeError(f"a tick did not end well: {ticks[-1]}")
        return ticks


@dataclass(frozen=True, slots=True)
class Parts:
    """Azurite runs, and the archive to warm up on; the rest is started for a row and one tree."""

    rig: Rig
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def table_port(self) -> int:
        return self._port("Table")

    @property
    def blob_port(self) -> int:
        return self._port("Blob")

    def _port(self, kind: str) -> int:
        match = re.search(rf"{kind}Endpoint=http://127\.0\.0\.1:(\d+)/", self.rig.storage)
        assert match
        return int(match[1])

    @contextmanager
    def archive(self, work: Work | None, changed: Callable[[Instance], Instance] | None = None) -> Iterator[Archive]:
        """It holds the work, each instance as `changed`; None: nothing yet."""
        database = self.rig.directory / f"archive-{next(self._numbers)}.db"
        if work:
            shutil.copy(self._filled(work, changed), database)
        service = DicomService(database, work)
        try:
            yield Archive(service, database)
        finally:
            service.stop()
            for path in self.rig.directory.glob(f"{database.name}*"):
                path.unlink()

    def _filled(self, work: Work, changed: Callable[[Instance], Instance] | None) -> Path:
        """A database is filled once, and copied for each use."""
        kind = changed.__name__ if changed else "plain"
        path = self.rig.directory / f"filled-{work.name}-{kind}-{work.entries}.db"
        if not path.exists():
            database = Database(str(path))
            arriving = map(changed, instances(work)) if changed else instances(work)
            while chunk := list(islice(arriving, _CHUNK)):
                store.add(database, store.DEFAULT_PARTITION, chunk)
            database.close()
        return path

    def forget_filled(self) -> None:
        """They take gigabytes, and the next row has others."""
        for path in self.rig.directory.glob("filled-*"):
            path.unlink()

    @contextmanager
    def fhir(self, kind: str = "memory", latency_ms: int = 0) -> Iterator[FhirServer]:
        with self.rig.fhir(kind) as server:
            server.delay(latency_ms / 1000)
            yield server

    @contextmanager
    def host(
        self, tree: Tree, archive: Archive, fhir: FhirServer, schedule: str | None = None, **more: str
    ) -> Iterator[Host]:
        """A warm one, with the default settings but for `more`: a Functions host keeps its connections for hours."""
        own = {"AzureWebJobsStorage": self.rig.storage, "Fhir__Endpoint": fhir.url, "DicomWeb__Endpoint": archive.url}
        with Host(tree, {"settings": {**own, **more}, "schedule": schedule}) as host:
            host.begin("warm", {"DicomWeb__Endpoint": self.rig.warm_dicom})
            for _ in range(_WARM_TICKS):
                host.tick()
            fhir.empty()
            host.begin(f"row{next(self._numbers)}")
            yield host

    @contextmanager
    def feeder(
        self, archive: Archive, work: str, sizes: list[int], per_second: float, seconds: float
    ) -> Iterator[None]:
        """See feeder.py: a process of its own that puts the work into the database."""
        told = [str(archive.database), work, sizes, per_second, seconds]
        process = subprocess.Popen([sys.executable, "-m", "tests.bench.fresh.feeder", json.dumps(told)], cwd=ROOT)
        try:
            yield
            if process.wait(60):
                raise RuntimeError("the feeder did not keep up; it says above how much came in")
        finally:
            process.kill()
            process.wait()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def meter(fhir: FhirServer) -> Json:
    told: Json = requests.get(fhir.meter, timeout=60).json()
    return told


def await_true(asked: Callable[[], bool], seconds: float, every: float = 0.25) -> bool:
    """Whether it became true within so many seconds."""
    end = time.monotonic() + seconds
    while not asked():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True
