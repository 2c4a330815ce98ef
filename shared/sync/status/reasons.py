"""The open error rows by reason and study, for a person to look at when 500 rows say the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.model.failures import ErrorQuery, ErrorRow, ErrorTable
from shared.sync.ports import ErrorStore

MAX_ROWS = 1_000
"""How many open rows of each table are read; the status counts up to as many."""
MAX_REASONS, MAX_STUDIES = 50, 50
"""How many are listed, the newest first; of the others only the number is."""


@dataclass(frozen=True, slots=True)
class OpenOfStudy:
    """The open rows of one study for one reason; `message` and `last_seen` are the newest row's."""

    study_instance_uid: str
    partition: str
    rows: int
    message: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class OpenReason:
    """Open rows that say the same; `message` and `last_seen` are the newest row's, `more_studies` are not listed."""

    table: ErrorTable
    exception: str
    message: str
    rows: int
    last_seen: str
    studies: Sequence[OpenOfStudy]
    more_studies: int


@dataclass(frozen=True, slots=True)
class OpenReasons:
    """The reasons of the `rows` that were read. `is_whole`: no table has more; `more_reasons` are not listed."""

    rows: int
    is_whole: bool
    reasons: Sequence[OpenReason]
    more_reasons: int


def open_reasons(errors: ErrorStore) -> OpenReasons:
    """The reasons, by one request a table for at most MAX_ROWS rows. Raises OutageError."""
    read = [errors.page(ErrorQuery(table), MAX_ROWS) for table in ErrorTable]
    rows = [row for of_table in read for row in of_table]
    found = reasons_of(rows)
    is_whole = all(len(of_table) < MAX_ROWS for of_table in read)
    return OpenReasons(len(rows), is_whole, found[:MAX_REASONS], max(0, len(found) - MAX_REASONS))


def reasons_of(rows: Iterable[ErrorRow]) -> list[OpenReason]:
    """The reasons, each with its studies, both newest first."""
    by_reason: dict[tuple[ErrorTable, str, str], list[ErrorRow]] = {}
    for row in sorted(rows, key=_newest_first, reverse=True):
        by_reason.setdefault((row.table, row.exception, _tag_rule(row)), []).append(row)
    return [_reason(found) for found in by_reason.values()]


def _reason(rows: Sequence[ErrorRow]) -> OpenReason:
    newest = rows[0]
    by_study: dict[tuple[str, str], list[ErrorRow]] = {}
    for row in rows:
        by_study.setdefault(row.study, []).append(row)
    studies = [
        OpenOfStudy(uid, partition, len(of_study), of_study[0].message, of_study[0].last_seen or "")
        for (partition, uid), of_study in by_study.items()
    ]
    more = max(0, len(studies) - MAX_STUDIES)
    seen = newest.last_seen or ""
    return OpenReason(newest.table, newest.exception, newest.message, len(rows), seen, studies[:MAX_STUDIES], more)


def _tag_rule(row: ErrorRow) -> str:
    """The rule that a tag broke, in the same words for every instance; empty for messages that name their instance."""
    return row.message if row.message.startswith("(") else ""


def _newest_first(row: ErrorRow) -> tuple[str, int]:
    return row.last_seen or "", row.sequence  # a row that the original wrote has no time
