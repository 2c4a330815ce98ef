"""What the host remembers from batch to batch about searches for orders."""

import logging
from datetime import datetime, timedelta

ORDER = "ServiceRequest"
REFUSED_FOR = timedelta(hours=1)
"""How long no search is made after a refusal. A reconfigured server, or a role that was granted, is seen after it."""

logger = logging.getLogger(__name__)


class OrderSearches:
    """Whether the FHIR server takes searches for orders, and up to when its orders were seen. Threads may share it."""

    def __init__(self) -> None:
        self._refused_at: datetime | None = None
        self.looked_through: datetime | None = None
        """All orders that FHIR got before this time were seen; None if that is not known of any."""
        self.next_look: datetime | None = None
        """When FHIR is searched for new orders again; None: at once."""

    def are_taken(self, now: datetime) -> bool:
        """Whether to search: no search was refused within the last hour."""
        return self._refused_at is None or now - self._refused_at > REFUSED_FOR

    def refused(self, why: str, now: datetime) -> None:
        """A search was refused: studies are written without links, which are added once searches are taken again."""
        if self.are_taken(now):
            logger.warning("orders cannot be searched for, studies are not linked to them for an hour: %s", why)
        self._refused_at = now
        self.looked_through = None
