"""Entries that earlier ticks have carried: as the feed has them now, and the attempts at them that failed."""

import logging
from collections.abc import Sequence

from shared.model.change_feed import FeedEntry, TornEntry
from shared.model.failures import CarriedEntry
from shared.model.instance import StudyKey
from shared.model.watermark import StoredWatermark
from shared.sync.ports import Ports
from shared.sync.queue.retry import Attempts

MAX_CARRIED = 10_000
"""Entries that one batch tries again; the watermark stays before the others."""

logger = logging.getLogger(__name__)


def carried_entries(ports: Ports, stored: StoredWatermark) -> list[CarriedEntry]:
    """The entries that earlier ticks have carried.

    The watermark passes none of them. So there are none if it stands where the reading does, but for rows that a host
    has written too late.
    """
    is_at_end = stored.watermark == stored.read_through and stored.beyond is None
    return [] if is_at_end and not ports.errors.is_any_carried else ports.errors.carried(MAX_CARRIED)


def may_be_more(carried: Sequence[CarriedEntry]) -> bool:
    """Whether there may be more entries than `carried_entries` has given."""
    return len(carried) == MAX_CARRIED


def read_again(ports: Ports, due: Sequence[CarriedEntry]) -> tuple[Sequence[FeedEntry], list[CarriedEntry]]:
    """The carried entries as the feed has them now, and those that it no longer has. Raises FeedError, OutageError."""
    by_sequence = {entry.sequence: entry for entry in due}
    again = ports.feed.entries(by_sequence.keys()) if due else []
    gone = [by_sequence[one] for one in sorted(by_sequence.keys() - {entry.sequence for entry in again})]
    if gone:
        logger.warning("the feed has %d carried entries no more: they are not tried again", len(gone))
    return again, gone


def attempts_of(carried: Sequence[CarriedEntry]) -> dict[StudyKey, Attempts]:
    """The failed attempts at each carried study, by partition and StudyInstanceUID: its entries fail together.

    The back-off counts from the last attempt; it does not begin anew if another entry of the study joins the others.
    """
    studies: dict[StudyKey, list[CarriedEntry]] = {}
    for entry in carried:
        studies.setdefault(entry.study, []).append(entry)
    return {
        study: Attempts(
            1 + max(entry.retries for entry in entries),
            min(entry.first_seen for entry in entries),
            max((entry.last_attempt for entry in entries if entry.last_attempt), default=entries[0].first_seen),
            max((entry.not_before for entry in entries if entry.not_before), default=None),
        )
        for study, entries in studies.items()
    }


def attempts_at(entry: CarriedEntry) -> Attempts:
    """The failed attempts at one carried entry."""
    return Attempts(1 + entry.retries, entry.first_seen, entry.last_attempt or entry.first_seen, entry.not_before)


def with_uids(entry: TornEntry, carried: CarriedEntry | None) -> TornEntry:
    """With the UIDs of its row, if the entry could be read before: they tell which row it has."""
    if carried is None or entry.sop_instance_uid:
        return entry
    return TornEntry(entry.sequence, entry.timestamp, entry.message, *carried.instance[1:], carried.partition)
