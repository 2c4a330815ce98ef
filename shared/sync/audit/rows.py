"""The row of a study that differs."""

from dataclasses import replace
from datetime import datetime

from shared.model.audit import Difference, Kind, Round
from shared.model.instance import StudyKey
from shared.sync.audit.confirm import Verdict

TAKES_ALL = "the study is in DICOM, and none of its instances there can be synced: a rebuild would delete it from FHIR"


def row_of(known: Difference | None, study: StudyKey, verdict: Verdict, round_: Round, now: datetime) -> Difference:
    """The row; `known`: what earlier rounds have seen of it. A resolved difference that comes again is a new one."""
    partition, uid = study
    is_gone = verdict.kind is Kind.GONE
    absent_since, failure = now if is_gone else None, TAKES_ALL if verdict.takes_all else ""
    new = Difference(uid, partition, verdict.kind, verdict.says, now, now, absent_since=absent_since, failure=failure)
    if known is None or known.resolved_at:
        return new
    is_again = known.last_seen < (round_.started or round_.created)
    if is_gone:
        absent_since = known.absent_since or now
    rounds = known.rounds + is_again
    return replace(new, first_seen=known.first_seen, rounds=rounds, absent_since=absent_since)
