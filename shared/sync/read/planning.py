"""Plans a slice: reads the carried entries that are due, what has come into holes, and what is new in the feed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.model.change_feed import Action, ChangeFeedEntry, FeedEntry, FeedPage, TornEntry
from shared.model.failures import CarriedEntry
from shared.model.instance import InstanceIdentity, StudyKey
from shared.model.watermark import Hole, StoredWatermark, Watermark
from shared.sync.ports import Ports
from shared.sync.read.carried import attempts_at, attempts_of, carried_entries, may_be_more, read_again, with_uids
from shared.sync.read.plan import NONE_UPDATED, Plan, Study
from shared.sync.read.read_ahead import Pages

Updated = dict[tuple[str, str], set[InstanceIdentity]]
"""By data partition and UID."""


def make_plan(
    ports: Ports, stored: StoredWatermark, size: int, read_until: datetime, pages: Pages | None = None
) -> Plan:
    """Reads the carried entries that are due, what has come into holes, and what is new in the feed.

    No page is asked for after `read_until`. `pages`: the feed's, if they are read ahead. Raises FeedError, OutageError.
    """
    carried = carried_entries(ports, stored)
    now = ports.now()
    not_due = {study for study, attempts in attempts_of(carried).items() if not attempts.is_due(now)}
    late, holes = ports.feed.filled(stored.holes) if stored.holes else ((), ())
    read, is_last = read_slice(ports, pages or ports.feed.pages, stored.read_through, size, read_until)
    # A host that was killed may have recorded entries that the watermark had not passed: they are among the new ones.
    new = dict.fromkeys(entry.sequence for entry in read.entries)
    again, gone = read_again(ports, [one for one in carried if one.study not in not_due and one.sequence not in new])
    settling = [one.entry for one in ports.settling.entries]
    _begin_order(ports, stored, read, [one.sequence for one in carried if one.sequence not in new], settling)
    entries = [*again, *_merged(late, settling), *read.entries]
    by_sequence = {entry.sequence: entry for entry in carried}
    # These may be overtaken by an update that gave their instances other UIDs, and that is not in this batch.
    overtaken = {*by_sequence, *(one.sequence for one in late), *(one for one in new if one <= stored.furthest)}
    studies = _studies(entries, by_sequence, overtaken)
    return Plan(
        read,
        torn=[with_uids(entry, by_sequence.get(entry.sequence)) for entry in entries if isinstance(entry, TornEntry)],
        due=[study for study in studies if study.entries[0].study not in not_due],
        not_due=[study for study in studies if study.entries[0].study in not_due],
        leaves_carried=bool(not_due) or may_be_more(carried),
        left_carried=[entry for entry in carried if entry.study in not_due and entry.sequence not in new],
        gone=gone,
        holes=[*holes, *read.holes],
        is_last=is_last,
    )


def _begin_order(
    ports: Ports, stored: StoredWatermark, read: FeedPage, carried: Collection[int], settling: Sequence[FeedEntry]
) -> None:
    """Tells the feed's order which sequences this slice has read, and which of earlier ones are still to come."""
    new: Collection[int] = dict.fromkeys(entry.sequence for entry in read.entries)
    if read.holes:
        new = sorted({*new, *_sequences(read.holes)})
    awaited = {*_sequences(stored.holes), *(entry.sequence for entry in settling)}
    ports.feed_order.begin(stored.read_through, new, carried, awaited)


def _sequences(holes: Sequence[Hole]) -> Iterator[int]:
    return (sequence for hole in holes for sequence in hole.sequences)


def _merged(late: Sequence[FeedEntry], settling: Sequence[FeedEntry]) -> Sequence[FeedEntry]:
    """Both in the feed's order, in which those that settle stand already."""
    return sorted([*late, *settling], key=lambda entry: entry.sequence) if late else settling


def _studies(
    entries: Sequence[FeedEntry], carried: Mapping[int, CarriedEntry], overtaken: Collection[int]
) -> list[Study]:
    """The entries by study; `carried` by sequence, `overtaken` the sequences of those that may be."""
    updated = updated_instances(entries)
    return [
        Study(
            group,
            {one.sequence: attempts_at(carried[one.sequence]) for one in group if one.sequence in carried},
            is_replayed=any(one.sequence in overtaken for one in group),
            updated=of_these(group, updated),
        )
        for group in by_study(entries)
    ]


def read_slice(ports: Ports, pages: Pages, after: Watermark, size: int, until: datetime) -> tuple[FeedPage, bool]:
    """Pages of the feed as one, until it has `size` entries, the feed ends, or the clock has passed `until`.

    One page at least is read. The second value: whether the feed ended.
    """
    entries: list[FeedEntry] = []
    read, is_last = FeedPage((), after), True
    holes: list[Hole] = []
    for page in pages(after):
        entries += page.entries
        holes += page.holes
        read = page
        if len(entries) >= size or (entries and ports.now() >= until):
            is_last = False
            break
    return replace(read, entries=entries, holes=holes), is_last


def by_study(entries: Sequence[FeedEntry]) -> list[list[ChangeFeedEntry]]:
    """The readable entries by study, in the feed's order; the studies in the order of their first entries."""
    studies: dict[StudyKey, list[ChangeFeedEntry]] = {}
    for entry in entries:
        if isinstance(entry, TornEntry):
            continue
        studies.setdefault(entry.study, []).append(entry)
    return list(studies.values())


def updated_instances(entries: Sequence[FeedEntry]) -> Updated:
    """The instances that `update` entries are about, by the UIDs of their series and of their own."""
    updated: Updated = {}
    for one in entries:
        if isinstance(one, ChangeFeedEntry) and one.action is Action.UPDATE:
            for uid in (one.series_instance_uid, one.sop_instance_uid):
                updated.setdefault((one.partition, uid), set()).add(one.instance)
    return updated


def of_these(group: Sequence[ChangeFeedEntry], updated: Updated) -> frozenset[InstanceIdentity]:
    """The updated instances that share a series or an instance with the group: an update may have given it other UIDs.

    The feed still has the entries under the earlier UIDs, in the state `current`.
    """
    if not updated:
        return NONE_UPDATED
    uids = {(one.partition, uid) for one in group for uid in (one.series_instance_uid, one.sop_instance_uid)}
    return frozenset(one for uid in uids for one in updated.get(uid, ()))
