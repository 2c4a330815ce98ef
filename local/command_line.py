"""The stack for one machine: run it, store DICOM in it, check it, compare it, stop a part of it and start it again."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local.acceptance import command as acceptance
from local.base_url import base_url
from local.check import check
from local.comparison import compare_running
from local.console import console_on_stdout
from local.demo import demo
from local.load import load
from local.mark import command as marking
from local.own_audit import print_last_audit
from local.parts import PARTS, ask
from local.processes import StackError
from local.run import key_file, run
from local.stack import ROOT, PortNumbers

STATE = ROOT / ".local"
SETTINGS = ROOT / "local.settings.json"
_LAST_PORT = 65535


def main() -> int:
    """Runs the command of sys.argv. Returns the exit code; errors are printed."""
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored otherwise
    try:
        return _COMMANDS[arguments.command](arguments)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0 if arguments.command == "run" else 130


def parser() -> argparse.ArgumentParser:
    """The parser of all commands and their arguments."""
    whole = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_stack(commands)
    loading = _command(commands, "load", "store files or folders in the DICOM service")
    loading.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a DICOM file, or a folder of such")
    text = "data partition to store them in: 1 to 64 letters, digits, '.', '-', '_'"
    loading.add_argument("--partition", metavar="NAME", help=text)
    text = "base URL of the DICOM service (default: the one of `make run`)"
    loading.add_argument("--dicom", type=base_url, metavar="URL", help=text)
    checking = _command(commands, "check", "the self-check of an app")
    text = "URL of the functions host (default: the one of `make run`)"
    checking.add_argument("--functions", type=base_url, metavar="URL", help=text)
    checking.add_argument("--key", help="its function key (default: that of the last `make run`)")
    acceptance.add_command(commands)
    marking.add_command(commands)
    return whole


def _add_stack(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    running = _command(commands, "run", "start the stack and keep it up until Ctrl-C")
    text = "base URL of a FHIR server to use instead of the local one"
    running.add_argument("--fhir", type=base_url, metavar="URL", help=text)
    _command(commands, "demo", "store real DICOM, sync it, compare FHIR with DICOM")
    comparing = _command(commands, "compare", "compare FHIR with DICOM, on the running stack")
    text = "base URL of the FHIR server, where `run` was given one"
    comparing.add_argument("--fhir", type=base_url, metavar="URL", help=text)
    verbs = {"stop": "stop a part of the running stack", "start": "start a part again that has ended"}
    for verb, purpose in verbs.items():
        _command(commands, verb, purpose).add_argument("part", choices=PARTS, help="which part")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str
) -> argparse.ArgumentParser:
    """Adds a command that reaches the stack by its ports, so it has `--port`. `purpose`: its help and description."""
    command = commands.add_parser(name, help=purpose, description=f"{purpose}.")
    text = "the first of six ports in a row: app, DICOM, FHIR, Azurite's three (default: 7071-7073 and 10000-10002)"
    command.add_argument("--port", type=_first_port, metavar="N", help=text)
    return command


def _first_port(text: str) -> int:
    last = _LAST_PORT - 5
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= last):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to {last} is expected")
    return int(text)


def _ports(arguments: argparse.Namespace) -> PortNumbers:
    return PortNumbers.from_first(arguments.port)


def _folder(arguments: argparse.Namespace) -> Path:
    """The stack's folder; one for each `--port`, so that stacks on different ports share no data."""
    return STATE / f"port-{arguments.port}" if arguments.port else STATE


def _run(arguments: argparse.Namespace) -> int:
    return run(_ports(arguments), _folder(arguments), SETTINGS, arguments.fhir)


def _demo(arguments: argparse.Namespace) -> int:
    return demo(_ports(arguments), _folder(arguments) / "demo")


def _compare(arguments: argparse.Namespace) -> int:
    code = compare_running(_ports(arguments), SETTINGS, arguments.fhir)
    if (file := key_file(_folder(arguments))).exists():
        functions_url = f"http://127.0.0.1:{_ports(arguments).functions}"
        print_last_audit(console_on_stdout(), functions_url, file.read_text(encoding="utf-8").strip())
    return code


def _ask(arguments: argparse.Namespace) -> int:
    ask(_folder(arguments) / "run", arguments.command, arguments.part)
    return 0


def _load(arguments: argparse.Namespace) -> int:
    url = arguments.dicom or f"http://127.0.0.1:{_ports(arguments).dicom}"
    return load(url, arguments.paths, arguments.partition)


def _check(arguments: argparse.Namespace) -> int:
    file = key_file(_folder(arguments))
    key = arguments.key or (file.read_text(encoding="utf-8") if file.exists() else "")
    return check(arguments.functions or f"http://127.0.0.1:{_ports(arguments).functions}", key)


def _acceptance(arguments: argparse.Namespace) -> int:
    return acceptance.accept(arguments, STATE / "acceptance")


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "demo": _demo,
    "compare": _compare,
    "stop": _ask,
    "start": _ask,
    "load": _load,
    "check": _check,
    "acceptance": _acceptance,
    "mark": marking.mark,
}
