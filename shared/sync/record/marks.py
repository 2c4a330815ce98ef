"""Where the watermark and the reading stand once a slice is over."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from shared.model.change_feed import FeedEntry
from shared.model.watermark import Hole, Marks, StoredWatermark, Watermark
from shared.sync.read.plan import Plan

MOST_HOLES = 300
"""Of the watermark's row, which takes 64 KiB. What is behind others is read again with the next tick."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry, and the watermark right before it."""

    entry: FeedEntry
    before: Watermark


@dataclass(frozen=True, slots=True)
class SliceEnd:
    """`stored`: what a host that starts goes by. `holes` of them are those up to where it reads on.

    `but_settling`: where both marks would stand if no study settled; up to there this process has read, with all
    `holes`. `settling`: what waits, in the feed's order.
    """

    stored: Marks
    but_settling: Marks
    settling: Sequence[Placed]
    holes: Sequence[Hole]

    @property
    def beyond(self) -> Marks | None:
        """What the row says of it, None where nothing settles."""
        return self.but_settling if self.settling else None

    @property
    def stored_holes(self) -> list[Hole]:
        """What is behind where reading begins is found there."""
        return [hole for hole in self.holes if hole.first <= self.stored.read_through.sequence]


def slice_end(
    plan: Plan,
    at: StoredWatermark,
    waited: Sequence[Placed],
    unfinished: Collection[int],
    carried: Collection[int],
    held: Collection[int],
) -> SliceEnd:
    """The watermark passes nothing that is not done, nor a hole. To stand too low does no harm: reading is ahead of it.

    `at`: where the slice began. `waited`: what settled before it. Sequences of what is neither done nor recorded, of
    what is recorded for a later tick, and of what settles.
    """
    read = placed(plan.read.entries, at.read_through)
    open_holes = [*reopened(at.holes, unfinished), *plan.holes]
    unread = {*unfinished, *behind(open_holes[MOST_HOLES:], plan.read.entries)}
    read_through = before_first(unread, read, plan.read.through)
    holes = [hole for hole in open_holes[:MOST_HOLES] if hole.first <= read_through.sequence]
    undone = {*unfinished, *carried, *behind(holes, plan.read.entries)}
    # What is to be read again waits no more; what was read long ago is kept until it is done.
    passed = next((position for position, one in enumerate(read) if one.entry.sequence in unread), len(read))
    settling = [one for one in waited if one.entry.sequence in held or one.entry.sequence in unfinished]
    settling += [one for one in read[:passed] if one.entry.sequence in held]
    known = [*waited, *read]
    is_old_left = any(hole.first <= at.read_through.sequence for hole in holes)
    if plan.is_any_resting or is_old_left or undone - {one.entry.sequence for one in known}:
        watermark = at.watermark
        is_any_late = any(one.entry.sequence in undone for one in waited)
        but_settling = at.watermark if is_any_late else at.but_settling.watermark
    else:
        watermark = before_first({*undone, *held}, known, read_through)
        but_settling = before_first(undone, known, read_through)
    if not settling:
        return SliceEnd(Marks(but_settling, read_through), Marks(but_settling, read_through), settling, holes)
    return SliceEnd(Marks(watermark, settling[0].before), Marks(but_settling, read_through), settling, holes)


def reopened(holes: Sequence[Hole], unfinished: Collection[int]) -> list[Hole]:
    """What has come into holes, and is not done: it is found again where it was found now."""
    return [Hole(one, one, hole.until) for hole in holes for one in hole.sequences if one in unfinished]


def behind(holes: Sequence[Hole], entries: Sequence[FeedEntry]) -> set[int]:
    """The first entry that was read behind each of the holes: what stands before it is before the hole."""
    found = (next((one.sequence for one in entries if one.sequence > hole.first), None) for hole in holes)
    return {sequence for sequence in found if sequence is not None}


def placed(entries: Iterable[FeedEntry], start: Watermark) -> list[Placed]:
    """Entries that were read from `start` on.

    Of a torn one the time may not be known: what is behind the one before it is behind it too.
    """
    found: list[Placed] = []
    for entry in entries:
        found.append(Placed(entry, start))
        start = Watermark(entry.sequence, entry.timestamp or start.timestamp)
    return found


def before_first(sequences: Collection[int], entries: Iterable[Placed], end: Watermark) -> Watermark:
    """The watermark right before the first of the sequences, `end` where none of them is among the entries."""
    return next((one.before for one in entries if one.entry.sequence in sequences), end)
