"""The error tables and the watermark's row, kept in the order that a crash can do no harm to."""

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
from shared.sync.record.past import DoneStudy, past_of

logger = logging.getLogger(__name__)


class ErrorRows:
    """Failures first, the watermark last.

    What writes anything raises LeaseLostError where the lease is no longer ours, OutageError where storage is down.
    """

    def __init__(self, ports: Ports, stored: StoredWatermark, reaches: int = 0) -> None:
        """`reaches`: the highest sequence of the batch."""
        self._ports = ports
        self._stored = stored
        self._reaches = reaches
        self.recorded: Counter[ErrorTable] = Counter()

    def close(self, marks: Marks, holes: Sequence[Hole], beyond: Marks | None = None) -> StoredWatermark:
        """Moves the watermark; the row as it is now."""
        moved = replace(self._stored, watermark=marks.watermark, read_through=marks.read_through)
        self._write(replace(moved, holes=tuple(holes), beyond=beyond))
        return self._stored

    def reach(self) -> None:
        """Notes how far the batch reaches before it is worked on: should this host be killed, some of it is done."""
        self._write(self._stored)

    def _write(self, moved: StoredWatermark) -> None:
        moved = replace(moved, furthest=max(moved.furthest, self._reaches))
        if moved != self._stored:
            self._ports.lease.ensure_held()
            self._stored = self._ports.watermarks.write(moved)

    def open_of(self, entries: Sequence[FeedEntry], others: Collection[tuple[str, str]] = ()) -> list[OpenRow]:
        """Those of the entries' studies, of the entries themselves, and of other studies (data partition, UID)."""
        studies = {*others, *(entry.study for entry in entries)}
        return self._ports.errors.open_rows(studies, {entry.sequence for entry in entries if entry.sequence})

    def past(self, studies: Sequence[DoneStudy]) -> list[OpenRow]:
        """Which open rows are untrue now that these are synced."""
        entries = [entry for study in studies for entry in study.entries]
        return past_of(studies, self.open_of(entries, {one[:2] for study in studies for one in study.gone}))

    def resolve(self, rows: Sequence[OpenRow]) -> None:
        """They are of the past."""
        if rows:
            with self._in_time():
                self._ports.errors.close(rows)

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """A row each, and a line in the log."""
        if not failures:
            return
        with self._in_time():
            self._ports.errors.record(failures)
        self.recorded.update(failure.table for failure in failures)
        for failure in failures:
            _log(failure)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """The lease is held before and after: a host frozen in between may have written over another's rows."""
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
