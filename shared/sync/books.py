"""What a batch leaves behind: failures in their tables, earlier failures resolved, the watermark moved."""

import logging
from collections.abc import Sequence

from shared.model import ChangeFeedEntry, FailedEntry, StoredWatermark, Watermark
from shared.sync.ports import Ports

logger = logging.getLogger(__name__)


class Books:
    """Kept in the order that a crash can do no harm to: failures first, the watermark last."""

    def __init__(self, ports: Ports, stored: StoredWatermark, through: Watermark) -> None:
        self._ports = ports
        self._stored = stored
        self._failed_before = stored.failed_through
        self._through = through

    def enter(self, entries: Sequence[ChangeFeedEntry], failures: Sequence[FailedEntry]) -> int:
        """Records the failures of a study that is done, resolves its earlier ones; how many entries were not synced."""
        earlier = {entry.sequence for entry in entries if entry.sequence <= self._failed_before}
        not_synced = {failure.sequence for failure in failures if failure.is_final}
        self._ports.errors.resolve(earlier - not_synced)
        if failures:
            self._expect_failures()
            self._ports.errors.record(failures)
        for failure in failures:
            _log(failure)
        return len(not_synced)

    def close(self, reached: Watermark) -> None:
        """Moves the watermark. Raises LeaseLostError where it is not ours to move."""
        if reached != self._stored.watermark:
            self._ports.lease.ensure_held()
            self._stored = self._ports.watermarks.move(self._stored, reached, self._stored.failed_through)

    def _expect_failures(self) -> None:
        """Before the first row: were we killed right after it, the next run would have to know that it may be there."""
        if self._stored.failed_through < self._through.sequence:
            at = self._stored.watermark
            self._stored = self._ports.watermarks.move(self._stored, at, self._through.sequence)


def _log(failure: FailedEntry) -> None:
    dimensions = {
        "Table": failure.table.value,
        "Sequence": failure.sequence,
        "StudyInstanceUID": failure.study_instance_uid,
        "SeriesInstanceUID": failure.series_instance_uid,
        "SOPInstanceUID": failure.sop_instance_uid,
    }
    logger.warning("%s: %s", failure.exception, failure.message, extra={"custom_dimensions": dimensions})
