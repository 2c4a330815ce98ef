"""`make run`: runs the stack until Ctrl-C; its data is kept for the next run."""

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from local.parts import PARTS, begin_listening, requested, start_command
from local.processes import StackError
from local.stack import ROOT, PortNumbers, Stack, StackOptions

_WELCOME = """
    page      {stack.functions_url}/api/dashboard{fragment}
    status    {stack.functions_url}/api/status
    DICOM     {stack.dicom_url}/v1/studies
    FHIR      {stack.fhir_url}/ImagingStudy
    key       {key}   (header x-functions-key)

    store a file:    .venv/bin/python -m local load{port} PATH...
    try an outage:   .venv/bin/python -m local stop{port} fhir, and start{port} fhir
    logs:            {stack.options.directory}
    Ctrl-C ends it.
"""


class RunningStack(Protocol):
    """The parts of a stack, as `supervise` uses them."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Their names."""

    def start(self, *names: str) -> None:
        """Starts parts, and waits until they are ready. Raises StackError."""

    def end(self, name: str) -> None:
        """Ends a part with SIGTERM."""

    def runs(self, name: str) -> bool:
        """Whether the part runs."""

    def ended(self) -> list[str]:
        """The parts that have ended by themselves since the last call."""


def run(
    ports: PortNumbers, folder: Path, settings: Path, fhir_url: str | None, *, core_tools: bool | None = None
) -> int:
    """Starts the stack and runs it until it is interrupted; a part that ends is reported, and the others go on.

    `folder`: for logs, the function key and the databases. `settings`: local.settings.json; it is made from the sample
    if it does not exist, and the systems that it names are not used. `fhir_url`: base URL of a FHIR server to use
    instead of the local one. `core_tools`: whether the host is `func`; None: if that is installed. Never returns.
    Raises StackError if a part does not start.
    """
    if fhir_url is not None:
        print(f"using the FHIR server {fhir_url}: what is stored will be written there", flush=True)
    if not settings.exists():
        shutil.copy(ROOT / "local.settings.sample.json", settings)
    core_tools = shutil.which("func") is not None if core_tools is None else core_tools
    options = StackOptions(
        ports,
        folder / "run",
        _state_folder(folder, fhir_url),
        settings_file=settings,
        fhir_url=fhir_url,
        core_tools=core_tools,
        show_host=True,
        function_key=kept_key(folder),
    )
    with Stack(options) as stack:
        begin_listening(options.directory)
        key, fragment = ("not needed", "") if core_tools else (stack.function_key, f"#key={stack.function_key}")
        print(_WELCOME.format(stack=stack, key=key, fragment=fragment, port=ports.option), flush=True)
        while True:
            supervise(stack, options.directory, ports.option, _print_with_time)
            time.sleep(0.5)


def supervise(stack: RunningStack, directory: Path, port_option: str, report: Callable[[str], None]) -> None:
    """Stops and starts parts as requested from another terminal, and reports that, and parts that have ended.

    `directory`: of the requests and the logs. `port_option`: the option that names the stack. `report` gets each line.
    """
    for verb, name in requested(directory):
        if name not in stack.parts:
            report(f"the {PARTS[name]} is none of this stack's own")
        elif verb == "stop":
            stack.end(name)
            report(f"the {PARTS[name]} is stopped, the others go on. {_how_to_restart(name, port_option)}")
        elif stack.runs(name):
            report(f"the {PARTS[name]} is up already")
        else:
            try:
                stack.start(name)
                report(f"the {PARTS[name]} is up again")
            except StackError as error:
                report(str(error))
    for name in stack.ended():
        log = "" if name == "functions" else f" (see {directory / name}.log)"
        report(f"the {PARTS[name]} ended by itself{log}, the others go on. {_how_to_restart(name, port_option)}")


def kept_key(folder: Path) -> str:
    """The function key of the last run, so that an open page and a script can go on; a new one if there is none."""
    file = key_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    key = file.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,}", key):
        key = secrets.token_urlsafe(24)
        file.write_text(key, encoding="utf-8")
    return key


def key_file(folder: Path) -> Path:
    """The file in which `run` keeps the function key."""
    return folder / "run" / "function-key"


def _how_to_restart(name: str, port_option: str) -> str:
    return f"To start it again: {start_command(name, port_option)}"


def _print_with_time(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _state_folder(folder: Path, fhir_url: str | None) -> Path:
    """The folder of the databases, made if it does not exist; one for each FHIR server.

    Each FHIR server needs a DICOM service and a watermark of its own, since what is synced to one is not in another.
    """
    name = "state" if fhir_url is None else f"state-{hashlib.sha256(fhir_url.encode()).hexdigest()[:12]}"
    state = folder / name
    state.mkdir(parents=True, exist_ok=True)
    return state
