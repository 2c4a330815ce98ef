"""One slice of a replay: its next portion, synced as a batch of the feed is."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from shared.errors import FeedError, OutageError, TransientError, UnforeseenError
from shared.mapping.study_identity import is_study, study_identifier
from shared.mapping.transaction import identifier_query
from shared.model.counts import Counts
from shared.model.replay import (
    Cursor,
    PlannedWrite,
    Replay,
    ReplayError,
    ReplayProgress,
    ReplayRequest,
    ReplayState,
    StudyRebuild,
)
from shared.model.watermark import Watermark
from shared.sync.batch import BatchOptions
from shared.sync.bulkhead import Bulkhead, log_unforeseen
from shared.sync.merge.feed_order import FeedOrder
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.ports import Ports
from shared.sync.queue.progress import Limits, Progress
from shared.sync.queue.retry import ATTEMPTS_IN_A_TICK, Attempts
from shared.sync.queue.studies import StudyQueue
from shared.sync.queue.study import StudySync
from shared.sync.record.replay_recorder import ReplayRecorder
from shared.sync.record.rows import ErrorRows
from shared.sync.replay.dry_run_server import DryRunServer
from shared.sync.replay.replay_source import Portion, next_portion, total_of

NOWHERE = "the study is in neither DICOM nor FHIR: look at its StudyInstanceUID, and at the data partition"


def next_slice(ports: Ports, options: BatchOptions, replay: Replay, size: int, seconds: float) -> Replay:
    """The replay with one more portion done, or with the reason why it waits.

    No study of it is begun once `seconds` have passed since the portion was read.
    """
    replay = replace(replay, state=ReplayState.RUNNING, updated=ports.now(), waiting_for=None)
    try:
        with Bulkhead():
            return _with_next_portion(ports, options, replay, size, seconds)
    except OutageError as error:
        return replay.waiting(str(error))
    except TransientError as error:
        return _with_failed_attempt(ports, options, replay, error)
    except UnforeseenError as error:
        log_unforeseen(error, ReplayId=replay.id)
        return replay.failing(ReplayError(None, "", str(error)))
    except FeedError as error:
        return replay.failing(ReplayError(None, "", str(error)))


def _with_failed_attempt(ports: Ports, options: BatchOptions, replay: Replay, error: TransientError) -> Replay:
    """A study that cannot be read is tried again, and given up after TotalRetryDuration, like one of the feed."""
    target, now = replay.request.target, ports.now()
    if not isinstance(target, StudyRebuild):
        return replay.waiting(str(error))
    attempts = Attempts(replay.tries, replay.failing_since or now, now)
    if not attempts.is_over(now, options.total_retry_seconds):
        return replace(replay.waiting(str(error)), failing_since=attempts.first, tries=replay.tries + 1)
    recorder = ReplayRecorder(ports, ErrorRows(ports, ports.watermarks.read()), replay.request, target)
    recorder.given_up((), str(error))
    return replay.failing(recorder.errors[0])


def _with_next_portion(ports: Ports, options: BatchOptions, replay: Replay, size: int, seconds: float) -> Replay:
    target = replay.request.target
    if replay.progress.total is None and replay.cursor == Cursor():
        replay = replace(replay, progress=replace(replay.progress, total=total_of(ports, target)))
    portion = next_portion(ports, target, replay.cursor, size)
    # From now, not from before it was read: a study that takes long to read would be read again and again.
    until = ports.now() + timedelta(seconds=seconds)
    return _with_portion(ports, options, replay, portion, Limits(until, options.total_retry_seconds))


def _with_portion(ports: Ports, options: BatchOptions, replay: Replay, portion: Portion, limits: Limits) -> Replay:
    """Syncs a portion as a batch of the feed; then the cursor moves over what is done."""
    attempts = Attempts(replay.tries, replay.failing_since, replay.updated) if replay.failing_since else None
    progress, recorder, writes = run_portion(ports, options, replay.request, portion, limits, attempts)
    unfinished = recorder.unfinished.union(*(study.sequences for study in progress.unfinished))
    cursor, count = portion.advance(unfinished)
    is_done = portion.is_last and not unfinished
    is_in_vain = is_done and not (progress.studies_written or recorder.errors)
    whole = [ReplayError(None, "", NOWHERE)] if is_in_vain and _is_nowhere(ports, options, replay, portion) else []
    reason = str(progress.outage) if progress.outage else recorder.reason
    return replace(
        replay.adding([*portion.errors, *recorder.errors, *whole], writes).waiting(reason),
        state=ReplayState.DONE if is_done else ReplayState.RUNNING,
        progress=_added(replay.progress, count, progress, is_done=is_done),
        cursor=cursor,
        failing_since=(replay.failing_since or ports.now()) if recorder.reason else None,
        tries=replay.tries + ATTEMPTS_IN_A_TICK if recorder.reason else 0,
    )


def run_portion(
    ports: Ports,
    options: BatchOptions,
    request: ReplayRequest,
    portion: Portion,
    limits: Limits,
    attempts: Attempts | None = None,
) -> tuple[Progress, ReplayRecorder, Sequence[PlannedWrite]]:
    """Syncs a portion as a batch of the feed; `attempts`: those that failed.

    The writes are those that a dry run would have made. Raises LeaseLostError, and OutageError of storage.
    """
    recorder = ReplayRecorder(ports, ErrorRows(ports, ports.watermarks.read()), request, portion.whole)
    fhir = DryRunServer(ports.fhir)
    # A replay trusts nothing that is remembered: somebody has a reason to look again. A dry run leaves no trace.
    recent_writes = None if request.dry_run else ports.cache.recent_writes
    feed_order = FeedOrder()
    if request.patients:
        feed_order.begin(Watermark(), portion.order)
    afresh = replace(ports, cache=ResourceCache(max_weight=0, recent_writes=recent_writes), feed_order=feed_order)
    sync = StudySync(replace(afresh, fhir=fhir) if request.dry_run else afresh, options.mapping)
    studies = [
        replace(study, attempts=dict.fromkeys(study.sequences, attempts) if attempts else {})
        for study in portion.studies
    ]
    progress = StudyQueue(ports, sync, recorder, limits).run(studies)
    progress.counts += Counts(failed=recorder.torn(portion.torn) + len(portion.errors))
    return progress, recorder, fhir.writes


def _is_nowhere(ports: Ports, options: BatchOptions, replay: Replay, portion: Portion) -> bool:
    """Whether it was to rebuild a study that neither server has: its UID or data partition was mistyped."""
    target = replay.request.target
    if not isinstance(target, StudyRebuild) or any(study.entries for study in portion.studies):
        return False
    of_partition, uid = options.mapping.of_partition(target.partition), target.study_instance_uid
    found = ports.fhir.search("ImagingStudy", identifier_query(**study_identifier(of_partition, uid)))
    return not any(is_study(one, uid, of_partition) for one in found)


def _added(so_far: ReplayProgress, count: int, progress: Progress, *, is_done: bool) -> ReplayProgress:
    done = so_far.done + count
    # A study that is gone from the DICOM service has no entries, but may have been written.
    counts = replace(progress.counts, written=progress.counts.written or progress.studies_written)
    return counts.added_to(replace(so_far, done=done, total=done if is_done else so_far.total))
