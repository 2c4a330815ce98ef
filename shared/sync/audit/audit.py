"""The audit within a tick: after the feed and the replays, at a bounded rate, one round a day (docs/adr/0040)."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.errors import FeedError, OutageError, UnforeseenError
from shared.model.audit import AuditMode, Round, RoundRequest, RoundState, summary
from shared.process.log_lines import log_line
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.audit.begun import CLOCKS, RECENT, begun, has_begun
from shared.sync.batch import BatchOptions
from shared.sync.bulkhead import Bulkhead, log_unforeseen
from shared.sync.ports import Ports

EVERY = timedelta(days=1)
FIRST_AFTER = timedelta(hours=1)
"""How long after deployment the first round begins: the sync itself goes first."""
LOOK_EVERY = timedelta(seconds=30)
"""How often the table is read for a round that another process has asked for: 3,000 reads a day."""
TRY_AGAIN = timedelta(seconds=60)
"""How long a round waits after a fault."""
MOST_UNREAD = 500
"""Entries of the feed that may wait for one step of the audit, of 3 s. If there are more, the audit waits."""
GIVEN_UP_AFTER = timedelta(hours=6)
"""A round that cannot go on for this long has failed; the next day has another."""
TOLD_EVERY = timedelta(hours=6)
"""How often the log says that a round waits for the feed, which may be for ever."""

logger = logging.getLogger(__name__)


def run_audit(ports: Ports, options: BatchOptions, deadline: datetime) -> None:
    """Does some steps of the round that is due, if one is. Raises LeaseLostError, and OutageError of storage."""
    audit, now = ports.audit, ports.now()
    if audit is None or (audit.memory.rests_until and now < audit.memory.rests_until):
        return
    audit.memory.rests_until = now + LOOK_EVERY
    round_ = _due(audit, options, now)
    if round_ is None:
        return
    unread = _unread(ports)
    if unread is None or unread > MOST_UNREAD:
        audit.memory.rests_until = None
        if unread is not None:
            _let_the_feed_go_first(ports, audit, round_, unread)
        return
    while round_.is_under_way and ports.now() < deadline:
        ports.lease.ensure_held()
        before = round_.counts.requests
        round_ = audit.rounds.write(_next(ports, audit, options, round_))
        pause = timedelta(hours=(round_.counts.requests - before) / options.audit.requests_per_hour)
        if round_.waiting_for and round_.is_under_way:
            audit.memory.rests_until = ports.now() + max(pause, TRY_AGAIN)
            return
        audit.memory.rests_until = ports.now() + pause
        if pause > timedelta(milliseconds=100) or _unread(ports) != unread:
            break
    if not round_.is_under_way:
        _log_end(round_, sum(audit.differences.counts().values()))


def _due(audit: AuditPorts, options: BatchOptions, now: datetime) -> Round | None:
    """The round to work on, if any. One a day begins by itself unless the setting has switched the audit off.

    If the setting switches it off, a round that has begun by itself ends; one that a person has asked for goes on.
    """
    current, is_off = audit.rounds.current(), options.audit.mode is AuditMode.OFF
    if current and current.is_under_way:
        if is_off and current.is_by_itself and current.state is RoundState.RUNNING:
            audit.rounds.cancel()
        is_early = current.not_before is not None and now < current.not_before
        return None if is_early or (is_off and current.is_by_itself) else current
    if is_off or (current and current.state is RoundState.STOPPED and _is_of_today(current.updated, now)):
        return None  # a person has a day to confirm the deletes, however long the round was
    if current is None:
        audit.rounds.create(RoundRequest(), not_before=now + FIRST_AFTER)
        return None
    last = next(
        (one for one in audit.rounds.latest(RECENT) if one.request == RoundRequest() and has_begun(one, now)), None
    )
    if last and _is_of_today(last.started or last.created, now):
        return None
    return audit.rounds.create(RoundRequest(), not_before=now)


def _is_of_today(then: datetime, now: datetime) -> bool:
    """Whether it was less than a day ago, by a clock that was right."""
    return -CLOCKS <= now - then < EVERY


def _unread(ports: Ports) -> int | None:
    """How many sequence numbers of the feed are not read yet; None if the feed cannot be read."""
    try:
        latest = ports.feed.latest()
    except (FeedError, OutageError):
        return None
    read = ports.watermarks.read().but_settling.read_through.sequence
    return max(0, latest.sequence - read) if latest else 0


def _let_the_feed_go_first(ports: Ports, audit: AuditPorts, round_: Round, unread: int) -> None:
    """Has the round say that it waits, and since when by its last step, and the log say so from time to time."""
    says = f"the change feed has more than {MOST_UNREAD} entries that are not read yet, and they go first"
    if round_.waiting_for != says:
        ports.lease.ensure_held()
        audit.rounds.write(replace(round_, waiting_for=says))
    now, since = ports.now(), max(round_.updated, round_.not_before or round_.updated)
    if now - max(since, audit.memory.told or since) >= TOLD_EVERY:
        audit.memory.told = now
        log_line(
            logger, logging.WARNING, f"audit waits: {says}", RoundId=round_.id, Unread=unread, Since=since.isoformat()
        )


def _next(ports: Ports, audit: AuditPorts, options: BatchOptions, round_: Round) -> Round:
    """The round after one step, or with the fault that it waits for; either has cost its requests."""
    before = audit.requests()
    round_ = _stepped(ports, audit, options, round_)
    return round_.counting(requests=audit.requests() - before)


def _stepped(ports: Ports, audit: AuditPorts, options: BatchOptions, round_: Round) -> Round:
    from shared.sync.audit.parts import FAULTS  # noqa: PLC0415 most ticks have no round to work on
    from shared.sync.audit.round import RoundWork  # noqa: PLC0415

    now = ports.now()
    try:
        with Bulkhead():
            if round_.state is RoundState.QUEUED:
                round_ = begun(ports, audit, round_)
            return RoundWork(ports, audit, options, round_).step()
    except UnforeseenError as error:
        log_unforeseen(error, RoundId=round_.id)
        return replace(round_.waiting(str(error), now), state=RoundState.FAILED)
    except FAULTS as error:
        waiting = round_.waiting(str(error), now)
        is_over = waiting.failing_since is not None and now - waiting.failing_since > GIVEN_UP_AFTER
        return replace(waiting, state=RoundState.FAILED) if is_over else waiting


def _log_end(round_: Round, open_: int) -> None:
    """`open_`: differences that are not resolved yet."""
    counts = round_.counts
    level = logging.WARNING if round_.state in (RoundState.STOPPED, RoundState.FAILED) else logging.INFO
    log_line(
        logger,
        level,
        f"audit {summary(round_)}",
        RoundId=round_.id,
        State=round_.state,
        Compared=counts.compared,
        Differed=counts.differed,
        Healed=counts.healed,
        Open=open_,
        PutOff=counts.put_off,
        DeletesWaiting=round_.deletes_waiting,
        Requests=counts.requests,
    )
