"""The verdict on each promise of the app: whether it holds on this server, and what was seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import requests

from local.acceptance.server import FhirAnswerError
from shared.errors import DicomCastError


class Verdict(StrEnum):
    """Whether a promise holds; the value is printed."""

    HELD = "held"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the result. `seen`: what was found, without patient values."""

    promise: str
    verdict: Verdict
    seen: str


class BrokenError(Exception):
    """A promise does not hold. The message says what was found, without patient values."""


class Promises:
    """The promises, in the order in which they were tried. `report` gets a line for each as soon as it is judged."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.results: list[Promise] = []
        self._report = report
        self._stopped_by = ""

    @contextmanager
    def judged(self, promise: str, *, fatal: type[BrokenError] | None = None) -> Iterator[list[str]]:
        """The promise holds unless the block raises an error. The block adds what it found to the list.

        After an error of the type `fatal`, no further step is tried.
        """
        seen: list[str] = []
        try:
            yield seen
        except (BrokenError, FhirAnswerError, DicomCastError, requests.RequestException) as error:
            message = str(error) if not isinstance(error, requests.RequestException) else type(error).__name__
            self._add(Promise(promise, Verdict.BROKEN, " ".join(message.split())))
            if fatal and isinstance(error, fatal):
                self._stopped_by = promise
        else:
            self._add(Promise(promise, Verdict.HELD, "; ".join(seen)))

    def try_all(self, steps: list[tuple[str, Callable[[], str]]], fatal: type[BrokenError]) -> None:
        """Runs and judges each step, which returns what it found. After an error of the type `fatal`, none is run."""
        for promise, step in steps:
            if self._stopped_by:
                self._add(Promise(promise, Verdict.NOT_TRIED, f"after “{self._stopped_by}” was broken"))
                continue
            with self.judged(promise, fatal=fatal) as seen:
                seen.append(step())

    @property
    def all_hold(self) -> bool:
        """Whether at least one promise was tried, and all hold."""
        return bool(self.results) and all(one.verdict is Verdict.HELD for one in self.results)

    def as_json(self) -> list[dict[str, Any]]:
        """An object for each promise."""
        return [asdict(one) for one in self.results]

    def _add(self, promise: Promise) -> None:
        self.results.append(promise)
        self._report(f"{promise.verdict:<9}  {promise.promise}" + (f": {promise.seen}" if promise.seen else ""))
