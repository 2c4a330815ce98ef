"""Writes the error tables and the watermark's row, in an order in which a crash does no harm."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from shared.errors import LeaseLostError
from shared.model.change_feed import FeedEntry
from shared.model.failures import ErrorTable, FailedEntry, OpenRow
from shared.model.watermark import Hole, Marks, StoredWatermark
from shared.process.log_lines import log_line
from shared.sync.ports import Ports
from shared.sync.record.resolving import DoneStudy, to_resolve

logger = logging.getLogger(__name__)


class ErrorRows:
    """Failures are written first, the watermark last.

    Methods that write raise LeaseLostError if this host no longer holds the lease, OutageError if storage is down.
    """

    def __init__(self, ports: Ports, stored: StoredWatermark, reaches: int = 0) -> None:
        """`stored`: the watermark's row as it was read; `reaches`: the highest sequence of the batch."""
        self._ports = ports
        self._stored = stored
        self._reaches = reaches
        self.recorded: Counter[ErrorTable] = Counter()

    def close(self, marks: Marks, holes: Sequence[Hole], beyond: Marks | None = None) -> StoredWatermark:
        """Moves the watermark; returns the row as it is now."""
        moved = replace(self._stored, watermark=marks.watermark, read_through=marks.read_through)
        self._write(replace(moved, holes=tuple(holes), beyond=beyond))
        return self._stored

    def reach(self) -> None:
        """Notes how far the batch reaches before it is worked on, in case this host is killed in its midst."""
        self._write(self._stored)

    def _write(self, moved: StoredWatermark) -> None:
        moved = replace(moved, furthest=max(moved.furthest, self._reaches))
        if moved != self._stored:
            self._ports.lease.ensure_held()
            self._stored = self._ports.watermarks.write(moved)

    def open_of(self, entries: Sequence[FeedEntry], others: Collection[tuple[str, str]] = ()) -> list[OpenRow]:
        """The open rows of the entries, of their studies, and of `others` (data partition and StudyInstanceUID)."""
        studies = {*others, *(entry.study for entry in entries)}
        return self._ports.errors.open_rows(studies, {entry.sequence for entry in entries if entry.sequence})

    def to_resolve(self, studies: Sequence[DoneStudy]) -> list[OpenRow]:
        """Which open rows are no longer true now that these studies are synced."""
        entries = [entry for study in studies for entry in study.entries]
        return to_resolve(studies, self.open_of(entries, {one[:2] for study in studies for one in study.gone}))

    def resolve(self, rows: Sequence[OpenRow]) -> None:
        """Marks rows that are no longer true as resolved."""
        if rows:
            with self._in_time():
                self._ports.errors.close(rows)

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """Writes a row and a log line for each failure."""
        if not failures:
            return
        with self._in_time():
            self._ports.errors.record(failures)
        self.recorded.update(failure.table for failure in failures)
        for failure in failures:
            _log(failure)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Checks the lease before and after: a host that froze in between may have overwritten another's rows."""
        self._ports.lease.ensure_held()
        yield
        try:
            self._ports.lease.ensure_held()
        except LeaseLostError:
            self._ports.errors.disown()
            raise


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
