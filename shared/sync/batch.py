"""One batch: read -> group by study -> sync each (map, merge, transact) -> record -> move the watermark.

It lasts until the feed or the tick's time ends, and is worked on in slices: the watermark moves after each.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.errors import FeedError, OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.model.audit import AuditOptions
from shared.model.counts import Counts
from shared.model.failures import ErrorTable
from shared.model.options import PatientUpdatePolicy
from shared.model.outcome import BatchResult, Outcome
from shared.model.watermark import StoredWatermark
from shared.sync.ports import Ports
from shared.sync.queue.progress import Limits, Progress, Work
from shared.sync.read.carried import carried_entries
from shared.sync.read.plan import Plan
from shared.sync.read.planning import make_plan
from shared.sync.read.read_ahead import Pages, ReadAhead
from shared.sync.record.marks import SliceEnd, slice_end
from shared.sync.record.rows import ErrorRows

READING = 1 / 3
"""The part of the tick's remaining time that reading may take: the rest is for syncing what was read."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a tick works; times in seconds.

    `size`: entries of a slice; pages of the feed are read until it is reached. `max_slices` of one tick; 0: no limit.
    `standstill_seconds`: once entries have waited for longer and several ticks changed nothing, that is an error; it
    is longer than holes may stay open. `quiet_seconds`: of the ticks that find nothing to do, one in this time is
    recorded, which shows health, alerts and the page that ticks run. `settle_seconds`: a growing study is written again
    no sooner; 0: each time that more of it is read. `order_look_back_days`: after a start, orders that came late are
    looked for from so long ago; 0: they are not. `audit`: whether and how fast it works, and what it may change.
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
    """Works on slice after slice until the feed ends, the time is over, or the feed holds back entries.

    Raises what `run_slice` does if the first slice fails; the fault of a later one is left to the next tick, which
    meets it again.
    """
    deadline = ports.now() + timedelta(seconds=options.tick_budget_seconds)
    ports.settling.begin(options.settle_seconds, ports.now())
    if options.max_slices == 1:  # nothing is read ahead, as the next tick could not use it
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
    codings = sum((Counter(result.codings_without_system) for result in results), Counter[str]())
    return replace(
        total,
        outcome=outcome,
        recorded=dict(recorded),
        codings_without_system=dict(codings),
        brought_on=brought_on,
    )


def run_slice(
    ports: Ports, options: BatchOptions, deadline: datetime, pages: Pages | None = None
) -> tuple[BatchResult, bool]:
    """Works on one slice from where the feed was last read; the result, and whether the feed had nothing behind it.

    `pages`: the feed's, if they are read ahead. Raises FeedError, OutageError, LeaseLostError; what is done stays done.
    """
    calls_before = ports.fhir.calls
    stored = _by_sequence(ports, ports.watermarks.read())
    at = ports.settling.resumed(stored)
    began = ports.now()
    read_until = began + max(timedelta(), deadline - began) * READING
    _recall_order(ports, options.mapping, at, read_until)
    plan = make_plan(ports, at, options.size, read_until, pages)
    rows = ErrorRows(ports, stored, reaches=max((stored.furthest, *(entry.sequence for entry in plan.read.entries))))
    work = _worked(ports, options, plan, rows, deadline)
    plan, progress = work.plan, work.progress

    unfinished = {entry.sequence for study in progress.unfinished for entry in study.entries}
    carried = {entry.sequence for entry in progress.carried}
    end = slice_end(plan, at, ports.settling.entries, unfinished, carried, work.settling)
    row = rows.close(end.stored, end.stored_holes, end.beyond)
    ports.settling.end(row, end)
    if work.patients:
        ports.settling.note_written(plan.due, unfinished | carried, work.patients, ports.now())
    ports.feed_order.end(end.but_settling.read_through, work.carried_patients())
    if progress.outage:
        raise progress.outage
    result = _result(plan, progress, end, ports.fhir.calls - calls_before)
    brought_on = end.but_settling != at.but_settling or plan.leaves_carried
    brought_on = brought_on or bool(progress.counts.studies or rows.recorded)
    return replace(result, recorded=dict(rows.recorded), brought_on=brought_on), plan.is_last


def _by_sequence(ports: Ports, stored: StoredWatermark) -> StoredWatermark:
    """The marks by sequence number. An earlier release, which followed API v2, may have set them by time."""
    if not stored.is_by_time:
        return stored
    read_through = ports.feed.by_sequence(stored.read_through)
    watermark = min(ports.feed.by_sequence(stored.watermark), read_through, key=lambda mark: mark.sequence)
    return replace(stored, watermark=watermark, read_through=read_through, is_by_time=False)


def _recall_order(ports: Ports, mapping: MappingOptions, at: StoredWatermark, read_until: datetime) -> None:
    """Lets a host that has not read the feed up to `at` itself know the feed's order, if that has a bearing."""
    overwrites = mapping.patient_update_policy is PatientUpdatePolicy.OVERWRITE
    if not overwrites or ports.feed_order.continues(at.read_through):
        return
    carried = carried_entries(ports, at)
    if carried or at.holes:
        from shared.sync.read.earlier_statements import recall_order  # noqa: PLC0415 mostly nothing waits at a start

        recall_order(ports, mapping, at, {one.sequence for one in carried}, read_until)


def _worked(ports: Ports, options: BatchOptions, plan: Plan, rows: ErrorRows, deadline: datetime) -> Work:
    if not plan.has_entries:
        return Work(plan)
    from shared.sync.queue.work import work_through  # noqa: PLC0415 a tick without entries maps and writes nothing

    return work_through(ports, options.mapping, plan, rows, Limits(deadline, options.total_retry_seconds))


def _result(plan: Plan, progress: Progress, end: SliceEnd, fhir_calls: int) -> BatchResult:
    carried_studies = {one.study for one in plan.left_carried} | {one.study for one in progress.carried}
    entries = len(plan.torn) + len(plan.gone) + sum(len(study.entries) for study in (*plan.due, *plan.not_due))
    counts = progress.counts + Counts(entries=entries, fhir_calls=fhir_calls)
    result = BatchResult(
        outcome=Outcome.SYNCED if entries else Outcome.IDLE,
        watermark=end.stored.watermark,
        held_by=plan.read.held_by,
        waiting=len(progress.carried) + len(plan.left_carried),
        waiting_studies=len(carried_studies),
        read_through=end.but_settling.read_through,
        but_settling=end.but_settling.watermark,
        codings_without_system=dict(progress.codings_without_system),
    )
    return counts.added_to(result)
