"""`python -m local run | demo | load | check | acceptance`: the stack for one machine."""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from local.acceptance import command as acceptance
from local.check import check
from local.demo import demo
from local.load import load
from local.processes import StackError
from local.stack import ROOT, Ports, Stack, StackOptions

STATE = ROOT / ".local"
KEY_FILE = STATE / "run" / "function-key"
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


def main() -> int:
    """The exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell's `&` has it ignored
    try:
        return _COMMANDS[arguments.command](arguments)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if arguments.command == "run" else 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start the stack and keep it up until Ctrl-C")
    commands.add_parser("demo", help="store real DICOM, sync it, compare FHIR with DICOM")
    loading = commands.add_parser("load", help="store files or folders in the DICOM service")
    loading.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    loading.add_argument(
        "--partition", metavar="NAME", help="data partition to store them in: 1 to 64 letters, digits, '.', '-', '_'"
    )
    loading.add_argument("--dicom", default=f"http://127.0.0.1:{Ports().dicom}", metavar="URL")
    checking = commands.add_parser("check", help="the self-check of an app: by default the one that `make run` started")
    checking.add_argument("--functions", default=f"http://127.0.0.1:{Ports().functions}", metavar="URL")
    checking.add_argument("--key", default=KEY_FILE.read_text() if KEY_FILE.exists() else "", help="its function key")
    acceptance.add_command(commands)
    return parser.parse_args()


def _demo(_: argparse.Namespace) -> int:
    return demo(Ports(), STATE / "demo")


def _load(arguments: argparse.Namespace) -> int:
    return load(arguments.dicom.rstrip("/"), arguments.paths, arguments.partition)


def _check(arguments: argparse.Namespace) -> int:
    return check(arguments.functions.rstrip("/"), arguments.key)


def _acceptance(arguments: argparse.Namespace) -> int:
    return acceptance.accept(arguments, STATE / "acceptance")


def _run(_: argparse.Namespace) -> int:
    settings = ROOT / "local.settings.json"
    if not settings.exists():
        shutil.copy(ROOT / "local.settings.sample.json", settings)
    core_tools = shutil.which("func") is not None
    state = STATE / "state"
    state.mkdir(parents=True, exist_ok=True)
    options = StackOptions(Ports(), STATE / "run", state, settings_file=settings, core_tools=core_tools, show_host=True)
    with Stack(options) as stack:
        KEY_FILE.touch(mode=0o600)
        KEY_FILE.write_text(stack.function_key)
        print(_WELCOME.format(stack=stack, key="not needed" if core_tools else stack.function_key), flush=True)
        while not (ended := stack.ended()):
            time.sleep(0.5)
        raise StackError(f"{', '.join(ended)} ended by itself; see {options.directory}")


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "demo": _demo,
    "load": _load,
    "check": _check,
    "acceptance": _acceptance,
}


if __name__ == "__main__":
    sys.exit(main())
