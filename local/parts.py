"""Stops and starts a part of the running stack from another terminal, by empty files in a folder of `make run`."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from local.processes import StackError

PARTS = {"functions": "functions host", "dicom": "DICOM service", "fhir": "FHIR server", "azurite": "storage (Azurite)"}
VERBS = ("start", "stop")
ANSWER_SECONDS = 5
_FOLDER = "asked"


def start_command(part: str, port_option: str) -> str:
    """The command that starts the part again. `port_option`: the option that names the stack (PortNumbers.option)."""
    return f".venv/bin/python -m local start{port_option} {part}"


def ask(folder: Path, verb: str, part: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Asks the `make run` that has this folder to start or stop a part.

    Raises StackError if it does not take the request within ANSWER_SECONDS.
    """
    note = folder / _FOLDER / f"{verb}-{part}"
    if note.parent.is_dir():
        note.touch()
        for _ in range(ANSWER_SECONDS * 10):
            if not note.exists():
                return
            sleep(0.1)
        note.unlink(missing_ok=True)
    raise StackError("no `make run` is up here to ask")


def begin_listening(folder: Path) -> None:
    """Removes old requests, and takes new ones from now on."""
    (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
    for note in (folder / _FOLDER).iterdir():
        note.unlink()


def requested(folder: Path) -> Iterator[tuple[str, str]]:
    """The requests since the last call, as verb and part. Removing the file tells `ask` that its request was taken."""
    for note in sorted((folder / _FOLDER).iterdir()):
        note.unlink()
        verb, _, part = note.name.partition("-")
        if verb in VERBS and part in PARTS:
            yield verb, part
