"""`python -m local load PATH...`: stores files or folders in the DICOM service, with a progress bar."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from local.stow import Fate, UnreachableError, files_under, store


def load(url: str, paths: Sequence[Path], partition: str | None = None) -> int:
    """The exit code: 1 where a file could not be stored. Says which and why, and goes on."""
    console = Console()
    files = files_under(paths)
    fates: Counter[Fate] = Counter()
    refused = []
    try:
        for one in track(store(url, files, partition), "storing", total=len(files), console=console):
            fates[one.fate] += 1
            if one.fate is Fate.REFUSED:
                refused.append(one)
    except UnreachableError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    for one in refused:
        console.print(f"[red]{one.path}: {one.reason}[/red]")
    console.print(", ".join(f"{fates[fate]} {fate}" for fate in Fate))
    return 1 if refused or not files else 0
