"""Where the watermark and the reading stand after a slice."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from shared.model.change_feed import FeedEntry
from shared.model.watermark import Hole, Marks, StoredWatermark, Watermark
from shared.sync.read.plan import Plan

MOST_HOLES = 300
"""As many as fit into the watermark's row of 64 KiB. The next tick reads again from the first that does not."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry, and the watermark right before it."""

    entry: FeedEntry
    before: Watermark


@dataclass(frozen=True, slots=True)
class SliceEnd:
    """`stored`: the marks of the watermark's row, from which a host that starts reads on.

    `but_settling`: where they would stand if no study settled; this process has read up to there. `settling`: the
    entries of studies that settle, in the feed's order. `holes`: all that may still fill.
    """

    stored: Marks
    but_settling: Marks
    settling: Sequence[Placed]
    holes: Sequence[Hole]

    @property
    def beyond(self) -> Marks | None:
        """The marks that the row has besides, None if nothing settles."""
        return self.but_settling if self.settling else None

    @property
    def stored_holes(self) -> list[Hole]:
        """The holes of the row. The others are behind where a host that starts reads on, and are met again there."""
        return [hole for hole in self.holes if hole.first <= self.stored.read_through.sequence]


def slice_end(
    plan: Plan,
    at: StoredWatermark,
    settling_before: Sequence[Placed],
    unfinished: Collection[int],
    carried: Collection[int],
    settling: Collection[int],
) -> SliceEnd:
    """The watermark passes no entry that is not done, and no hole. It may stand too low: the reading is ahead of it.

    `at`: where the slice began, `settling_before`: the entries that settled then. `unfinished`, `carried` and
    `settling` are sequences of entries, as the glossary has these words.
    """
    read = placed(plan.read.entries, at.read_through)
    open_holes = [*reopened(at.holes, unfinished), *plan.holes]
    unread = {*unfinished, *behind(open_holes[MOST_HOLES:], plan.read.entries)}
    read_through = before_first(unread, read, plan.read.through)
    holes = [hole for hole in open_holes[:MOST_HOLES] if hole.first <= read_through.sequence]
    undone = {*unfinished, *carried, *behind(holes, plan.read.entries)}
    # What is read again is not kept in memory; what was read by an earlier slice is kept until it is done.
    passed = next((position for position, one in enumerate(read) if one.entry.sequence in unread), len(read))
    kept = [one for one in settling_before if one.entry.sequence in settling or one.entry.sequence in unfinished]
    kept += [one for one in read[:passed] if one.entry.sequence in settling]
    known = [*settling_before, *read]
    is_old_left = any(hole.first <= at.read_through.sequence for hole in holes)
    if plan.leaves_carried or is_old_left or undone - {one.entry.sequence for one in known}:
        watermark = at.watermark
        is_any_late = any(one.entry.sequence in undone for one in settling_before)
        but_settling = at.watermark if is_any_late else at.but_settling.watermark
    else:
        watermark = before_first({*undone, *settling}, known, read_through)
        but_settling = before_first(undone, known, read_through)
    stored = Marks(watermark, kept[0].before) if kept else Marks(but_settling, read_through)
    return SliceEnd(stored, Marks(but_settling, read_through), kept, holes)


def reopened(holes: Sequence[Hole], unfinished: Collection[int]) -> list[Hole]:
    """The numbers of holes that have filled with entries that are not done: they are looked up there again."""
    return [Hole(one, one, hole.until) for hole in holes for one in hole.sequences if one in unfinished]


def behind(holes: Sequence[Hole], entries: Sequence[FeedEntry]) -> set[int]:
    """The sequence of the first entry read behind each hole: a mark before that entry is before the hole."""
    found = (next((one.sequence for one in entries if one.sequence > hole.first), None) for hole in holes)
    return {sequence for sequence in found if sequence is not None}


def placed(entries: Iterable[FeedEntry], start: Watermark) -> list[Placed]:
    """The entries, read from `start` on, each with the watermark before it.

    The time of a torn entry may not be known; then the mark behind it has the time of the entry before.
    """
    found: list[Placed] = []
    for entry in entries:
        found.append(Placed(entry, start))
        start = Watermark(entry.sequence, entry.timestamp or start.timestamp)
    return found


def before_first(sequences: Collection[int], entries: Iterable[Placed], end: Watermark) -> Watermark:
    """The watermark right before the first entry with one of the sequences; `end` if there is none."""
    return next((one.before for one in entries if one.entry.sequence in sequences), end)
