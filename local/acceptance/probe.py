"""A probe: a small test of one behaviour of the server. If it fails, the run goes on."""

from collections.abc import Callable, Iterable, Iterator

from local.acceptance.server import FAULTS
from shared.errors import OutageError

Probe = Callable[[], str]
"""Returns what the server does, in a few words."""


def results(rows: Iterable[tuple[str, Probe]]) -> Iterator[tuple[str, str]]:
    """Runs the probes, by the names of their rows. Gives each row's name and result; an error is its result too."""
    for name, probe in rows:
        try:
            yield name, probe()
        except (*FAULTS, OutageError, ValueError) as error:
            yield name, f"not told: {' '.join(str(error).split())}"
