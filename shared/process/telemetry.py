"""What the app reports of its work besides its log lines. `OpenTelemetry` (clients/open_telemetry.py) implements it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.model.outcome import TickRecord
from shared.model.replay import Replay


class Telemetry:
    """Reports nothing. Each context manager spans a piece of work, and yields a function to report how it ended."""

    @contextmanager
    def tick(self) -> Iterator[Callable[[TickRecord], None]]:
        """A tick."""
        yield _ignored

    @contextmanager
    def studies(self, study_instance_uids: str, entries: int) -> Iterator[Callable[[bool, int], None]]:  # noqa: ARG002
        """One attempt at a group of studies: whether any was written to, and how many of its entries failed.

        The UIDs stand side by side, separated by blanks.
        """
        yield _ignored

    @contextmanager
    def call(self, system: str, url: str, method: str, path: str) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """An HTTP request to the system at `url`, and its response's status. `path` may hold patient data."""
        yield _ignored

    def replay(self, replay: Replay) -> None:
        """A replay that has ended."""


SILENT = Telemetry()


def _ignored(*_: object) -> None:
    pass
