"""`make run`: the stack stays up until Ctrl-C, and what it holds is kept."""

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


class Kept(Protocol):
    """What is kept up."""

    @property
    def parts(self) -> tuple[str, ...]:
        """All that belong to it."""

    def start(self, *names: str) -> None:
        """Raises StackError."""

    def end(self, name: str) -> None:
        """In order."""

    def runs(self, name: str) -> bool:
        """Whether it is up."""

    def ended(self) -> list[str]:
        """Those that ended by themselves, each once."""


def run(
    ports: PortNumbers, folder: Path, settings: Path, fhir_url: str | None, *, core_tools: bool | None = None
) -> int:
    """Never returns: a part that ends is told of, and the others go on. Raises StackError where one does not start.

    `folder` takes logs, the function key and what is kept. `settings` is local.settings.json, made from the sample if
    it is not there; it says nothing of where the systems are. `fhir_url`: the base URL of a FHIR server to use, not the
    local one. `core_tools`: whether `func` is the host; None: where it is installed.
    """
    if fhir_url is not None:
        print(f"using the FHIR server {fhir_url}: what is stored will be written there", flush=True)
    if not settings.exists():
        shutil.copy(ROOT / "local.settings.sample.json", settings)
    core_tools = shutil.which("func") is not None if core_tools is None else core_tools
    options = StackOptions(
        ports,
        folder / "run",
        _state(folder, fhir_url),
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
            look_after(stack, options.directory, ports.option, _tell)
            time.sleep(0.5)


def look_after(kept: Kept, directory: Path, port_option: str, tell: Callable[[str], None]) -> None:
    """Does what was asked from another terminal, and tells of parts that have ended."""
    for verb, name in requested(directory):
        if name not in kept.parts:
            tell(f"the {PARTS[name]} is none of this stack's own")
        elif verb == "stop":
            kept.end(name)
            tell(f"the {PARTS[name]} is stopped, the others go on. {_again(name, port_option)}")
        elif kept.runs(name):
            tell(f"the {PARTS[name]} is up already")
        else:
            try:
                kept.start(name)
                tell(f"the {PARTS[name]} is up again")
            except StackError as error:
                tell(str(error))
    for name in kept.ended():
        log = "" if name == "functions" else f" (see {directory / name}.log)"
        tell(f"the {PARTS[name]} ended by itself{log}, the others go on. {_again(name, port_option)}")


def kept_key(folder: Path) -> str:
    """The function key of the last run, so that a tab and a script go on; made where there is none."""
    file = key_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    key = file.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,}", key):
        key = secrets.token_urlsafe(24)
        file.write_text(key, encoding="utf-8")
    return key


def key_file(folder: Path) -> Path:
    """Where `run` leaves the function key."""
    return folder / "run" / "function-key"


def _again(name: str, port_option: str) -> str:
    return f"To start it again: {start_command(name, port_option)}"


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _state(folder: Path, fhir_url: str | None) -> Path:
    """One for each FHIR server, with a DICOM service of its own: what is synced to one server is not to another."""
    name = "state" if fhir_url is None else f"state-{hashlib.sha256(fhir_url.encode()).hexdigest()[:12]}"
    state = folder / name
    state.mkdir(parents=True, exist_ok=True)
    return state
