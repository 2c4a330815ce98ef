"""Works on replays slice by slice, as on the feed and under the same lease; the feed's watermark never moves."""

import logging
from datetime import datetime

from shared.errors import FeedError, OutageError
from shared.model.replay import Replay
from shared.process.log_lines import log_line
from shared.sync.batch import BatchOptions
from shared.sync.ports import Ports

LEAST_ENTRIES, MOST_ENTRIES = 20, 500
SLICE_SECONDS = 3
"""How long a slice should take: its size follows from how long the one before took.

New entries of the feed wait for a slice to end, and a host that is killed repeats one.
"""

logger = logging.getLogger(__name__)


def run_replays(ports: Ports, options: BatchOptions, deadline: datetime) -> None:
    """Works on the replays that are under way, oldest first, until `deadline` or until the feed has a new entry.

    At least one slice is done. Raises LeaseLostError, and OutageError of storage.
    """
    under_way = ports.replays.under_way()
    if not under_way:
        return
    from shared.sync.replay.replay_slice import next_slice  # noqa: PLC0415 most ticks have no replay

    ports.errors.begin()  # rows may have been written since the batch began, and then a replay of them asked for
    newest, is_new = _newest(ports), False
    for replay in under_way:
        current, size = replay, LEAST_ENTRIES
        while current.is_under_way and ports.now() < deadline and not is_new:
            began = ports.now()
            current = ports.replays.write(next_slice(ports, options, current, size, 2 * SLICE_SECONDS))
            if current.waiting_for:
                break
            is_new = _newest(ports) > newest
            took = (ports.now() - began).total_seconds()
            size = max(LEAST_ENTRIES, min(MOST_ENTRIES, int(size * SLICE_SECONDS / max(took, 0.1))))
        if not current.is_under_way:
            _log_end(current)
            ports.telemetry.replay(current)


def _newest(ports: Ports) -> int:
    """The highest sequence of the feed; 0 if the feed cannot be asked, which is no reason to stop."""
    try:
        latest = ports.feed.latest()
    except (FeedError, OutageError):
        return 0
    return latest.sequence if latest else 0


def _log_end(replay: Replay) -> None:
    progress = replay.progress
    log_line(
        logger,
        logging.INFO,
        f"replay {replay.state}",
        ReplayId=replay.id,
        State=replay.state,
        Done=progress.done,
        Written=progress.written,
        Unchanged=progress.unchanged,
        Failed=progress.failed,
    )
