"""Asks several systems at once, and waits for none of them longer than it may."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from threading import Lock, Thread
from typing import Any

from shared.errors import DicomCastError
from shared.process.deadline import Deadline


class UnderWay:
    """Questions that are being answered. Who asks one again meanwhile shares its answer: there is one thread for each.

    So many callers as there may be, a system that does not answer holds no more threads than there are questions.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked: dict[str, Future[Any]] = {}

    def ask(self, name: str, question: Callable[[], Any]) -> Future[Any]:
        """Asked in a thread of its own, which the process does not wait for at its end."""
        with self._lock:
            if name in self._asked:
                return self._asked[name]
            future = self._asked[name] = Future()

        def ask() -> None:
            try:
                answer, error = question(), None
            except BaseException as raised:  # noqa: BLE001 raised where the answer is waited for
                answer, error = None, raised
            with self._lock:
                del self._asked[name]
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        Thread(target=ask, daemon=True, name=f"asks {name}").start()
        return future


class Answers:
    """What each question came to; `faults` says what failed, or did not answer in time, by the question's name.

    `deadline` is what the questions' requests heed, each in its own thread: what nobody waits for any more ends.
    """

    def __init__(
        self, questions: Mapping[str, Callable[[], Any]], seconds: float, under_way: UnderWay, deadline: Deadline
    ) -> None:
        self.faults: dict[str, str] = {}
        self._found: dict[str, Any] = {}
        end = time.monotonic() + seconds
        asked = {name: under_way.ask(name, _within(deadline, seconds, ask)) for name, ask in questions.items()}
        for name, future in asked.items():
            try:
                self._found[name] = future.result(max(0.0, end - time.monotonic()))
            except NoAnswerError:
                self.faults[name] = f"{name}: no answer within {seconds:g} s"
            except DicomCastError as error:
                self.faults[name] = str(error)

    def get(self, name: str) -> Any:
        """The answer, None where there is none."""
        return self._found.get(name)


def _within(deadline: Deadline, seconds: float, question: Callable[[], Any]) -> Callable[[], Any]:
    def ask() -> Any:
        with deadline.within(seconds):
            return question()

    return ask
