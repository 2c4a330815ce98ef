"""Which open rows are of the past: each is open exactly as long as what it says is true."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.model.change_feed import Action, ChangeFeedEntry, FeedEntry, State
from shared.model.failures import ErrorTable, FailedEntry, InstanceOfRow, OpenRow, digest, digest_of_study
from shared.sync.read.plan import instance_of


@dataclass(frozen=True, slots=True)
class DoneStudy:
    """A study that is synced but for `failures`.

    `untrue`: what rows of the whole study may say, was looked for, and is not so; by their exceptions. `gone`: what the
    archive holds no more under these UIDs; a study's former self, with no other UIDs, as a whole.
    """

    entries: Sequence[ChangeFeedEntry]
    failures: Sequence[FailedEntry]
    untrue: Collection[str] = ()
    gone: Collection[InstanceOfRow] = ()


def past_of(studies: Sequence[DoneStudy], rows: Iterable[OpenRow]) -> list[OpenRow]:
    """Of several studies' open rows those that are of the past."""
    by_study: dict[str, list[OpenRow]] = {}
    for row in rows:
        by_study.setdefault(row.study, []).append(row)
    if not by_study:
        return []
    past: list[OpenRow] = []
    for one in studies:
        named = {digest_of_study(entry.partition, entry.study_instance_uid, 0) for entry in one.entries[:1]}
        named |= {digest_of_study("", "", entry.sequence) for entry in one.entries}
        theirs = [row for study in sorted(named & by_study.keys()) for row in by_study[study]]
        past += after_sync(theirs, one.entries, one.failures, one.untrue)
    gone = {instance for one in studies for instance in one.gone}
    past += of_gone(by_study, gone, [failure for one in studies for failure in one.failures])
    return list(dict.fromkeys(past))


def after_sync(
    rows: Collection[OpenRow],
    entries: Sequence[ChangeFeedEntry],
    failures: Collection[FailedEntry],
    untrue: Collection[str],
) -> list[OpenRow]:
    """Once a study is synced but for `failures`, which are recorded; `rows` are those of the study and its entries.

    The rows of instances that are in FHIR, or gone, whichever entry told of it; those of the entries themselves; those
    that a row of now takes the place of. What is tried again by its own back-off stays, unless its instance is synced.
    `untrue`: the exceptions of the whole study that were looked for, and not found.
    """
    if not rows:
        return []
    written = {(failure.table, failure.key) for failure in failures}
    sequences = {entry.sequence for entry in entries}
    told = {digest(*instance_of(entry)) for entry in entries if speaks(entry)}
    failed = {digest(*failure.instance) for failure in failures if failure.is_final}
    past_exceptions = {*untrue, *(failure.exception for failure in failures if failure.is_of_study)}

    def is_past(row: OpenRow) -> bool:
        if row.is_of_study:
            return row.key[0] in past_exceptions
        if row.sequence in sequences:
            return True
        is_retried = row.table is ErrorTable.TRANSIENT_RETRY
        return row.instance in told and not (is_retried and row.instance in failed)

    return [row for row in rows if (row.table, row.key) not in written and is_past(row)]


def of_gone(
    rows: Mapping[str, Sequence[OpenRow]], gone: Collection[InstanceOfRow], failures: Collection[FailedEntry]
) -> list[OpenRow]:
    """Of open rows, by study, those of instances that the archive holds no more under their UIDs.

    Of a study that has others now, which stands there without further UIDs, all. What is carried is tried again.
    """
    written = {(failure.table, failure.key) for failure in failures}
    instances = {digest(*one) for one in gone}
    whole = {digest(*one[:2]) for one in gone if not any(one[2:])}
    return [
        row
        for study in sorted({digest(*one[:2]) for one in gone} & rows.keys())
        for row in rows[study]
        if (study in whole or (row.instance in instances and not row.is_of_study))
        and row.table is not ErrorTable.TRANSIENT_RETRY
        and (row.table, row.key) not in written
    ]


def after_rebuild(rows: Iterable[OpenRow], failures: Collection[FailedEntry]) -> list[OpenRow]:
    """Once a study is rebuilt from the archive but for `failures`, which have no rows of their own.

    All of its rows whose failure did not come again: what the archive has not is gone.
    """
    if any(failure.is_final and not failure.sop_instance_uid for failure in failures):  # the study as a whole
        return []
    failed = {digest(*failure.instance) for failure in failures if failure.is_final}
    again = {(digest(*failure.instance), failure.table, failure.exception, failure.tag) for failure in failures}
    of_study = {failure.exception for failure in failures if failure.is_of_study}
    return [
        row
        for row in rows
        if row.instance not in failed
        and (row.instance, *row.kind) not in again
        and not (row.is_of_study and row.key[0] in of_study)
    ]


def of_entries(
    rows: Iterable[OpenRow], entries: Sequence[FeedEntry], failures: Collection[FailedEntry]
) -> list[OpenRow]:
    """Once entries have rows of now, and nothing is synced: their other rows."""
    written = {(failure.table, failure.key) for failure in failures}
    sequences = {entry.sequence for entry in entries}
    return [
        row for row in rows if row.sequence in sequences and (row.table, row.key) not in written and not row.is_of_study
    ]


def speaks(entry: ChangeFeedEntry) -> bool:
    """Whether what it did says what DICOM has now: of an instance that is gone only its delete does."""
    return entry.action is Action.DELETE or entry.state is not State.DELETED
