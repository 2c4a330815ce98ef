"""Which open rows to resolve: a row is open exactly as long as what it says is true."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.model.change_feed import Action, ChangeFeedEntry, FeedEntry, State
from shared.model.failures import NOT_TAKEN, ErrorTable, FailedEntry, OpenRow, digest, digest_of_study
from shared.model.instance import InstanceIdentity


@dataclass(frozen=True, slots=True)
class DoneStudy:
    """A study that is synced except for `failures`.

    `untrue`: exceptions of rows about the whole study that were checked for and do not apply. `gone`: instances that
    the archive no longer holds under these UIDs; without instance UIDs, a study whose instances all have other UIDs.
    """

    entries: Sequence[ChangeFeedEntry]
    failures: Sequence[FailedEntry]
    untrue: Collection[str] = ()
    gone: Collection[InstanceIdentity] = ()


def to_resolve(studies: Sequence[DoneStudy], rows: Iterable[OpenRow]) -> list[OpenRow]:
    """Those of the open rows of several studies that are to be resolved."""
    by_study: dict[str, list[OpenRow]] = {}
    for row in rows:
        by_study.setdefault(row.study, []).append(row)
    if not by_study:
        return []
    resolved: list[OpenRow] = []
    for one in studies:
        named = {digest_of_study(entry.partition, entry.study_instance_uid, 0) for entry in one.entries[:1]}
        named |= {digest_of_study("", "", entry.sequence) for entry in one.entries}
        theirs = [row for study in sorted(named & by_study.keys()) for row in by_study[study]]
        resolved += after_sync(theirs, one.entries, one.failures, one.untrue)
    gone = {instance for one in studies for instance in one.gone}
    resolved += of_gone(by_study, gone, [failure for one in studies for failure in one.failures])
    return list(dict.fromkeys(resolved))


def after_sync(
    rows: Collection[OpenRow],
    entries: Sequence[ChangeFeedEntry],
    failures: Collection[FailedEntry],
    untrue: Collection[str],
) -> list[OpenRow]:
    """The rows to resolve once a study is synced except for `failures`, out of those of the study and its entries.

    They are the rows of the entries themselves; those of instances that are now in FHIR or gone, whichever entry they
    were written for (a carried entry's only if its instance is synced); and rows about the whole study that are
    `untrue` (see DoneStudy), or that a new one replaces. The rows of `failures` stay. So do those of what FHIR did not
    take of an instance that cannot be mapped now: it may be a delete, and FHIR still has what was deleted.
    """
    if not rows:
        return []
    written = {(failure.table, failure.key) for failure in failures}
    sequences = {entry.sequence for entry in entries}
    settled = {digest(*entry.instance) for entry in entries if is_current(entry)}
    failed = {digest(*failure.instance) for failure in failures if failure.is_final}
    unmapped = {digest(*failure.instance) for failure in failures if failure.table is ErrorTable.DICOM}
    unmapped -= {digest(*entry.instance) for entry in entries if entry.action is Action.DELETE}
    untrue_exceptions = {*untrue, *(failure.exception for failure in failures if failure.is_of_study)}

    def is_resolved(row: OpenRow) -> bool:
        if row.is_of_study:
            return row.key[0] in untrue_exceptions
        if row.sequence in sequences:
            return True
        if row.table is ErrorTable.TRANSIENT_RETRY:
            return row.instance in settled - failed
        return row.instance in (settled - unmapped if row.table in NOT_TAKEN else settled)

    return [row for row in rows if (row.table, row.key) not in written and is_resolved(row)]


def of_gone(
    rows: Mapping[str, Sequence[OpenRow]], gone: Collection[InstanceIdentity], failures: Collection[FailedEntry]
) -> list[OpenRow]:
    """The rows of instances that the archive no longer holds under their UIDs, out of open rows by study.

    `gone`: see DoneStudy. Rows of carried entries stay, as these are tried again.
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
    """The study's rows to resolve once it is rebuilt from the archive except for `failures`, which get no rows.

    They are all whose failure did not come again: an instance that the archive does not hold is gone.
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
    """The rows to resolve once entries have new rows and are not synced: their earlier ones."""
    written = {(failure.table, failure.key) for failure in failures}
    sequences = {entry.sequence for entry in entries}
    return [
        row for row in rows if row.sequence in sequences and (row.table, row.key) not in written and not row.is_of_study
    ]


def is_current(entry: ChangeFeedEntry) -> bool:
    """Whether the entry says what DICOM holds now; about an instance that is gone only its delete does."""
    return entry.action is Action.DELETE or entry.state is not State.DELETED
