"""What the app tells of its work beyond its log lines; here to nobody. open_telemetry.py tells it to OpenTelemetry."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.model.outcome import TickRecord
from shared.model.replay import Replay


class Telemetry:
    """Each context manager spans a piece of work, and gives a function to tell how it ended."""

    @contextmanager
    def tick(self) -> Iterator[Callable[[TickRecord], None]]:
        """A tick."""
        yield _ignored

    @contextmanager
    def studies(self, study_instance_uids: str, entries: int) -> Iterator[Callable[[bool, int], None]]:  # noqa: ARG002
        """One try of a study of so many entries: whether it was written to, and how many entries failed."""
        yield _ignored

    @contextmanager
    def call(self, system: str, url: str, method: str, path: str) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """An HTTP request to the system at `url`, and the status of its answer. `path` may hold patient data."""
        yield _ignored

    def replay(self, replay: Replay) -> None:
        """A replay that has ended."""


SILENT = Telemetry()


def _ignored(*_: object) -> None:
    pass
