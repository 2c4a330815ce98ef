"""One tick of the timer. Only one host at a time works, and what it did is kept for the status."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from shared.errors import DicomCastError, FeedError, LeaseLostError, OutageError, UnforeseenTickError, WatermarkError
from shared.model.counts import Counts
from shared.model.journal import Journal
from shared.model.outcome import BatchResult, Lag, Outcome, TickRecord
from shared.process.log_lines import log_line
from shared.sync.audit.audit import run_audit
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.bulkhead import Bulkhead, log_unforeseen
from shared.sync.ports import Ports
from shared.sync.replay.late_orders import link_late_orders
from shared.sync.replay.replay import run_replays
from shared.sync.status.lag import lag_behind
from shared.sync.status.outages import OutageLog, log_change
from shared.sync.status.snapshot import DICOM_SERVICE, STORAGE, Snapshot, State, SyncState
from shared.sync.status.state import state_of

REPLAY_SECONDS = 30
"""How long a tick works on replays, at most: new entries of the feed must not wait for them."""

LATE_ORDERS_SECONDS = 10
"""How long a tick looks for orders that came after their studies, at most."""

AUDIT_SECONDS = 10
"""How long a tick works on the audit, at most. It ends sooner if its requests are spent, or the feed has entries."""

REQUEST_SECONDS = 105
"""How long after the tick's budget a request that is under way may still take: an HTTP request's own time-out."""

STANDSTILL_TICKS = 5
NOTHING_BEGUN = (
    "no study was begun, as reading took the time that a tick has. How long does the DICOM service take for a page of "
    "its change feed? DicomCast__TickTimeBudget says what a tick has; docs/runbook.md, 'The sync stands still'"
)

logger = logging.getLogger(__name__)


def tick(ports: Ports, options: BatchOptions, outages: OutageLog) -> TickRecord:
    """Runs one batch, then replays and the audit, under the lease.

    The app's own errors end the tick, and its record has them. Of idle ticks only one in `quiet_seconds` is written to
    the journal and the log.
    """
    started = ports.now()
    was_without_storage = outages.since(STORAGE) is not None
    try:
        if not ports.lease.acquire():
            ports.handover.lost()
            record = TickRecord(started, 0.0, Outcome.LEASE_HELD)
            _log(record, None)
            return record
        try:
            journal = ports.journal.read()
            record = _judged(_work(ports, options, journal, outages), journal, options)
            if journal.is_repeated_by(record, options.quiet_seconds):
                return record
            journal_now = journal.with_tick(record)
            ports.journal.write(journal_now)
        finally:
            ports.lease.release()
    except OutageError as error:  # of storage: the tick cannot even be recorded
        outages.down(error)
        record = TickRecord(started, _seconds_since(started, ports), Outcome.FAILED, error=_described(error))
        state = state_of(Snapshot(ports.now(), None, down={STORAGE: str(error)}))
        state, before = replace(state, since=outages.since(error.system)), None
    else:
        state = state_of(Snapshot.by_tick(journal_now, options.standstill_seconds))
        before = state_of(Snapshot.by_tick(journal, options.standstill_seconds)).state
    _log(record, state)
    log_change(State.NOT_SYNCING if was_without_storage else before, state)
    return record


def _work(ports: Ports, options: BatchOptions, journal: Journal, outages: OutageLog) -> TickRecord:
    started = ports.now()
    result, error, system = None, None, None
    try:
        with ports.deadline.within(options.tick_budget_seconds + REQUEST_SECONDS), Bulkhead(UnforeseenTickError):
            ports.fhir.check()
            ports.errors.begin()
            ports.handover.begin(ports.sleep)
            result = run_batch(ports, options)
            outcome = result.outcome
            # If the FHIR server was not asked anything for a while, make sure that it is there for what comes next.
            if not result.fhir_calls and not journal.is_quiet_at(started, options.quiet_seconds):
                ports.fhir.ensure_answers()
            outages.up()
            link_late_orders(ports, options, ports.now() + timedelta(seconds=LATE_ORDERS_SECONDS))
            run_replays(ports, options, ports.now() + timedelta(seconds=REPLAY_SECONDS))
            run_audit(ports, options, ports.now() + timedelta(seconds=AUDIT_SECONDS))
    except OutageError as outage:
        outages.down(outage)
        outcome, error, system = Outcome.FAILED, _described(outage), outage.system
    except LeaseLostError as lost:
        ports.handover.lost()
        outcome, error = Outcome.STOPPED, _described(lost)
        logger.warning("the tick stopped: %s", lost)
    except UnforeseenTickError as unforeseen:
        outcome, error = Outcome.FAILED, _described(unforeseen)
        log_unforeseen(unforeseen)
    except DicomCastError as failure:
        outcome, error = Outcome.FAILED, _described(failure)
        system = _system_of(failure)
        logger.error("the tick failed: %s", error)  # noqa: TRY400 the message is for an operator, a traceback is not
    return TickRecord(started, _seconds_since(started, ports), outcome, result, error, _lag(ports, result), system)


def _judged(record: TickRecord, journal: Journal, options: BatchOptions) -> TickRecord:
    """The record; its outcome is a standstill if several ticks changed nothing though entries have waited for long."""
    ticks = journal.still_ticks + 1
    is_old = record.lag is not None and record.lag.seconds > options.standstill_seconds
    if not (record.stood_still and is_old and ticks >= STANDSTILL_TICKS):
        return record
    held_by = record.result.held_by if record.result else None
    message = f"no progress in {ticks} ticks though the change feed goes on: {held_by or NOTHING_BEGUN}"
    if ticks == STANDSTILL_TICKS or (journal.last and journal.last.outcome is not Outcome.STANDSTILL):
        logger.error("the sync stands still: %s", message)
    return replace(record, outcome=Outcome.STANDSTILL, error=message)


def _lag(ports: Ports, result: BatchResult | None) -> Lag | None:
    """None if the feed or the watermark cannot be read: the tick's own error says why."""
    try:
        with Bulkhead(UnforeseenTickError):
            watermark = result.done if result else ports.watermarks.read().but_settling.watermark
            return lag_behind(ports.feed, ports.feed.latest(), watermark, ports.now())
    except DicomCastError:
        return None


def _seconds_since(started: datetime, ports: Ports) -> float:
    return round((ports.now() - started).total_seconds(), 3)


def _described(error: DicomCastError) -> str:
    return f"{type(error).__name__}: {error}"


def _system_of(failure: DicomCastError) -> str | None:
    if isinstance(failure, FeedError):
        return DICOM_SERVICE
    return STORAGE if isinstance(failure, WatermarkError) else None


def _log(record: TickRecord, state: SyncState | None) -> None:
    """`state`: None if another host has the lease, which logs it."""
    if state is None:
        log_line(logger, logging.INFO, f"tick {record.outcome}", Outcome=record.outcome)
        return
    result, lag = record.result, record.lag
    log_line(
        logger,
        logging.INFO,
        f"tick {record.outcome}",
        Outcome=record.outcome,
        DurationSeconds=record.duration_seconds,
        Watermark=result.watermark.sequence if result else None,
        LagEntries=lag.entries if lag else None,
        LagSeconds=round(lag.seconds, 3) if lag else None,
        HeldBy=result.held_by if result else None,
        Error=record.error,
        State=state.state,
        StateSeconds=round((record.ended - state.since).total_seconds()) if state.since else None,
        **{name.title().replace("_", ""): count for name, count in (result or Counts()).by_name.items()},
    )
