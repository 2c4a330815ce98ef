"""What the host remembers of searches for orders, from batch to batch."""

import logging
from datetime import datetime, timedelta

REFUSED_FOR = timedelta(hours=1)
"""A server is reconfigured, or a role given, without telling."""

logger = logging.getLogger(__name__)


class OrderSearches:
    """Whether the FHIR server takes them, and up to when its orders were looked at. Threads may share it."""

    def __init__(self) -> None:
        self._refused_at: datetime | None = None
        self.looked_through: datetime | None = None
        """Orders that FHIR got before it were looked at; None: of none is known."""
        self.next_look: datetime | None = None

    def are_taken(self, now: datetime) -> bool:
        """Not where one was refused lately."""
        return self._refused_at is None or now - self._refused_at > REFUSED_FOR

    def refused(self, why: str, now: datetime) -> None:
        """Studies are written without a link; what was missed is looked for once searches are taken again."""
        if self.are_taken(now):
            logger.warning("orders cannot be searched for, studies are not linked to them for an hour: %s", why)
        self._refused_at = now
        self.looked_through = None
