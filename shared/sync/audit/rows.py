"""The row of a study that differs."""

from dataclasses import replace
from datetime import datetime

from shared.model.audit import Difference, Kind, Round
from shared.model.instance import StudyKey
from shared.sync.audit.confirm import Verdict

TAKES_ALL = (
    "the study is in DICOM, and none of its instances there can be synced: "
    "a rebuild would delete it from FHIR, or empty it"
)
LISTED = "the DICOM service answers 404 for the study, and a search of it finds the study: it is not deleted from FHIR"
AGAIN = (
    "it was healed by the round before, and differs in the same way again: "
    "the FHIR server does not keep what is written, or another system changes it back"
)


def row_of(known: Difference | None, study: StudyKey, verdict: Verdict, round_: Round, now: datetime) -> Difference:
    """The row; `known`: what earlier rounds have seen of it. A resolved difference that comes again is a new one.

    Its `failure` says why the study is not to be healed; empty if it may be.
    """
    partition, uid = study
    is_gone = verdict.kind is Kind.GONE
    absent_since, failure = now if is_gone else None, TAKES_ALL if verdict.takes_all else ""
    if known and not is_gone and _is_in_vain(known, verdict, round_):
        failure = AGAIN
    new = Difference(uid, partition, verdict.kind, verdict.says, now, now, absent_since=absent_since, failure=failure)
    if known is None or known.resolved_at:
        return new
    is_again = known.last_seen < (round_.started or round_.created)
    if is_gone:
        absent_since = known.absent_since or now
    rounds = known.rounds + is_again
    return replace(new, first_seen=known.first_seen, rounds=rounds, absent_since=absent_since)


def _is_in_vain(known: Difference, verdict: Verdict, round_: Round) -> bool:
    """Whether the same difference was healed since the last whole round began, or was found to come again before."""
    if (known.kind, known.says) != (verdict.kind, verdict.says):
        return False
    if known.resolved_at is None:
        return known.failure == AGAIN
    return known.is_healed and round_.since is not None and known.resolved_at >= round_.since
