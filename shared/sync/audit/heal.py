"""Heals a difference: the study is rebuilt in the same way as by a replay."""

from collections.abc import Sequence
from datetime import timedelta

from shared.errors import FeedError, TransientError
from shared.model.audit import MAX_MESSAGE_BYTES
from shared.model.change_feed import ChangeFeedEntry
from shared.model.instance import StudyKey
from shared.model.replay import Cursor, ReplayRequest, StudyRebuild
from shared.model.stored_text import shortened
from shared.sync.audit.rows import TAKES_ALL
from shared.sync.batch import BatchOptions
from shared.sync.map.mapped_entries import map_entries
from shared.sync.ports import Ports
from shared.sync.queue.progress import Limits
from shared.sync.replay.replay_slice import run_portion
from shared.sync.replay.replay_source import next_portion

ABSENT_NOW = "the DICOM service lists no instance of the study since it was compared: the next round looks at it again"
THERE_AGAIN = "the study is in DICOM again"


def heal(ports: Ports, options: BatchOptions, study: StudyKey, most: timedelta, *, is_gone: bool) -> str:
    """The reason why it was not healed; empty if it was. Failures are recorded as by a replay.

    `most`: how long after the study was read a write may begin; a large study takes long to read. `is_gone`: whether
    the study was found to be absent from the archive. If the archive says otherwise by now, nothing is written, nor if
    nothing of the study can be synced.
    Raises LeaseLostError, OutageError.
    """
    partition, uid = study
    request = ReplayRequest(StudyRebuild(uid, partition))
    try:
        portion = next_portion(ports, request.target, Cursor(), 1)
        entries = [entry for one in portion.studies for entry in one.entries]
        if is_gone == bool(entries):
            return THERE_AGAIN if is_gone else ABSENT_NOW
        if not is_gone and not _is_any_synced(ports, options, partition, entries):
            return TAKES_ALL
        limits = Limits(ports.now() + most, options.total_retry_seconds)
        progress, recorder, _ = run_portion(ports, options, request, portion, limits)
    except (FeedError, TransientError) as error:
        return shortened(str(error), MAX_MESSAGE_BYTES)
    if progress.outage:
        raise progress.outage
    if recorder.reason or progress.unfinished:
        return shortened(recorder.reason or "the tick's time was over", MAX_MESSAGE_BYTES)
    messages = [one.message for one in recorder.errors] if not progress.studies_written else []
    return shortened(messages[0], MAX_MESSAGE_BYTES) if messages else ""


def _is_any_synced(ports: Ports, options: BatchOptions, partition: str, entries: Sequence[ChangeFeedEntry]) -> bool:
    """Whether one of the instances can be mapped. Raises FeedError, OutageError."""
    of_partition = options.mapping.of_partition(partition)
    return any(map_entries([entry], of_partition, ports.archive)[0] for entry in entries)
