"""Works through a slice's plan: syncs the studies that are due, and records the entries that cannot be synced now."""

from shared.mapping.mapping_options import MappingOptions
from shared.model.counts import Counts
from shared.sync.ports import Ports
from shared.sync.queue.progress import Limits, Progress, Work
from shared.sync.queue.studies import StudyQueue
from shared.sync.queue.study import StudySync
from shared.sync.read.not_taken import with_not_taken
from shared.sync.read.plan import Plan
from shared.sync.record.feed_recorder import FeedRecorder
from shared.sync.record.rows import ErrorRows


def work_through(ports: Ports, options: MappingOptions, plan: Plan, rows: ErrorRows, limits: Limits) -> Work:
    """Works on all of the plan but the studies that settle. Raises LeaseLostError."""
    sync = StudySync(ports, options)
    plan, settling = ports.settling.split(plan, sync.patients, ports.now())
    if any(study.updated for study in plan.due):
        rows.reach()
    return Work(plan, _done(ports, plan, sync, rows, limits), frozenset(settling), sync.patients)


def _done(ports: Ports, plan: Plan, sync: StudySync, rows: ErrorRows, limits: Limits) -> Progress:
    recorder = FeedRecorder(rows)
    due = sum(len(study.entries) for study in plan.due)
    queue = StudyQueue(ports, sync, recorder, limits, lambda done: ports.lease.show_progress(done, due))
    progress = queue.run(with_not_taken(ports, plan.due))
    progress.counts += Counts(failed=recorder.torn(plan.torn) + recorder.gone(plan.gone))
    for study in plan.not_due:
        recorder.carried(study.entries, "an earlier entry of the study is not synced yet")
        progress.carry(study.entries)
    return progress
