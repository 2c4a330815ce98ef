"""The back-off schedule. Pure: how long to wait, and when to give up."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_DELAY_SECONDS = 60
ATTEMPTS_IN_A_TICK = 4
"""At once, after 1, 2 and 4 s; the next ones are made in later ticks, so that other studies are not held up."""
MAX_WAIT_SECONDS = 10
"""A tick waits no longer than this for one study, even if the server asks for more: then a later tick tries again."""
LEAST_RETRIES = 5
"""A study is given up only after this many retries: during an outage time passes without any attempt."""


def delay_seconds(attempts: int, asked: float | None = None, most: float = math.inf) -> float:
    """Seconds to wait after the last of `attempts` failed ones: 1, 2, 4 ... 60, or what the server asked for, if more.

    `most`: the longest that the server is obeyed for (`RetryConfiguration__TotalRetryDuration`), lest a study rest for
    a day because it was asked to.
    """
    return max(float(min(MAX_DELAY_SECONDS, 2 ** (attempts - 1))), min(asked or 0.0, most))


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failed attempts to sync a study: how many, and when the first and the last were made.

    `not_before`: when the server asked for the next one, None if it did not.
    """

    failed: int
    first: datetime
    last: datetime
    not_before: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it is time for the next attempt."""
        due = self.last + timedelta(seconds=delay_seconds(self.failed))
        return now >= max(due, self.not_before or due)

    def is_over(self, now: datetime, total_seconds: float) -> bool:
        """Whether the study is to be given up: attempts were made for long enough, and often enough."""
        return self.failed > LEAST_RETRIES and now - self.first >= timedelta(seconds=total_seconds)
