"""The self-check of a deployment: one step after the other, each timed, each with what to do if it fails."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from shared.errors import CheckError, DicomCastError, NotAskedError, RequestError

MAX_SECONDS = 180
"""An HTTP response of the Functions host must begin within 230 s; one step takes 40 s at most."""


class StepState(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Question:
    """What a step asks.

    `ask` returns what it found. It raises NotAskedError if there is nothing to ask, or another DicomCastError.
    `remedy`: what to do if it fails, unless the error says so itself.
    """

    name: str
    ask: Callable[[], str]
    remedy: str

    @property
    def system(self) -> str:
        """The system that is asked, as the name begins with it."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `message` says what was found, `action` what to do, None if there is nothing to do."""

    name: str
    state: StepState
    seconds: float
    message: str
    action: str | None = None


@dataclass(frozen=True, slots=True)
class NextStep:
    """The number of a step, counted from 1, and its name."""

    step: int
    name: str


@dataclass(frozen=True, slots=True)
class Check:
    """The steps that ended. `next`: the one to ask for then, None after the last, or if all were asked for."""

    steps: Sequence[Step]
    next: NextStep | None = None

    @property
    def is_ok(self) -> bool:
        """Whether none failed."""
        return all(step.state is not StepState.FAILED for step in self.steps)


def run_check(questions: Sequence[Question], monotonic: Callable[[], float] = time.monotonic) -> Check:
    """Runs all steps; those that no time is left for are skipped."""
    end = monotonic() + MAX_SECONDS
    steps: list[Step] = []
    while len(steps) < len(questions):
        if monotonic() > end:
            steps.append(_skipped(questions[len(steps)], f"no time left: {MAX_SECONDS} s are over"))
        else:
            steps += _run(questions, len(steps), monotonic)
    return Check(steps)


def run_step(questions: Sequence[Question], number: int, monotonic: Callable[[], float] = time.monotonic) -> Check:
    """Runs the step of this number, counted from 1; with those that are skipped as it fails. Raises RequestError."""
    if not 1 <= number <= len(questions):
        raise RequestError([f"step: a whole number from 1 to {len(questions)} is expected"])
    steps = _run(questions, number - 1, monotonic)
    following = number - 1 + len(steps)
    return Check(steps, NextStep(following + 1, questions[following].name) if following < len(questions) else None)


def _run(questions: Sequence[Question], place: int, monotonic: Callable[[], float]) -> list[Step]:
    """The step at a place of the list. If it fails, the next ones of the same system are skipped."""
    question, began = questions[place], monotonic()
    state, message, action = _ask(question)
    step = Step(question.name, state, round(monotonic() - began, 3), message, action)
    if state is not StepState.FAILED:
        return [step]
    others = takewhile(lambda other: other.system == question.system, questions[place + 1 :])
    return [step, *(_skipped(other, f"not asked, as this failed: {question.name}") for other in others)]


def _ask(question: Question) -> tuple[StepState, str, str | None]:
    try:
        return StepState.OK, question.ask(), None
    except NotAskedError as reason:
        return StepState.SKIPPED, str(reason), None
    except CheckError as error:
        return StepState.FAILED, str(error), error.action or question.remedy
    except DicomCastError as error:
        return StepState.FAILED, str(error), question.remedy


def _skipped(question: Question, reason: str) -> Step:
    return Step(question.name, StepState.SKIPPED, 0.0, reason)
