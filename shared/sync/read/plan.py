"""What a batch works on: studies carried from earlier ticks that are due, and what is new in the feed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.model.change_feed import Action, ChangeFeedEntry, FeedEntry, FeedPage, TornEntry
from shared.model.failures import CarriedEntry
from shared.model.watermark import Hole, StoredWatermark, Watermark
from shared.sync.ports import Ports
from shared.sync.queue.retry import Attempts
from shared.sync.read.read_ahead import Pages

MAX_CARRIED = 10_000
"""Entries that one batch tries again; the watermark waits for what is left."""

ChangedInstance = tuple[str, str, str, str]
"""Data partition, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID."""
NONE_UPDATED: frozenset[ChangedInstance] = frozenset()
"""One for all studies: each empty set of its own would take 216 bytes."""
Updated = dict[tuple[str, str], set[ChangedInstance]]
"""By data partition and UID."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Study:
    """All entries of one study that are to be synced together, in the feed's order.

    `attempts`: by sequence, of those that have failed before; 0 is that of what does not come from the feed.
    `whole`: the StudyInstanceUID and the data partition, where the entries are all that the DICOM service holds of the
    study. `updated`: instances that `update` entries of the batch are about, and that share a series or an instance
    with it. `is_replayed`: not all entries are the feed's newest: a replay, what came late, what is tried again. Either
    way some may be of UIDs that it has no more.
    """

    entries: Sequence[ChangeFeedEntry]
    attempts: Mapping[int, Attempts] = field(default_factory=dict)
    whole: tuple[str, str] | None = None
    is_replayed: bool = False
    updated: frozenset[ChangedInstance] = NONE_UPDATED

    @property
    def study_instance_uid(self) -> str:
        """The study's name."""
        return self.whole[0] if self.whole else self.entries[0].study_instance_uid

    def is_over(self, sequence: int, now: datetime, total_seconds: float) -> bool:
        """Whether that entry was tried for long enough, and often enough."""
        known = self.attempts.get(sequence)
        return known is not None and known.is_over(now, total_seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """`due` is to be tried now; `resting` are new entries of carried studies whose next try is not due yet.

    `untouched` are the entries of earlier ticks of such studies. `torn` entries cannot be read, and are to be recorded;
    `gone` are carried ones that the feed has no more. `holes` may still fill: those of before, then the new ones of
    `read`. `is_last`: the feed had nothing behind what was read.
    """

    read: FeedPage
    torn: Sequence[TornEntry]
    due: Sequence[Study]
    resting: Sequence[Study]
    is_any_resting: bool
    untouched: Sequence[CarriedEntry] = ()
    gone: Sequence[CarriedEntry] = ()
    holes: Sequence[Hole] = ()
    is_last: bool = True


def make_plan(
    ports: Ports, stored: StoredWatermark, size: int, read_until: datetime, pages: Pages | None = None
) -> Plan:
    """Reads carried entries anew, and the feed from where it was read last; what settles comes in between.

    Raises FeedError, OutageError.

    After `read_until` no other page is read: what was read is worked on.
    """
    carried = carried_entries(ports, stored)
    attempts = attempts_of(carried)
    waiting = {entry.sequence: entry for entry in carried}
    now = ports.now()
    rests = {study for study, known in attempts.items() if not known.is_due(now)}
    late, holes = ports.feed.filled(stored.holes) if stored.holes else ((), ())
    read, is_last = read_slice(ports, pages or ports.feed.pages, stored.read_through, size, read_until)
    # A run that was killed may have recorded entries that were not passed: they are read again with what is new.
    new = dict.fromkeys(entry.sequence for entry in read.entries)
    asked = {entry.sequence for entry in carried if entry.study not in rests} - new.keys()
    again = ports.feed.entries(asked) if asked else []
    gone = [waiting[sequence] for sequence in sorted(asked - {entry.sequence for entry in again})]
    if gone:
        logger.warning("the feed has %d carried entries no more: they are not tried again", len(gone))
    order = sorted([*new, *(number for hole in read.holes for number in hole.sequences)]) if read.holes else new
    settling = [one.entry for one in ports.settling.waiting]
    awaited = {number for hole in stored.holes for number in hole.sequences} | {one.sequence for one in settling}
    ports.feed_order.begin(stored.read_through, order, waiting.keys() - new.keys(), awaited)
    before = sorted([*late, *settling], key=lambda entry: entry.sequence) if late else settling
    entries = [*again, *before, *read.entries]
    came_late = {entry.sequence for entry in late}
    torn = [_named(entry, waiting.get(entry.sequence)) for entry in entries if isinstance(entry, TornEntry)]
    due: list[Study] = []
    resting: list[Study] = []
    updated = updated_instances(entries)
    for group in by_study(entries):
        study = group[0].study
        known = {one.sequence: attempts_at(waiting[one.sequence]) for one in group if one.sequence in waiting}
        # The update that gave an entry's UIDs away may have been done without it, and is in this batch no more.
        is_again = any(one.sequence in new and one.sequence <= stored.furthest for one in group)
        is_overtaken = bool(known) or is_again or any(one.sequence in came_late for one in group)
        planned = Study(group, known, is_replayed=is_overtaken, updated=of_these(group, updated))
        (resting if study in rests else due).append(planned)
    is_any_resting = bool(rests) or len(carried) == MAX_CARRIED
    untouched = [entry for entry in carried if entry.study in rests and entry.sequence not in new]
    return Plan(read, torn, due, resting, is_any_resting, untouched, gone, [*holes, *read.holes], is_last)


def carried_entries(ports: Ports, stored: StoredWatermark) -> list[CarriedEntry]:
    """What earlier ticks left open.

    The watermark passes no such entry: where it stands at the end, there is none but what a host has written too late.
    """
    is_at_end = stored.watermark == stored.read_through and stored.beyond is None
    return [] if is_at_end and not ports.errors.is_any_carried else ports.errors.carried(MAX_CARRIED)


def _named(entry: TornEntry, carried: CarriedEntry | None) -> TornEntry:
    """What could be read of the entry once tells what it is about, and which row is its."""
    if carried is None or entry.sop_instance_uid:
        return entry
    return TornEntry(entry.sequence, entry.timestamp, entry.message, *carried.instance[1:], carried.partition)


def attempts_at(entry: CarriedEntry) -> Attempts:
    """What is known of one carried entry by itself."""
    return Attempts(1 + entry.retries, entry.first_seen, entry.last_attempt or entry.first_seen, entry.not_before)


def attempts_of(carried: Sequence[CarriedEntry]) -> dict[tuple[str, str], Attempts]:
    """What is known of each carried study, by partition and StudyInstanceUID: its entries fail together.

    The last try is what the back-off counts from, not that another entry of the study came to wait with them.
    """
    studies: dict[tuple[str, str], list[CarriedEntry]] = {}
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


def read_slice(ports: Ports, pages: Pages, after: Watermark, size: int, until: datetime) -> tuple[FeedPage, bool]:
    """Pages of the feed until `size` entries are there, its end, or a page that came after `until`; one at least.

    And whether it was the feed's end.
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
    """The entries of each study that can be read, in the feed's order; the studies by their first entry."""
    studies: dict[tuple[str, str], list[ChangeFeedEntry]] = {}
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
                updated.setdefault((one.partition, uid), set()).add(instance_of(one))
    return updated


def instance_of(entry: ChangeFeedEntry) -> ChangedInstance:
    """What tells the instance from all others."""
    return entry.partition, entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid


def of_these(group: Sequence[ChangeFeedEntry], updated: Updated) -> frozenset[ChangedInstance]:
    """Those that share a series or an instance with the group: an update may have given it other UIDs.

    The entries under the UIDs of before still say `current`.
    """
    if not updated:
        return NONE_UPDATED
    uids = {(one.partition, uid) for one in group for uid in (one.series_instance_uid, one.sop_instance_uid)}
    return frozenset(one for uid in uids for one in updated.get(uid, ()))
