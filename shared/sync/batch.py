"""One batch: read -> group by study -> sync each (map, merge, transact) -> record -> move the watermark.

It reaches to the end of the feed, or of the tick's time, and is worked on in slices: the watermark moves after each.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.errors import FeedError, OutageError
from shared.mapping.converters import MappingOptions
from shared.model.audit import AuditOptions
from shared.model.counts import Counts
from shared.model.failures import ErrorTable
from shared.model.outcome import BatchResult, Outcome
from shared.model.watermark import StoredWatermark
from shared.sync.ports import Ports
from shared.sync.queue.studies import Limits, Progress, StudyQueue
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Plan, make_plan
from shared.sync.read.read_ahead import Pages, ReadAhead
from shared.sync.record.feed_recorder import FeedRecorder
from shared.sync.record.marks import SliceEnd, slice_end
from shared.sync.record.rows import ErrorRows

READING = 1 / 3
"""The part of what is left of the tick's time that reading may take: what was read is to be worked on."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """`size` of a slice in entries: pages of the feed are read until it is reached. Times in seconds.

    `max_slices` of one tick; 0: until the end of the feed, or of the time. `standstill_seconds`: what waits in the feed
    for so long, and is brought on by no tick, is told; longer than what is young may wait. `quiet_seconds`: of ticks
    that find nothing to do one is written down in so long: health, alerts and the page read that they come.
    `settle_seconds`: a study that grows is written again no sooner; 0: each time that more of it is read.
    `order_look_back_days`: how old an order may be that is looked for after a start; 0: none is looked for. `audit`:
    what a round finds is reported or healed, and how fast it goes.
    """

    mapping: MappingOptions
    size: int
    tick_budget_seconds: float = 240
    total_retry_seconds: float = 600
    max_slices: int = 1
    standstill_seconds: float = 300
    quiet_seconds: float = 60
    settle_seconds: float = 0
    order_look_back_days: int = 0
    audit: AuditOptions = field(default_factory=AuditOptions)


def run_batch(ports: Ports, options: BatchOptions) -> BatchResult:
    """Slice after slice, read ahead, until the feed ends, the time is over, or something holds it.

    Raises what `run_slice` does, of the first slice: what befalls a later one the next tick meets again, and tells.
    """
    deadline = ports.now() + timedelta(seconds=options.tick_budget_seconds)
    ports.settling.begin(options.settle_seconds, ports.now())
    if options.max_slices == 1:  # what would be read ahead is of no use to the next tick
        return run_slice(ports, options, deadline)[0]
    results: list[BatchResult] = []
    with ReadAhead(ports.feed) as ahead:
        while not results or (len(results) != options.max_slices and ports.now() < deadline):
            try:
                result, is_last = run_slice(ports, options, deadline, ahead.pages)
            except (FeedError, OutageError):
                if not results:
                    raise
                break
            results.append(result)
            if is_last or result.held_by:
                break
    return sum_of(results)


def sum_of(results: Sequence[BatchResult]) -> BatchResult:
    """What several slices did; the watermark is the last one's."""
    total = sum(results[:-1], Counts()).added_to(results[-1])
    outcome = Outcome.SYNCED if total.entries else Outcome.IDLE
    recorded = sum((Counter(result.recorded) for result in results), Counter[ErrorTable]())
    brought_on = any(result.brought_on for result in results)
    return replace(total, outcome=outcome, recorded=dict(recorded), brought_on=brought_on)


def run_slice(
    ports: Ports, options: BatchOptions, deadline: datetime, pages: Pages | None = None
) -> tuple[BatchResult, bool]:
    """One slice from the watermark on, and whether the feed had nothing behind it. `pages`: the feed's, if read ahead.

    Raises FeedError, OutageError, LeaseLostError; what is done stays done.
    """
    calls_before = ports.fhir.calls
    limits = Limits(deadline, options.total_retry_seconds)
    stored = _by_sequence(ports, ports.watermarks.read())
    at = ports.settling.resumed(stored)
    began = ports.now()
    plan = make_plan(ports, at, options.size, began + max(timedelta(), deadline - began) * READING, pages)
    sync = StudySync(ports, options.mapping)
    plan, held = ports.settling.parted(plan, sync.patients, ports.now())
    reaches = max((stored.furthest, *(entry.sequence for entry in plan.read.entries)))
    rows = ErrorRows(ports, stored, reaches)
    if any(study.updated for study in plan.due):
        rows.reach()
    recorder = FeedRecorder(rows)
    due = sum(len(study.entries) for study in plan.due)
    progress = StudyQueue(ports, sync, recorder, limits, lambda done: ports.lease.tell(done, due)).run(plan.due)
    progress.counts += Counts(failed=recorder.torn(plan.torn) + recorder.gone(plan.gone))
    for study in plan.not_due:
        recorder.carried(study.entries, "an earlier entry of the study is not synced yet")
        progress.carry(study.entries)

    unfinished = {entry.sequence for study in progress.unfinished for entry in study.entries}
    carried = {entry.sequence for entry in progress.carried}
    end = slice_end(plan, at, ports.settling.entries, unfinished, carried, held)
    row = rows.close(end.stored, end.stored_holes, end.beyond)
    ports.settling.end(row, end)
    ports.settling.done(plan.due, unfinished | carried, sync.patients, ports.now())
    read_through = end.but_settling.read_through
    ports.feed_order.end(
        read_through, [(entry.sequence, sync.patients.of(entry.metadata)) for entry in progress.carried]
    )
    if progress.outage:
        raise progress.outage
    result = _result(plan, progress, end, ports.fhir.calls - calls_before)
    brought_on = end.but_settling != at.but_settling or plan.leaves_carried
    brought_on = brought_on or bool(progress.counts.studies or rows.recorded)
    return replace(result, recorded=dict(rows.recorded), brought_on=brought_on), plan.is_last


def _by_sequence(ports: Ports, stored: StoredWatermark) -> StoredWatermark:
    """The marks in the feed's order of now, should a release of before have set them in another."""
    if not stored.is_by_time:
        return stored
    read_through = ports.feed.by_sequence(stored.read_through)
    watermark = min(ports.feed.by_sequence(stored.watermark), read_through, key=lambda mark: mark.sequence)
    return replace(stored, watermark=watermark, read_through=read_through, is_by_time=False)


def _result(plan: Plan, progress: Progress, end: SliceEnd, fhir_calls: int) -> BatchResult:
    waiting_studies = {one.study for one in plan.left_carried}
    waiting_studies |= {one.study for one in progress.carried}
    entries = len(plan.torn) + len(plan.gone) + sum(len(study.entries) for study in (*plan.due, *plan.not_due))
    counts = progress.counts + Counts(entries=entries, fhir_calls=fhir_calls)
    result = BatchResult(
        outcome=Outcome.SYNCED if entries else Outcome.IDLE,
        watermark=end.stored.watermark,
        held_by=plan.read.held_by,
        waiting=len(progress.carried) + len(plan.left_carried),
        waiting_studies=len(waiting_studies),
        read_through=end.but_settling.read_through,
        but_settling=end.but_settling.watermark,
    )
    return counts.added_to(result)
