"""The verdicts: each promise of the app held or broken on this server, and what was seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import requests

from local.acceptance.server import FhirAnswerError
from shared.errors import DicomCastError


class Verdict(StrEnum):
    """Of one promise."""

    HELD = "held"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the outcome; `seen` has no patient values."""

    promise: str
    verdict: Verdict
    seen: str


class BrokenError(Exception):
    """What was seen is not what was promised; the message has no patient values."""


class Promises:
    """In the order in which they were tried; `tell` has each as soon as it is known."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.told: list[Promise] = []
        self._tell = tell
        self._stopped_by = ""

    @contextmanager
    def judged(self, promise: str, *, ends_all: type[BrokenError] | None = None) -> Iterator[list[str]]:
        """Judges by what happens inside: held unless it raises. What was seen goes into the list.

        After an error of the type `ends_all` nothing more can be judged.
        """
        seen: list[str] = []
        try:
            yield seen
        except (BrokenError, FhirAnswerError, DicomCastError, requests.RequestException) as error:
            told = str(error) if not isinstance(error, requests.RequestException) else type(error).__name__
            self._add(Promise(promise, Verdict.BROKEN, " ".join(told.split())))
            if ends_all and isinstance(error, ends_all):
                self._stopped_by = promise
        else:
            self._add(Promise(promise, Verdict.HELD, "; ".join(seen)))

    def try_all(self, steps: list[tuple[str, Callable[[], str]]], ends_all: type[BrokenError]) -> None:
        """Judges step by step; each says what it saw."""
        for promise, step in steps:
            if self._stopped_by:
                self._add(Promise(promise, Verdict.NOT_TRIED, f"after “{self._stopped_by}” was broken"))
                continue
            with self.judged(promise, ends_all=ends_all) as seen:
                seen.append(step())

    @property
    def all_hold(self) -> bool:
        """Whether there are any, and each holds."""
        return bool(self.told) and all(one.verdict is Verdict.HELD for one in self.told)

    def as_json(self) -> list[dict[str, Any]]:
        """One object a promise."""
        return [asdict(one) for one in self.told]

    def _add(self, promise: Promise) -> None:
        self.told.append(promise)
        self._tell(f"{promise.verdict:<9}  {promise.promise}" + (f": {promise.seen}" if promise.seen else ""))
