"""The error tables and the watermark's row, kept in the order that a crash can do no harm to."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from shared.failures import ErrorTable, FailedEntry
from shared.log_lines import log_line
from shared.model import FeedEntry, StoredWatermark, Watermark
from shared.sync.ports import Ports

logger = logging.getLogger(__name__)


class ErrorRows:
    """Failures first, the watermark last.

    What writes anything raises LeaseLostError where the lease is no longer ours, OutageError where storage is down.
    """

    def __init__(self, ports: Ports, stored: StoredWatermark, through: int, failed_through: int = 0) -> None:
        """`through`: the highest sequence of all entries, `failed_through` of those that are known to have rows.

        API v2 orders by time: the highest need not be the last.
        """
        self._ports = ports
        self._stored = stored
        self._failed_before = max(stored.failed_through, failed_through)
        self._through = through
        self.recorded: Counter[ErrorTable] = Counter()

    def close(self, watermark: Watermark, read_through: Watermark) -> None:
        """Moves the watermark."""
        if (watermark, read_through) != (self._stored.watermark, self._stored.read_through):
            self._ports.lease.ensure_held()
            self._write(replace(self._stored, watermark=watermark, read_through=read_through))

    def resolve(self, entries: Sequence[FeedEntry], failures: Collection[FailedEntry]) -> None:
        """What is recorded now stays, in its table; all other rows of the entries are of the past."""
        if earlier := {entry.sequence for entry in entries if 0 < entry.sequence <= self._failed_before}:
            self._ports.lease.ensure_held()
            self._ports.errors.resolve(earlier, {(failure.table, failure.sequence) for failure in failures})

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """A row each, and a line in the log."""
        if not failures:
            return
        self._ports.lease.ensure_held()
        through = max(self._through, *(failure.sequence for failure in failures))
        if self._stored.failed_through < through:
            # Were we killed after the first row, the next run would have to know that rows may be there.
            self._write(replace(self._stored, failed_through=through))
        self._ports.errors.record(failures)
        self.recorded.update(failure.table for failure in failures)
        for failure in failures:
            _log(failure)

    def _write(self, stored: StoredWatermark) -> None:
        self._stored = self._ports.watermarks.write(stored)


def _log(failure: FailedEntry) -> None:
    log_line(
        logger,
        logging.WARNING,
        f"{failure.exception}: {failure.message}",
        Table=failure.table.value,
        Sequence=failure.sequence,
        StudyInstanceUID=failure.study_instance_uid,
        SeriesInstanceUID=failure.series_instance_uid,
        SOPInstanceUID=failure.sop_instance_uid,
    )
