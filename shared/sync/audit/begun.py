"""The beginning of a round: what the rounds before it have read, and what they have left to it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.errors import FeedError
from shared.model.audit import MAX_PUT_OFF, Round, RoundState
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.audit.windows import first_place
from shared.sync.ports import Ports

RECENT = 50
"""Rounds that are searched for the last one over the whole archive."""
CLOCKS = timedelta(minutes=10)
"""How far the clocks of two hosts may differ. A round that began later than that from now had a wrong clock."""


def begun(ports: Ports, audit: AuditPorts, round_: Round) -> Round:
    """The round at its first place. Raises FeedError, OutageError.

    It reads on from the last round that went through all studies to its end. A round that was stopped, or of some
    studies, has not read the hundredth part of all that its number stands for: the next has the same number.
    """
    now = ports.now()
    before = [one for one in audit.rounds.latest(RECENT) if one.id != round_.id and has_begun(one, now)]
    whole = [one for one in before if one.is_whole and one.state in (RoundState.DONE, RoundState.STOPPED)]
    audit.memory.chunk = audit.memory.reading = None
    audit.memory.signs.clear()
    round_ = replace(
        round_,
        state=RoundState.RUNNING,
        started=now,
        number=1 + max((_number(one) for one in before), default=0),
        place=first_place(round_.request.scope, _partitions(ports, audit)[0]),
    )
    if whole:
        return replace(round_, since=_read_from(whole), again=whole[0].put_off)
    # After many rounds of some studies: they have kept what the last whole round has left.
    known = next((one for one in before if one.since), round_)
    return replace(round_, since=known.since, again=known.again)


def _partitions(ports: Ports, audit: AuditPorts) -> Sequence[str]:
    """The data partitions. Raises FeedError if the feed names one more, which then would not be compared."""
    latest = ports.feed.latest()
    names = audit.studies.partitions()
    if latest and latest.partition not in names:
        raise FeedError(
            f"the change feed names the data partition {latest.partition}, and the list of data partitions lacks it"
        )
    return names


def has_begun(round_: Round, now: datetime) -> bool:
    """Whether the round has begun, by a clock that was right."""
    return (round_.started or round_.created) <= now + CLOCKS


def _number(round_: Round) -> int:
    """The number of the last round that was read to its end."""
    is_read = round_.is_whole and round_.state in (RoundState.DONE, RoundState.STOPPED)
    return round_.number if is_read else max(0, round_.number - 1)


def _read_from(whole: Sequence[Round]) -> datetime | None:
    """Since when FHIR's changes are read: since the last whole round began.

    If it has put off more than it could name, or passed by what could not be read, since the one before it began.
    """
    last, *earlier = whole
    if len(last.put_off) < MAX_PUT_OFF and not last.passed_by:
        return last.started
    return earlier[0].started if earlier else None
