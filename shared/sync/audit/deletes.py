"""The studies that a round may delete: absent in two rounds, some time apart, and few; more need confirmation."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.model.audit import AuditOptions, Difference, Kind, Round
from shared.sync.audit.audit_ports import DifferenceStore

AT_ONCE = 1_000
MOST = 10_000
"""Rows that are read: a round with as many stops in any case."""
PART_OF_COMPARED = 100
"""One in this many compared studies may be deleted without confirmation."""


def ripe_deletes(
    differences: DifferenceStore, round_: Round, as_of: datetime, options: AuditOptions
) -> Sequence[Difference]:
    """Studies that were absent from the archive in this round, and in one that was long enough before.

    The time of a first absence decides, not how many rounds have seen a difference: it may have been another one.
    """
    began = round_.started or round_.created
    ripe_since = as_of - timedelta(seconds=options.delete_after_seconds)
    found: list[Difference] = []
    after = ""
    while len(found) < MOST and (rows := differences.open(AT_ONCE, after, kind=Kind.GONE)):
        found += [row for _, row in rows if row.last_seen >= began]
        after = rows[-1][0]
    return [one for one in found if one.absent_since and one.absent_since <= ripe_since and one.absent_since < began]


def allowed_deletes(round_: Round, options: AuditOptions) -> int:
    """How many studies the round may delete: as many as a person has confirmed, or few."""
    by_itself = min(options.max_deletes, round_.counts.compared // PART_OF_COMPARED)
    return max(by_itself, round_.deletes_confirmed)
