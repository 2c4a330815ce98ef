"""What a replay works on next: a portion of the feed, of an error table, or a whole study."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TypeVar

from shared.errors import UnreadStudyError
from shared.model.change_feed import FeedEntry, FeedPage, TornEntry
from shared.model.failures import ErrorQuery, ErrorRow, ErrorTable, digest
from shared.model.replay import Cursor, ReplayError, ReplayTarget, SequenceRange, StoredErrors, StudyRebuild, TimeRange
from shared.model.watermark import Watermark
from shared.sync.merge.reading import of_one_study
from shared.sync.ports import Ports
from shared.sync.read.not_taken import with_not_taken
from shared.sync.read.plan import Study
from shared.sync.read.planning import by_study, of_these, updated_instances
from shared.sync.record.recorder import GONE

ROWS_AT_ONCE = 1_000
_OfStudy = TypeVar("_OfStudy", FeedEntry, ErrorRow)


@dataclass(frozen=True, slots=True)
class Portion:
    """Studies to sync, torn entries, and errors that are known without a sync.

    `order`: the sequences in the feed's order; 0 stands for instances that the DICOM service was asked for. `advance`
    takes the sequences that are unfinished, and returns where the cursor then stands and how much is done. `is_last`:
    nothing comes behind it. `whole`: the study, if the portion rebuilds one.
    """

    studies: Sequence[Study]
    torn: Sequence[TornEntry]
    errors: Sequence[ReplayError]
    order: Sequence[int]
    advance: Callable[[Collection[int]], tuple[Cursor, int]]
    is_last: bool
    whole: StudyRebuild | None = None


def next_portion(ports: Ports, target: ReplayTarget, cursor: Cursor, size: int) -> Portion:
    """The portion behind the cursor, about `size` entries. Raises FeedError, OutageError, UnreadStudyError."""
    match target:
        case SequenceRange():
            return _of_sequences(ports, target, cursor, size)
        case TimeRange():
            return _of_time(ports, target, cursor, size)
        case StoredErrors():
            return _of_errors(ports, target, cursor, size)
        case StudyRebuild():
            return _of_study(ports, target)


def _of_sequences(ports: Ports, target: SequenceRange, cursor: Cursor, size: int) -> Portion:
    """The next `size` sequence numbers; those that the feed does not have count as done."""
    first = max(target.first, cursor.place.sequence + 1)
    last = min(target.last, first + size - 1)
    entries = ports.feed.entries(range(first, last + 1))
    if last < target.last:
        following = _cut_study(sorted(entries, key=lambda entry: entry.sequence))
        last = following[0].sequence - 1 if following else last
        entries = [entry for entry in entries if entry.sequence <= last]

    def advance(unfinished: Collection[int]) -> tuple[Cursor, int]:
        end = min(unfinished, default=last + 1) - 1
        return Cursor(Watermark(end)), end - first + 1

    return _portion(ports, entries, (), advance, is_last=last == target.last)


def _of_time(ports: Ports, target: TimeRange, cursor: Cursor, size: int) -> Portion:
    """The next pages of the range, in the order of API v2."""
    start = cursor.place if cursor.place.timestamp else Watermark(0, target.start)
    pages: list[FeedPage] = []
    is_last = True
    for page in ports.feed.between(start, target.end):
        pages.append(page)
        if sum(len(one.entries) for one in pages) >= size:
            is_last = False
            break
    read = [entry for page in pages for entry in page.entries]
    following = () if is_last else _cut_study(read)
    entries = read[: len(read) - len(following)]
    if not any(entry.timestamp for entry in entries):
        entries = read  # the cursor is a time

    def advance(unfinished: Collection[int]) -> tuple[Cursor, int]:
        done = list(takewhile(lambda entry: entry.sequence not in unfinished, entries))
        if len(done) == len(read):
            return Cursor(pages[-1].through if pages else start), len(done)
        timed = [entry for entry in done if entry.timestamp]
        return Cursor(Watermark(timed[-1].sequence, timed[-1].timestamp) if timed else start), len(done)

    return _portion(ports, entries, (), advance, is_last=is_last)


def _of_errors(ports: Ports, target: StoredErrors, cursor: Cursor, size: int) -> Portion:
    """The next open rows of the table at the cursor; their entries are read from the feed as they are now.

    A row without a sequence is about its study, which is rebuilt in a portion of its own. With the entry of a row run
    those of the instance's other rows, whatever their table: without the delete before it, a create that cannot be
    mapped would leave in FHIR what was deleted.
    """
    table = cursor.table or target.tables[0]
    page = ports.errors.page(_query(target, table), size, cursor.row if cursor.table else None)
    if page and not page[0].sequence:
        return _of_study_row(ports, page[0], cursor)
    rows = list(takewhile(lambda row: row.sequence, page))
    is_end = len(rows) == len(page) < size
    if len(rows) == size:
        rows = rows[: size - len(_cut_study(rows))]
    entries = ports.feed.entries({row.sequence for row in rows} | _of_same_instances(ports, rows))
    known = {entry.sequence for entry in entries}
    errors = [ReplayError(row.sequence, row.sop_instance_uid, GONE) for row in rows if row.sequence not in known]
    position = target.tables.index(table)
    following = target.tables[position + 1] if position + 1 < len(target.tables) else None

    def advance(unfinished: Collection[int]) -> tuple[Cursor, int]:
        done = list(takewhile(lambda row: row.sequence not in unfinished, rows))
        if len(done) == len(rows) and is_end and following:
            return Cursor(table=following), len(done)
        return Cursor(table=table, row=done[-1].key if done else cursor.row), len(done)

    return _portion(ports, entries, errors, advance, is_last=is_end and following is None)


def _of_same_instances(ports: Ports, rows: Sequence[ErrorRow]) -> set[int]:
    """The sequences of all open rows of the rows' instances, without those that the feed's own ticks try again."""
    instances = {digest(*row.instance) for row in rows}
    return {
        one.sequence
        for one in ports.errors.open_rows({row.study for row in rows}, ())
        if one.instance in instances and one.sequence and one.table is not ErrorTable.TRANSIENT_RETRY
    }


def _of_study_row(ports: Ports, row: ErrorRow, cursor: Cursor) -> Portion:
    """The rebuild of the row's study; if it still cannot be read, an error says so and the row stays."""

    def advance(unfinished: Collection[int]) -> tuple[Cursor, int]:
        return (cursor, 0) if unfinished else (Cursor(table=row.table, row=row.key), 1)

    try:
        study = _of_study(ports, StudyRebuild(row.study_instance_uid, row.partition))
    except UnreadStudyError as error:
        return Portion((), (), [ReplayError(None, "", str(error))], (), advance, is_last=False)
    return replace(study, advance=advance, is_last=False)


def _of_study(ports: Ports, target: StudyRebuild) -> Portion:
    """The rebuild of a study from all instances that the DICOM service holds now."""
    whole = (target.study_instance_uid, target.partition)
    with of_one_study(ports.feed):
        entries = list(ports.archive.instances(*whole))
    study = Study(entries, whole=whole)
    count = max(1, len(entries))

    def advance(unfinished: Collection[int]) -> tuple[Cursor, int]:
        return Cursor(), 0 if unfinished else count

    return Portion(with_not_taken(ports, [study]), (), (), (0,), advance, is_last=True, whole=target)


def _cut_study(items: Sequence[_OfStudy]) -> Sequence[_OfStudy]:
    """The entries or rows of the last study, more of which may follow; none if there is no other study.

    The next portion begins with them, so that no study is written in part because a portion ends within it.
    """
    count = sum(1 for _ in takewhile(lambda one: one.study == items[-1].study, reversed(items)))
    return items[len(items) - count :] if count < len(items) else ()


def total_of(ports: Ports, target: ReplayTarget) -> int | None:
    """How many entries or rows the replay has, None if that is not known before it begins."""
    if isinstance(target, SequenceRange):
        return target.last - target.first + 1
    if isinstance(target, StoredErrors):
        return sum(_count_rows(ports, _query(target, table)) for table in target.tables)
    return None


def _count_rows(ports: Ports, query: ErrorQuery) -> int:
    count, after = 0, None
    while page := ports.errors.page(query, ROWS_AT_ONCE, after):
        count, after = count + len(page), page[-1].key
    return count


def _query(target: StoredErrors, table: ErrorTable) -> ErrorQuery:
    return ErrorQuery(table, study_instance_uid=target.failed_study, exception=target.exception)


def _portion(
    ports: Ports,
    entries: Sequence[FeedEntry],
    errors: Sequence[ReplayError],
    advance: Callable[[Collection[int]], tuple[Cursor, int]],
    *,
    is_last: bool,
) -> Portion:
    torn = [entry for entry in entries if isinstance(entry, TornEntry)]
    updated = updated_instances(entries)
    studies = [Study(group, is_replayed=True, updated=of_these(group, updated)) for group in by_study(entries)]
    return Portion(
        with_not_taken(ports, studies), torn, errors, [entry.sequence for entry in entries], advance, is_last
    )
