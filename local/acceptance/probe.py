"""A probe: a small try of the server, which never ends a run."""

from collections.abc import Callable, Iterable, Iterator

from local.acceptance.server import FAULTS
from shared.errors import OutageError

Probe = Callable[[], str]
"""Answers with what the server does, in a few words."""


def told(rows: Iterable[tuple[str, Probe]]) -> Iterator[tuple[str, str]]:
    """Rows of the table."""
    for name, probe in rows:
        try:
            yield name, probe()
        except (*FAULTS, OutageError, ValueError) as error:
            yield name, f"not told: {' '.join(str(error).split())}"
