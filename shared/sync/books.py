"""What a batch leaves behind: failures in their tables, earlier failures resolved, the watermark moved."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from shared.errors import TornEntryError, TransientError
from shared.failures import ErrorTable, FailedEntry
from shared.log_lines import log_line
from shared.model import ChangeFeedEntry, FeedEntry, StoredWatermark, TornEntry, Watermark
from shared.sync.ports import Ports

logger = logging.getLogger(__name__)


class Books:
    """Kept in the order that a crash can do no harm to: failures first, the watermark last.

    What enters anything raises LeaseLostError where the lease is no longer ours, OutageError where storage is down.
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

    def done(self, entries: Sequence[ChangeFeedEntry], failures: Sequence[FailedEntry]) -> int:
        """Enters a study that is synced but for `failures`; how many of its entries were not."""
        not_synced = {failure.sequence for failure in failures if failure.is_final}
        self._record(failures)
        self._resolve_earlier(entries, failures)
        return len(not_synced)

    def torn(self, entries: Sequence[TornEntry]) -> int:
        """Enters entries of the feed that cannot be read; how many they were."""
        name = TornEntryError.__name__
        torn = [FailedEntry.of(entry, TornEntryError.table, name, entry.message) for entry in entries]
        self._record(torn)
        self._resolve_earlier(entries, torn)
        return len(entries)

    def carried(
        self, entries: Sequence[ChangeFeedEntry], reason: str, tries: int = 0, not_before: datetime | None = None
    ) -> None:
        """Enters a study that waits for a later tick; `tries` failed in this one."""
        rows = (_transient(ErrorTable.TRANSIENT_RETRY, entry, reason) for entry in entries)
        self._record([replace(row, tries=tries, not_before=not_before) for row in rows])

    def given_up(self, entries: Sequence[ChangeFeedEntry], reason: str) -> int:
        """Enters a study that was tried for too long; how many entries that were."""
        failures = [_transient(ErrorTable.TRANSIENT_FAILURE, entry, reason) for entry in entries]
        self._record(failures)
        self._resolve_earlier(entries, failures)
        return len(entries)

    def close(self, watermark: Watermark, read_through: Watermark) -> None:
        """Moves the watermark."""
        if (watermark, read_through) != (self._stored.watermark, self._stored.read_through):
            self._ports.lease.ensure_held()
            self._write(replace(self._stored, watermark=watermark, read_through=read_through))

    def _resolve_earlier(self, entries: Sequence[FeedEntry], failures: Collection[FailedEntry]) -> None:
        """What is recorded now stays, in its table; all other rows of the entries are of the past."""
        if earlier := {entry.sequence for entry in entries if 0 < entry.sequence <= self._failed_before}:
            self._ports.lease.ensure_held()
            self._ports.errors.resolve(earlier, {(failure.table, failure.sequence) for failure in failures})

    def _record(self, failures: Sequence[FailedEntry]) -> None:
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


def _transient(table: ErrorTable, entry: ChangeFeedEntry, reason: str) -> FailedEntry:
    # One class for all transient faults: an entry that fails now in one way, now in another, is one row.
    return FailedEntry.of(entry, table, TransientError.__name__, reason)


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
