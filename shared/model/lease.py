"""The lease that is the singleton lock, as others see it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Whether a host holds the lease, and since when; None where that is not known.

    `is_infinite`: it never ends by itself. No host of the app takes such a one, only a person. `done` of `entries`:
    what the host is through with of its slice; None while that is not told, as of a tick that has just begun.
    """

    held: bool
    since: datetime | None
    is_infinite: bool = False
    done: int | None = None
    entries: int | None = None
