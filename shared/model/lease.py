"""The lease that is the singleton lock, as others see it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Whether a host holds the lease, and since when; None if that is not known.

    `is_infinite`: it never ends by itself; only a person takes such a lease, no host of the app. `done` of `entries`:
    how far the host is with its slice; None if that is not known, as when a tick has just begun.
    """

    held: bool
    since: datetime | None
    is_infinite: bool = False
    done: int | None = None
    entries: int | None = None
