"""Links orders that came after their studies: each hour new orders are searched for (docs/adr/0037)."""

import logging
from datetime import UTC, datetime, timedelta

from shared.errors import EntryError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.sync.batch import BatchOptions
from shared.sync.merge.order_searches import ORDER
from shared.sync.ports import Ports

EVERY = timedelta(hours=1)
OVERLAP = timedelta(minutes=10)
"""Searches lag behind writes, clocks differ, and a batch may have asked before an order came."""
WINDOWS = 10
"""How many hours one tick looks through: after a start, a week takes half a minute."""
_ELEMENTS = "_elements=identifier,subject,status,encounter"

logger = logging.getLogger(__name__)


def link_late_orders(ports: Ports, options: BatchOptions, deadline: datetime) -> None:
    """Looks at the orders that FHIR got since the last look, as many hours of them as there is time for.

    If they cannot be searched for, it tries again an hour later. Raises LeaseLostError, OutageError.
    """
    memory, now = ports.order_searches, ports.now()
    is_on = options.mapping.links_orders and options.order_look_back_days
    if not is_on or not memory.are_taken(now) or (memory.next_look and now < memory.next_look):
        return
    since = memory.looked_through or now - timedelta(days=options.order_look_back_days)
    for _ in range(WINDOWS):
        until = min(since + EVERY, now)
        try:
            is_done = _look(ports, options.mapping, since, until if until < now else None)
        except (EntryError, TransientError) as error:
            logger.warning("orders that came late cannot be looked for, and are in an hour: %s", error)
            is_done = False
        if not is_done:
            memory.looked_through, memory.next_look = since, now + EVERY
            return
        since = until
        memory.looked_through = since
        if since >= now:
            memory.looked_through, memory.next_look = now - OVERLAP, now + EVERY
            return
        if ports.now() >= deadline:
            return


def _look(ports: Ports, options: MappingOptions, since: datetime, until: datetime | None) -> bool:
    """Links the orders of a window, `until` None: to now. Returns whether all of their studies could be written."""
    end = f"&_lastUpdated=lt{_instant(until)}" if until else ""
    orders = ports.fhir.search(ORDER, f"_lastUpdated=ge{_instant(since)}{end}&{_ELEMENTS}")
    if not orders:
        return True
    from shared.sync.replay.linked_studies import link_studies  # noqa: PLC0415 most windows have no order

    return link_studies(ports, options, orders)


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
