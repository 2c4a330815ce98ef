"""`make run`: the stack stays up until Ctrl-C, and what it holds is kept."""

import hashlib
import shutil
import time
from pathlib import Path

from local.processes import StackError
from local.stack import ROOT, Ports, Stack, StackOptions

_WELCOME = """
    page      {stack.functions_url}/api/dashboard
    status    {stack.functions_url}/api/status
    DICOM     {stack.dicom_url}/v1/studies
    FHIR      {stack.fhir_url}/ImagingStudy
    key       {key}   (header x-functions-key)

    store a file:  .venv/bin/python -m local load PATH...
    logs:          {stack.options.directory}
    Ctrl-C ends it.
"""


def run(ports: Ports, folder: Path, settings: Path, fhir_url: str | None, *, core_tools: bool | None = None) -> int:
    """Never returns but by an exception: StackError where a part ends by itself.

    `folder` takes logs, the function key and what is kept. `settings` is local.settings.json, made from the sample if
    it is not there; it says nothing of where the systems are. `fhir_url`: the base URL of a FHIR server to use, not the
    local one.
    `core_tools`: whether `func` is the host; None: where it is installed.
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
    )
    with Stack(options) as stack:
        file = key_file(folder)
        file.touch(mode=0o600)
        file.write_text(stack.function_key, encoding="utf-8")
        print(_WELCOME.format(stack=stack, key="not needed" if core_tools else stack.function_key), flush=True)
        while not (ended := stack.ended()):
            time.sleep(0.5)
        raise StackError(f"{', '.join(ended)} ended by itself; see {options.directory}")


def key_file(folder: Path) -> Path:
    """Where `run` leaves the function key."""
    return folder / "run" / "function-key"


def _state(folder: Path, fhir_url: str | None) -> Path:
    """One for each FHIR server, with a DICOM service of its own: what is synced to one server is not to another."""
    name = "state" if fhir_url is None else f"state-{hashlib.sha256(fhir_url.encode()).hexdigest()[:12]}"
    state = folder / name
    state.mkdir(parents=True, exist_ok=True)
    return state
