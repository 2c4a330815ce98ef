"""One batch: read -> group by study -> sync each (map, merge, transact) -> record -> move the watermark."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.errors import OutageError, TransientError
from shared.mapping.converters import MappingOptions
from shared.model import BatchResult, ChangeFeedEntry, FeedPage, Outcome, Watermark
from shared.sync.books import Books
from shared.sync.ports import Feed, Ports
from shared.sync.study import StudySync

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """`size` in entries: pages of the feed are read until it is reached."""

    mapping: MappingOptions
    size: int


@dataclass(slots=True)
class _Progress:
    """What the batch has done so far, in entries, and the fault that it stopped at."""

    studies: int = 0
    written: int = 0
    unchanged: int = 0
    failed: int = 0
    invalid_tags: int = 0
    stopped_before: ChangeFeedEntry | None = None
    stopped_by: TransientError | OutageError | None = None


def run_batch(ports: Ports, options: BatchOptions) -> BatchResult:
    """One batch from the watermark on. Raises FeedError, OutageError, LeaseLostError; what is done stays done."""
    calls_before = ports.fhir.calls
    stored = ports.watermarks.read()
    read = read_batch(ports.feed, stored.watermark, options.size)
    books = Books(ports, stored, read.through)
    progress = sync_studies(ports, options, by_study(read.entries), books)
    reached, held_by = read.through, read.held_by
    if progress.stopped_before is not None:
        reached = just_before(progress.stopped_before, read.entries, stored.watermark)
        held_by = f"sequence {progress.stopped_before.sequence} is not finished: {progress.stopped_by}"
    books.close(reached)
    if isinstance(progress.stopped_by, OutageError):
        raise progress.stopped_by
    return BatchResult(
        outcome=Outcome.SYNCED if read.entries else Outcome.IDLE,
        watermark=reached,
        entries=len(read.entries),
        studies=progress.studies,
        written=progress.written,
        unchanged=progress.unchanged,
        failed=progress.failed,
        invalid_tags=progress.invalid_tags,
        fhir_calls=ports.fhir.calls - calls_before,
        held_by=held_by,
    )


def read_batch(feed: Feed, after: Watermark, size: int) -> FeedPage:
    """Pages of the feed until `size` entries are there, or its end."""
    entries: list[ChangeFeedEntry] = []
    read = FeedPage((), after)
    for page in feed.pages(after):
        entries += page.entries
        read = page
        if len(entries) >= size:
            break
    return replace(read, entries=entries)


def by_study(entries: Sequence[ChangeFeedEntry]) -> list[list[ChangeFeedEntry]]:
    """The entries of each study, in the feed's order; the studies by their first entry."""
    studies: dict[tuple[str, str], list[ChangeFeedEntry]] = {}
    for entry in entries:
        studies.setdefault((entry.partition, entry.study_instance_uid), []).append(entry)
    return list(studies.values())


def sync_studies(
    ports: Ports, options: BatchOptions, studies: Sequence[Sequence[ChangeFeedEntry]], books: Books
) -> _Progress:
    """The studies one by one, until one cannot be finished now. Raises LeaseLostError between two of them."""
    sync = StudySync(ports.fhir, options.mapping)
    progress = _Progress()
    for entries in studies:
        ports.lease.ensure_held()
        try:
            result = sync.run(entries)
        except (TransientError, OutageError) as error:
            progress.stopped_before, progress.stopped_by = entries[0], error
            dimensions = {"StudyInstanceUID": entries[0].study_instance_uid}
            logger.warning("study held: %s", error, extra={"custom_dimensions": dimensions})
            break
        failed = books.enter(entries, result.failures)
        progress.studies += 1
        progress.failed += failed
        progress.invalid_tags += sum(not failure.is_final for failure in result.failures)
        if result.wrote:
            progress.written += len(entries) - failed
        else:
            progress.unchanged += len(entries) - failed
    return progress


def just_before(entry: ChangeFeedEntry, entries: Sequence[ChangeFeedEntry], start: Watermark) -> Watermark:
    """The watermark that stands right before `entry`, where all entries of the feed before it are done."""
    at = next(i for i, one in enumerate(entries) if one.sequence == entry.sequence)
    return Watermark(entries[at - 1].sequence, entries[at - 1].timestamp) if at else start
