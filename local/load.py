"""`python -m local load PATH...`: stores files or folders in the DICOM service, with a progress bar at a terminal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from local.console import console_on_stdout
from local.stow import Fate, UnreachableError, files_under, store


def load(url: str, paths: Sequence[Path], partition: str | None = None) -> int:
    """The exit code: 1 where a file could not be stored, or none is there. Says which and why, and goes on.

    Files that are no DICOM instances are counted: folders hold others too, as a CD's DICOMDIR.
    """
    console = console_on_stdout()
    files = files_under(paths)
    if not files:
        console.print(f"no files in {', '.join(map(str, paths))}", style="red")
        return 1
    fates: Counter[Fate] = Counter()
    refused = []
    try:
        stored, no_bar = store(url, files, partition), not console.file.isatty()
        for one in track(stored, "storing", total=len(files), console=console, disable=no_bar):
            fates[one.fate] += 1
            if one.fate is Fate.REFUSED:
                refused.append(one)
    except UnreachableError as error:
        console.print(str(error), style="red")
        return 1
    for one in refused:
        console.print(f"{one.path}: {one.reason}", style="red")
    console.print(", ".join(f"{fates[fate]} {fate}" for fate in Fate))
    return 1 if refused or fates[Fate.NO_INSTANCE] == len(files) else 0
