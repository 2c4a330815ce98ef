"""Asks several systems at once, and waits for none of them longer than it may."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from threading import Thread
from typing import Any

from shared.errors import DicomCastError


class Answers:
    """What each question came to; `faults` names what failed, or did not answer in time."""

    def __init__(self, questions: Mapping[str, Callable[[], Any]], seconds: float) -> None:
        self.faults: list[str] = []
        self._found: dict[str, Any] = {}
        deadline = time.monotonic() + seconds
        asked = {name: _asked(question) for name, question in questions.items()}
        for name, future in asked.items():
            try:
                error = future.exception(max(0.0, deadline - time.monotonic()))
            except NoAnswerError:
                self.faults.append(f"{name}: no answer within {seconds:g} s")
                continue
            if error is None:
                self._found[name] = future.result()
            else:  # what nobody foresaw is told by its class: its words may hold anything
                self.faults.append(str(error) if isinstance(error, DicomCastError) else f"{name}: {_class_of(error)}")
        self.faults = list(dict.fromkeys(self.faults))

    def get(self, name: str) -> Any:
        """The answer, None where there is none."""
        return self._found.get(name)


def _class_of(error: BaseException) -> str:
    return f"{type(error).__name__}, which nobody foresaw: please report it"


def _asked(question: Callable[[], Any]) -> Future[Any]:
    """Asked in a thread of its own, which the process does not wait for at its end."""
    future: Future[Any] = Future()

    def ask() -> None:
        try:
            future.set_result(question())
        except BaseException as error:  # noqa: BLE001 raised where the answer is waited for
            future.set_exception(error)

    Thread(target=ask, daemon=True).start()
    return future
