"""The self-check of a deployment: one step after the other, each timed, each with what to do where it fails."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import DicomCastError, NotAskedError

MAX_SECONDS = 180
"""An HTTP answer of the Functions host must begin within 230 s; one step takes 40 s at most."""


class StepState(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `message` says what was found, or what to do."""

    name: str
    state: StepState
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class Check:
    """All steps."""

    steps: Sequence[Step]

    @property
    def is_ok(self) -> bool:
        """Whether none failed."""
        return all(step.state is not StepState.FAILED for step in self.steps)


Question = Callable[[], str]
"""Says what it found. Raises DicomCastError with what to do, NotAskedError where there is nothing to ask."""


def run_check(questions: Mapping[str, Question], monotonic: Callable[[], float] = time.monotonic) -> Check:
    """Asks them all; what no time is left for is skipped."""
    started = monotonic()
    steps = []
    for name, question in questions.items():
        began = monotonic()
        if began - started > MAX_SECONDS:
            steps.append(Step(name, StepState.SKIPPED, 0.0, f"no time left: {MAX_SECONDS} s are over"))
            continue
        state, message = _asked(question)
        steps.append(Step(name, state, round(monotonic() - began, 3), message))
    return Check(steps)


def _asked(question: Question) -> tuple[StepState, str]:
    try:
        return StepState.OK, question()
    except NotAskedError as reason:
        return StepState.SKIPPED, str(reason)
    except DicomCastError as error:
        return StepState.FAILED, str(error)
