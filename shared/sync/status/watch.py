"""Asks several systems at once, and waits for each of them only for a limited time."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from threading import Lock, Thread
from typing import Any

from shared.errors import DicomCastError
from shared.process.deadline import Deadline


class UnderWay:
    """Questions that are being asked, each in a thread of its own. Whoever asks one again meanwhile shares its result.

    So a system that does not respond holds no more threads than there are questions, however many callers there are.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked: dict[str, Future[Any]] = {}

    def ask(self, name: str, question: Callable[[], Any]) -> Future[Any]:
        """The result of the question; its thread does not keep the process from ending."""
        with self._lock:
            if name in self._asked:
                return self._asked[name]
            future = self._asked[name] = Future()

        def ask() -> None:
            try:
                result, error = question(), None
            except BaseException as raised:  # noqa: BLE001 raised again where the result is waited for
                result, error = None, raised
            with self._lock:
                del self._asked[name]
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        Thread(target=ask, daemon=True, name=f"asks {name}").start()
        return future


class Results:
    """The results of questions by name; `faults` says which failed, or took longer than `seconds`.

    `deadline`: what the questions' requests keep to, so that they end once nobody waits for them.
    """

    def __init__(
        self, questions: Mapping[str, Callable[[], Any]], seconds: float, under_way: UnderWay, deadline: Deadline
    ) -> None:
        self.faults: dict[str, str] = {}
        self._results: dict[str, Any] = {}
        end = time.monotonic() + seconds
        asked = {name: under_way.ask(name, _within(deadline, seconds, ask)) for name, ask in questions.items()}
        for name, future in asked.items():
            try:
                self._results[name] = future.result(max(0.0, end - time.monotonic()))
            except NoAnswerError:
                self.faults[name] = f"{name}: no answer within {seconds:g} s"
            except DicomCastError as error:
                self.faults[name] = str(error)

    def get(self, name: str) -> Any:
        """The question's result, None if it failed."""
        return self._results.get(name)


def _within(deadline: Deadline, seconds: float, question: Callable[[], Any]) -> Callable[[], Any]:
    def ask() -> Any:
        with deadline.within(seconds):
            return question()

    return ask
