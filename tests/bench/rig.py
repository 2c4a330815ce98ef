"""The parts that a measurement runs on, each a process of its own: Azurite, the DICOM service, a FHIR server, the worker."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from local.processes import Program, Running, free_port, ready_at
from local.stack import ROOT, PortNumbers, Stack, StackOptions
from tests.bench.workloads import Work, delete_half, fill, warm_up

Json = dict[str, Any]
KEEPS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""For glibc: a page of the feed has a megabyte, which a process would take anew from the kernel for every answer."""


class DicomService:
    """The local DICOM service on a database file."""

    def __init__(self, database: Path, work: Work) -> None:
        self.work = work
        self._database = database
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "local.dicom_service", "--port", str(port), "--database", str(database)]
        log = database.with_suffix(".log")
        self._running = Running(Program("dicom", command, ready_at(f"{self.url}/health"), log, ROOT, KEEPS_MEMORY))
        self._running.await_ready()

    def delete_half(self) -> int:
        return delete_half(self._database, self.work)

    def stop(self) -> None:
        self._running.stop()


class FhirServer:
    """A FHIR server under its meter."""

    def __init__(self, kind: str, directory: Path) -> None:
        port = free_port()
        self.kind = kind
        self.url = f"http://127.0.0.1:{port}/fhir"
        self.meter = f"http://127.0.0.1:{port}/bench"
        command = [sys.executable, "-m", "tests.bench.fhir_server", "--kind", kind, "--port", str(port)]
        log = directory / f"fhir-{kind}-{port}.log"
        self._running = Running(Program("fhir", command, ready_at(f"{self.url}/metadata"), log, ROOT, {}))
        self._running.await_ready()

    def empty(self) -> None:
        requests.delete(self.meter, timeout=60).raise_for_status()

    def delay(self, seconds: float) -> None:
        """Latency of every call from now on."""
        requests.put(self.meter, json={"latency": seconds}, timeout=60).raise_for_status()

    def keep(self) -> None:
        """The transactions that it takes from now on."""
        requests.put(f"{self.meter}/kept", timeout=60).raise_for_status()

    def kept(self) -> list[bytes]:
        """Those that it took since `keep`, in the order of their answers."""
        return [text.encode() for text in requests.get(f"{self.meter}/kept", timeout=60).json()]

    def stop(self) -> None:
        self._running.stop()


class WorkerProcess:
    """See worker.py; `module` is another of its kind."""

    def __init__(self, told: Json, module: str = "tests.bench.worker") -> None:
        command = [sys.executable, "-m", module, json.dumps(told)]
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, command: str, *arguments: Any) -> Json:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([command, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended at `{command}`; its error stands above")
        return json.loads(line)


@dataclass
class Rig:
    """Azurite, and a DICOM service to warm up on, for the whole run; the rest per measurement."""

    directory: Path
    storage: str
    warm_dicom: str

    @contextmanager
    def dicom(self, work: Work) -> Iterator[DicomService]:
        """A DICOM service that holds the work; its database is filled once, and copied for every use."""
        filled = self.directory / f"{work.name}-{work.entries}.db"
        if not filled.exists():
            fill(filled, work)
        copy = self.directory / "dicom.db"
        shutil.copy(filled, copy)
        service = DicomService(copy, work)
        try:
            yield service
        finally:
            service.stop()
            for path in self.directory.glob("dicom.db*"):
                path.unlink()

    @contextmanager
    def fhir(self, kind: str) -> Iterator[FhirServer]:
        server = FhirServer(kind, self.directory)
        try:
            yield server
        finally:
            server.stop()

    @contextmanager
    def worker(
        self, who: str, dicom: DicomService, fhir: FhirServer, settings: Mapping[str, str]
    ) -> Iterator[WorkerProcess]:
        """A warm one."""
        own = {"AzureWebJobsStorage": self.storage, "DicomWeb__Endpoint": dicom.url, "Fhir__Endpoint": fhir.url}
        told = {"who": who, "dicom": dicom.url, "warm_dicom": self.warm_dicom, "fhir": fhir.url, "meter": fhir.meter}
        with WorkerProcess({**told, "settings": {**own, **settings}}) as process:
            fhir.delay(0.0)
            process.ask("warm")
            yield process


@contextmanager
def rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        stack = Stack(StackOptions(PortNumbers.free(), directory))
        try:
            stack.start("azurite")
            with warmed(stack.storage_connection, directory) as started:
                yield started
        finally:
            stack.stop()


@contextmanager
def warmed(storage: str, directory: Path) -> Iterator[Rig]:
    """On a storage account that is there already."""
    fill(directory / "warm.db", warm_up())
    warm = DicomService(directory / "warm.db", warm_up())
    try:
        yield Rig(directory, storage, warm.url)
    finally:
        warm.stop()
