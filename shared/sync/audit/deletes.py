"""What a round may delete: what was absent twice, some time apart, and not so much that a person has to look first."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.model.audit import AuditOptions, Difference, Kind, Round
from shared.sync.audit.audit_ports import DifferenceStore

AT_ONCE = 1_000
MOST = 10_000
"""Rows: a round that has more stops in any case."""
PART_OF_COMPARED = 100
"""Of so many studies compared one may be deleted without a person's word."""


def ripe_deletes(
    differences: DifferenceStore, round_: Round, now: datetime, options: AuditOptions
) -> Sequence[Difference]:
    """Studies that the archive has no more, by this round and by one that was long enough before."""
    began = round_.started or round_.created
    ripe_since = now - timedelta(seconds=options.delete_after_seconds)
    found: list[Difference] = []
    after = ""
    while len(found) < MOST and (rows := differences.open(AT_ONCE, after, kind=Kind.GONE)):
        found += [row for _, row in rows if row.rounds > 1 and row.last_seen >= began]
        after = rows[-1][0]
    return [one for one in found if one.absent_since and one.absent_since <= ripe_since]


def allowed_deletes(round_: Round, options: AuditOptions) -> int:
    """How many the round may do: as many as a person has confirmed, or few."""
    by_itself = min(options.max_deletes, round_.counts.compared // PART_OF_COMPARED)
    return max(by_itself, round_.deletes_confirmed)
