"""`python -m local run | demo | load | check | acceptance | mark`: the stack for one machine."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local.acceptance import command as acceptance
from local.check import check
from local.demo import demo
from local.load import load
from local.mark import command as marking
from local.processes import StackError
from local.run import key_file, run
from local.stack import ROOT, Ports

STATE = ROOT / ".local"


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
    running = commands.add_parser("run", help="start the stack and keep it up until Ctrl-C")
    running.add_argument("--fhir", metavar="URL", help="base URL of a FHIR server to use instead of the local one")
    commands.add_parser("demo", help="store real DICOM, sync it, compare FHIR with DICOM")
    loading = commands.add_parser("load", help="store files or folders in the DICOM service")
    loading.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    loading.add_argument(
        "--partition", metavar="NAME", help="data partition to store them in: 1 to 64 letters, digits, '.', '-', '_'"
    )
    loading.add_argument("--dicom", default=f"http://127.0.0.1:{Ports().dicom}", metavar="URL")
    checking = commands.add_parser("check", help="the self-check of an app: by default the one that `make run` started")
    checking.add_argument("--functions", default=f"http://127.0.0.1:{Ports().functions}", metavar="URL")
    checking.add_argument("--key", default=_key(), help="its function key")
    acceptance.add_command(commands)
    marking.add_command(commands)
    return parser.parse_args()


def _key() -> str:
    """That of the app which `run` started last."""
    file = key_file(STATE)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _run(arguments: argparse.Namespace) -> int:
    return run(Ports(), STATE, ROOT / "local.settings.json", arguments.fhir.rstrip("/") if arguments.fhir else None)


def _demo(_: argparse.Namespace) -> int:
    return demo(Ports(), STATE / "demo")


def _load(arguments: argparse.Namespace) -> int:
    return load(arguments.dicom.rstrip("/"), arguments.paths, arguments.partition)


def _check(arguments: argparse.Namespace) -> int:
    return check(arguments.functions.rstrip("/"), arguments.key)


def _acceptance(arguments: argparse.Namespace) -> int:
    return acceptance.accept(arguments, STATE / "acceptance")


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "demo": _demo,
    "load": _load,
    "check": _check,
    "acceptance": _acceptance,
    "mark": marking.mark,
}


if __name__ == "__main__":
    sys.exit(main())
