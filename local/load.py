"""`python -m local load PATH...`: stores files or folders in the DICOM service, with a progress bar at a terminal."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from local.console import console_on_stdout
from local.stow import StoreResult, UnreachableError, files_under, store


def load(url: str, paths: Sequence[Path], partition: str | None = None) -> int:
    """Stores all files that it can, and prints which could not be stored and why.

    `paths`: files and folders. Files that are not DICOM instances are only counted: folders hold others too, such as a
    CD's DICOMDIR. Returns the exit code: 1 if a file could not be stored, or if there is no DICOM instance.
    """
    console = console_on_stdout()
    files = files_under(paths)
    if not files:
        console.print(f"no files in {', '.join(map(str, paths))}", style="red")
        return 1
    counts: Counter[StoreResult] = Counter()
    refused = []
    try:
        stored, no_bar = store(url, files, partition), not console.file.isatty()
        for one in track(stored, "storing", total=len(files), console=console, disable=no_bar):
            counts[one.result] += 1
            if one.result is StoreResult.REFUSED:
                refused.append(one)
    except UnreachableError as error:
        console.print(str(error), style="red")
        return 1
    for one in refused:
        console.print(f"{one.path}: {one.reason}", style="red")
    console.print(", ".join(f"{counts[result]} {result}" for result in StoreResult))
    return 1 if refused or counts[StoreResult.NO_INSTANCE] == len(files) else 0
