"""The stack for one machine: Azurite, a FHIR server, a DICOM service and the functions host, each a process."""

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from local.functions_host.settings import HostError, read_app_settings
from local.processes import Program, Running, StackError, free_port, listens, ready_at

ROOT = Path(__file__).parents[1]
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account key is published in its documentation; it is not a secret."""
_OWN_SETTINGS = ("AzureWebJobsStorage", "DicomWeb__Endpoint", "Fhir__Endpoint")
_ACCESS_GROUPS = ("authentication__", "tls__", "proxy")
_DICOM_ACCESS = ("dicomweb__privateendpoint", *(f"dicomweb__{name}" for name in _ACCESS_GROUPS))
_FHIR_ACCESS = tuple(f"fhir__{name}" for name in _ACCESS_GROUPS)
"""Settings that say how a DICOM service or a FHIR server is called: how their names begin, in lower case."""
_PORT_TAKEN_MESSAGES = ("address already in use", "is taken; stop what uses it")
"""What a program's error has if its port is in use: that of uvicorn or Azurite, that of the functions host."""
_PORT_SECONDS = 30  # how long to try a part's port again
_PART_NAMES = ("functions host", "DICOM service", "FHIR server", "Azurite blobs", "Azurite queues", "Azurite tables")


@dataclass(frozen=True, slots=True)
class PortNumbers:
    """The ports of the parts, on 127.0.0.1. The README names the defaults."""

    functions: int = 7071
    dicom: int = 7072
    fhir: int = 7073
    blob: int = 10000
    queue: int = 10001
    table: int = 10002

    @classmethod
    def from_first(cls, first: int | None) -> Self:
        """Six ports in a row; the defaults if `first` is None."""
        return cls() if first is None else cls(*range(first, first + len(fields(cls))))

    @property
    def option(self) -> str:
        """The option by which another command names this stack, after a space; empty if these are the defaults."""
        return "" if self == PortNumbers() else f" --port {self.functions}"

    @classmethod
    def free(cls) -> Self:
        """Ports that are not in use, different ones at each call."""
        return cls(*(free_port() for _ in fields(cls)))

    def taken(self) -> list[str]:
        """The ports that are in use, as `7072 (DICOM service)`."""
        named = zip(astuple(self), _PART_NAMES, strict=True)
        return [f"{port} ({name})" for port, name in named if listens(port)]


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How a stack runs.

    `directory`: for logs and the parts' configuration files. `state`: folder of the databases; None keeps all in
    memory. `settings`: app settings in addition to the stack's own, or in their place. `settings_file`: a
    local.settings.json to use instead of both; the parts of this stack are used whatever systems it or the environment
    names. `fhir_url`: base URL of a FHIR server that runs already, called with the settings of the file; None starts
    one. `core_tools`: whether the host is `func`. `show_host`: whether the host's log goes to the terminal.
    `function_key`: None makes a new one.
    """

    ports: PortNumbers
    directory: Path
    state: Path | None = None
    settings: Mapping[str, str] | None = None
    settings_file: Path | None = None
    fhir_url: str | None = None
    core_tools: bool = False
    show_host: bool = False
    function_key: str | None = None


class Stack:
    """The parts, started on entry and ended on exit; the functions host starts last and ends first.

    `with Stack(options)` raises StackError if a port is in use or a part does not start.
    """

    def __init__(self, options: StackOptions) -> None:
        self.options = options
        self.ports = options.ports
        self.function_key = options.function_key or secrets.token_urlsafe(24)
        self.functions_url = f"http://127.0.0.1:{self.ports.functions}"
        self.dicom_url = f"http://127.0.0.1:{self.ports.dicom}"
        self.fhir_url = options.fhir_url or f"http://127.0.0.1:{self.ports.fhir}/fhir"
        self._running: dict[str, Running] = {}

    @property
    def storage_connection(self) -> str:
        """The connection string of Azurite."""
        ports = (("Blob", self.ports.blob), ("Queue", self.ports.queue), ("Table", self.ports.table))
        endpoints = "".join(f"{name}Endpoint=http://127.0.0.1:{port}/{_ACCOUNT};" for name, port in ports)
        return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_ACCOUNT_KEY};{endpoints}"

    @property
    def settings(self) -> dict[str, str]:
        """The app settings for this stack: the sample's, where the parts are, and those of the options."""
        sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))["Values"]
        own = {
            "AzureWebJobsStorage": self.storage_connection,
            "DicomWeb__Endpoint": self.dicom_url,
            "Fhir__Endpoint": self.fhir_url,
        }
        return {**sample, **own, **(self.options.settings or {})}

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that this stack starts, the functions host last."""
        return ("azurite", "dicom", *(() if self.options.fhir_url else ("fhir",)), "functions")

    def __enter__(self) -> Self:
        if taken := self.ports.taken():
            raise StackError(
                f"already in use: port {', port '.join(taken)}; stop what uses it, or choose others with PORT=8071"
            )
        try:
            self.start(*self.parts[:-1])
            self.start(self.parts[-1])
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *names: str) -> None:
        """Starts parts at the same time, and waits until all are ready. Raises StackError."""
        self.options.directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            self._running[name] = Running(self._program(name))
        for name in names:
            self._await(name)

    def _await(self, name: str) -> None:
        """Waits until the part is ready; starts it again if its port is in use, for at most _PORT_SECONDS.

        The port of a part that has ended may be the client port of another connection for a moment.
        """
        deadline = time.monotonic() + _PORT_SECONDS
        while True:
            try:
                return self._running[name].await_ready()
            except StackError as error:
                if not any(one in str(error).lower() for one in _PORT_TAKEN_MESSAGES) or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)
            self._running[name] = Running(self._program(name))

    def stop(self) -> None:
        """Ends all parts that still run."""
        for name in reversed(self.parts):
            self.end(name)

    def kill(self, name: str) -> None:
        """Ends a part at once, as a crash would."""
        self._running.pop(name).kill()

    def end(self, name: str) -> None:
        """Ends a part with SIGTERM, if it runs."""
        if running := self._running.pop(name, None):
            running.stop()

    def runs(self, name: str) -> bool:
        """Whether the part runs."""
        return name in self._running and self._running[name].process.poll() is None

    def ended(self) -> list[str]:
        """The parts that have ended by themselves since the last call."""
        names = [name for name, running in self._running.items() if running.process.poll() is not None]
        for name in names:
            del self._running[name]
        return names

    def _program(self, name: str) -> Program:
        return {"azurite": self._azurite, "fhir": self._fhir, "dicom": self._dicom, "functions": self._functions}[
            name
        ]()

    def _azurite(self) -> Program:
        script = ROOT / "local/azurite/node_modules/azurite/dist/src/azurite.js"
        if not script.exists():
            raise StackError("Azurite is not there: run `make setup`")
        state = self.options.state
        keep = ["--location", str(state / "azurite")] if state else ["--inMemoryPersistence"]
        ports = [
            ("--blobPort", self.ports.blob),
            ("--queuePort", self.ports.queue),
            ("--tablePort", self.ports.table),
        ]
        listening = [str(item) for pair in ports for item in pair]
        # The newest SDKs send an API version that Azurite does not know yet.
        command = [_node(), str(script), "--silent", "--skipApiVersionCheck", "--disableTelemetry", *listening, *keep]
        return self._child("azurite", command, lambda: listens(self.ports.blob) and listens(self.ports.table))

    def _fhir(self) -> Program:
        state = self.options.state
        database = str(state / "fhir.db") if state else ":memory:"
        config = self.options.directory / "fhir.yaml"
        config.write_text(
            json.dumps(  # JSON is YAML
                {
                    "base_url": self.fhir_url,
                    "host": "127.0.0.1",
                    "port": self.ports.fhir,
                    "db_path": database,
                    "log_inbound": False,
                    "simulator": {"enabled": False},
                }
            ),
            encoding="utf-8",
        )
        sekmet = str(Path(sys.executable).with_name("sekmet"))
        command = [sekmet, "serve", "--config", str(config), "--host", "127.0.0.1", "--port", str(self.ports.fhir)]
        return self._child("fhir", command, ready_at(f"{self.fhir_url}/metadata"))

    def _dicom(self) -> Program:
        state = self.options.state
        keep = ["--database", str(state / "dicom.db")] if state else []
        command = [sys.executable, "-m", "local.dicom_service", "--port", str(self.ports.dicom), *keep]
        return self._child("dicom", command, ready_at(f"{self.dicom_url}/health"))

    def _functions(self) -> Program:
        if self.options.core_tools:
            command = ["func", "start", "--port", str(self.ports.functions)]
        else:
            command = [sys.executable, "-m", "local.functions_host", "--port", str(self.ports.functions)]
            command += ["--settings", str(self._settings_file()), f"--key={self.function_key}"]
            command += ["--readable"] if self.options.show_host else []
        ready = ready_at(f"{self.functions_url}/admin/host/status")
        return self._child("functions", command, ready, self.overriding_settings(), show=self.options.show_host)

    def overriding_settings(self) -> dict[str, str]:
        """Environment variables that override the settings file, which may name systems that are in real use.

        Our host and Core Tools both prefer the environment to the file, and the app takes an empty setting for none.
        Raises StackError if the file cannot be read.
        """
        file = self.options.settings_file
        if file is None:
            return {}
        access = _DICOM_ACCESS if self.options.fhir_url else (*_DICOM_ACCESS, *_FHIR_ACCESS)
        own = {name: self.settings[name] for name in _OWN_SETTINGS}
        by_lower = {name.lower(): value for name, value in own.items()}
        try:
            given = {*os.environ, *read_app_settings(file)}
        except HostError as error:
            raise StackError(str(error)) from error
        taken = {name for name in given if name.lower().startswith((*access, *by_lower))}
        return {name: by_lower.get(name.lower(), "") for name in taken} | own

    def _settings_file(self) -> Path:
        if self.options.settings_file:
            return self.options.settings_file
        path = self.options.directory / "local.settings.json"
        path.write_text(json.dumps({"IsEncrypted": False, "Values": self.settings}, indent=2), encoding="utf-8")
        return path

    def _child(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        *,
        show: bool = False,
    ) -> Program:
        log = None if show else self.options.directory / f"{name}.log"
        return Program(name, command, ready, log, ROOT, {"PYTHONUNBUFFERED": "1", **(environment or {})})


def _node() -> str:
    beside = Path(sys.executable).with_name("node")
    node = shutil.which("node") or (str(beside) if beside.exists() else None)
    if node is None:
        raise StackError("Node is not there: run `make setup`")
    return node
