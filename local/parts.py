"""Parts of the stack that `make run` keeps up, stopped and started again from another terminal."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from local.processes import StackError

PARTS = {"functions": "functions host", "dicom": "DICOM service", "fhir": "FHIR server", "azurite": "storage (Azurite)"}
VERBS = ("start", "stop")
ANSWER_SECONDS = 5
_FOLDER = "asked"


def start_command(part: str, port_option: str) -> str:
    """What to type so that the part is started again; `port_option` tells which stack's."""
    return f".venv/bin/python -m local start{port_option} {part}"


def ask(folder: Path, verb: str, part: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Asks the `run` whose folder this is to start or stop a part. Raises StackError where none takes notice."""
    note = folder / _FOLDER / f"{verb}-{part}"
    if note.parent.is_dir():
        note.touch()
        for _ in range(ANSWER_SECONDS * 10):
            if not note.exists():
                return
            sleep(0.1)
        note.unlink(missing_ok=True)
    raise StackError("no `make run` is up here to ask")


def listen(folder: Path) -> None:
    """Nothing is asked any more, and from now on may be."""
    (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
    for note in (folder / _FOLDER).iterdir():
        note.unlink()


def asked(folder: Path) -> Iterator[tuple[str, str]]:
    """What was asked since, verb and part; it is taken note of."""
    for note in sorted((folder / _FOLDER).iterdir()):
        note.unlink()
        verb, _, part = note.name.partition("-")
        if verb in VERBS and part in PARTS:
            yield verb, part
