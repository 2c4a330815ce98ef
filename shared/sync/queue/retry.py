"""The back-off schedule. Pure: how long to wait, and when to give up."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenacity import RetryCallState, Retrying, wait_exponential

MAX_DELAY_SECONDS = 60
TRIES_IN_A_TICK = 4
"""At once, after 1, 2 and 4 s; the next tries come with later ticks, so that other studies are not held up."""
MAX_WAIT_SECONDS = 10
"""A tick does not wait longer than this for one study, whatever the server asks for: a later tick obeys that."""
LEAST_RETRIES = 5
"""Time alone does not end the tries: an outage spends it without a try."""

_WAIT = wait_exponential(multiplier=1, exp_base=2, max=MAX_DELAY_SECONDS)


def delay_seconds(tries: int, asked: float | None = None, most: float = math.inf) -> float:
    """Seconds to wait after so many failed tries: 1, 2, 4 ... 60; what the server asked for where that is longer.

    A server is obeyed for at most so many seconds, `RetryConfiguration__TotalRetryDuration`: one that asks for a day
    would have a study rest for it.
    """
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = tries
    return max(float(_WAIT(state)), min(asked or 0.0, most))


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of a study that could not be finished: tries that failed, the first and the last.

    `not_before`: when the server asked to be tried again, None where it did not.
    """

    count: int
    first: datetime
    last: datetime
    not_before: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to try again."""
        due = self.last + timedelta(seconds=delay_seconds(self.count))
        return now >= max(due, self.not_before or due)

    def is_over(self, now: datetime, total_seconds: float) -> bool:
        """Whether it was tried for long enough, and often enough."""
        return self.count > LEAST_RETRIES and now - self.first >= timedelta(seconds=total_seconds)
