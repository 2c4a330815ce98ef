"""What the feed said about patients before this host went on in it, so that what still waits keeps its place."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.patients import stated_by
from shared.model.change_feed import Action, ChangeFeedEntry, FeedEntry, State, TornEntry
from shared.model.failures import FINAL
from shared.model.watermark import StoredWatermark
from shared.sync.merge.feed_order import Stated
from shared.sync.ports import Ports

MOST_SEQUENCES = 10_000
"""Sequence numbers that are read again. An entry that waits further back only fills what FHIR lacks."""
AT_ONCE = 1_000
"""Their entries have their metadata, some 2 MB."""


def recall_order(
    ports: Ports, options: MappingOptions, stored: StoredWatermark, carried: Collection[int], read_until: datetime
) -> None:
    """Gives the feed's order back to a host that was started, or that has not read the feed up to the marks itself.

    From the first hole or `carried` entry (by sequence) to the end of what was read, the feed is read again, backwards:
    no more of it after `read_until`, nor before an entry that cannot be read. Raises FeedError, OutageError.
    """
    last = stored.read_through.sequence
    holes = {sequence for hole in stored.holes for sequence in hole.sequences}
    waiting = {one for one in (*holes, *carried) if one <= last}
    if not waiting:
        return
    first = max(min(waiting), last + 1 - MOST_SEQUENCES)
    stated: dict[int, Stated] = {}
    for end in range(last, first - 1, -AT_ONCE):
        if end < last and ports.now() >= read_until:
            break
        sequences = range(max(first, end + 1 - AT_ONCE), end + 1)
        entries = ports.feed.entries(sequences)
        unwritten = waiting | _failed(ports, entries)
        unknown = max({one.sequence for one in entries if _is_unknown(one)} - unwritten, default=0)
        stated |= {one: Stated(one) for one in waiting.intersection(sequences) if one > unknown}
        stated |= {one.sequence: one for one in _stated(entries, unwritten, options) if one.sequence > unknown}
        if unknown:
            break
    ports.feed_order.recall(stored.read_through, [stated[one] for one in sorted(stated)], carried)


def _failed(ports: Ports, entries: Sequence[FeedEntry]) -> set[int]:
    """The sequences of those that could not be synced, as their open rows say."""
    nameless = {one.sequence for one in entries if not one.study_instance_uid}
    rows = ports.errors.open_rows({one.study for one in entries}, nameless)
    return {row.sequence for row in rows if row.table in FINAL}


def _is_unknown(entry: FeedEntry) -> bool:
    """Whether nobody can tell what the entry states, though its instance may be there."""
    if isinstance(entry, TornEntry):
        return True
    return entry.metadata is None and entry.state is State.CURRENT and entry.action is not Action.DELETE


def _stated(entries: Sequence[FeedEntry], unwritten: Collection[int], options: MappingOptions) -> Iterator[Stated]:
    """What the entries state, nothing if they are `unwritten`.

    The feed has no metadata of an instance that was deleted since: what it stated no longer counts.
    """
    for one in entries:
        if not isinstance(one, ChangeFeedEntry) or one.metadata is None or one.state is State.DELETED:
            continue
        if (stated := stated_by(one.metadata, options)) is not None:
            patient, statements = stated
            yield Stated(one.sequence, patient, () if one.sequence in unwritten else statements)
