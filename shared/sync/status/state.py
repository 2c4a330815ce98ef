"""The one state of the sync, for whoever is called at night: what is wrong, since when, and what to do."""

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.model.failures import MAX_COUNT, ErrorTable
from shared.model.journal import Journal
from shared.model.outcome import Outcome
from shared.sync.status.snapshot import DICOM_SERVICE, FHIR_SERVER, STORAGE, Snapshot, State, SyncState

STUCK_SECONDS = 60
"""A tick that has moved nothing for so long, while a system does not respond, is taken to wait for that system."""
ROWS_SECONDS = 3600
"""How long rows of entries that were not synced make the state `degraded`."""
LOST = frozenset({ErrorTable.DICOM, ErrorTable.FHIR, ErrorTable.TRANSIENT_FAILURE})
"""The tables of entries that were not synced."""

_BY_ITSELF = "the sync then goes on by itself"
_MEND = f"mend it, or what the self-check names (GET /api/check); {_BY_ITSELF}"
_STORAGE = f"see to AzureWebJobsStorage and the app's roles there (GET /api/check names them); {_BY_ITSELF}"
_MENDS = {FHIR_SERVER: _MEND, DICOM_SERVICE: _MEND, STORAGE: _STORAGE}
_LEASE = "docs/runbook.md, 'A lease that never ends'"
_TIMER = "see that the app runs and SyncSchedule is meant so; docs/runbook.md, 'A timer that does not fire'"
_NO_PROGRESS = "docs/runbook.md, 'The sync stands still'"
_ROWS = "look at the error rows, mend what they name, and replay them; docs/runbook.md, 'The tables'"


def state_of(seen: Snapshot) -> SyncState:
    """The state: the worst that applies."""
    return next(found for rule in _RULES if (found := rule(seen)))


def is_healthy(journal: Journal, now: datetime, max_age: timedelta, standstill: timedelta) -> bool:
    """Whether a tick has ended well within `max_age`, and entries have not waited for `standstill` unwritten."""
    is_well = journal.well_at is not None and now - journal.well_at <= max_age
    return is_well and not (journal.unwritten_since and now - journal.unwritten_since > standstill)


def _no_storage(seen: Snapshot) -> SyncState | None:
    is_shut_out = seen.lease is not None and seen.lease.is_infinite
    if seen.journal and not is_shut_out:
        return None
    since = seen.journal.well_at if seen.journal else None
    reason = seen.down.get(STORAGE, f"{STORAGE}: no answer")
    return SyncState(State.NOT_SYNCING, since, f"{reason}; {_waiting(seen)}", _LEASE if is_shut_out else _STORAGE)


def _never_ran(seen: Snapshot) -> SyncState | None:
    if seen.last:
        return None
    if seen.lease and seen.lease.held:
        return SyncState(
            State.SYNCING,
            seen.lease.since,
            f"the first tick is at work{seen.running or ''}; {_waits(seen)}",
        )
    down = "".join(f"; {fault}" for fault in seen.down.values())
    return SyncState(State.NEVER_RAN, None, f"no tick has run yet{down}", f"wait for two minutes; then {_TIMER}")


def _failing(seen: Snapshot) -> SyncState | None:
    journal, last = seen.journal, seen.last
    if not (journal and last and journal.failing_since):
        return None
    failed = next((tick for tick in (last, *journal.recent) if tick.outcome is Outcome.FAILED), last)
    error = failed.error or "the tick failed"
    # The class of an outage's error adds nothing to its message; other errors are looked up by their class.
    reason = error.partition(": ")[2] if f": {failed.system}: " in error else error
    action = _MENDS.get(failed.system or "", f"docs/runbook.md, 'First look'; {_BY_ITSELF}")
    return SyncState(State.NOT_SYNCING, journal.failing_since, f"{reason}; {_waiting(seen)}", action)


def _stuck(seen: Snapshot) -> SyncState | None:
    """A tick waits for a system, and nothing has failed yet."""
    since = seen.at_work_since
    down = next((seen.down[one] for one in (FHIR_SERVER, DICOM_SERVICE) if one in seen.down), None)
    stuck = timedelta(seconds=min(STUCK_SECONDS, seen.standstill_seconds))
    if not (down and since) or seen.has_moved or seen.now - since < stuck:
        return None
    return SyncState(State.NOT_SYNCING, since, f"{down}; the tick waits for it; {_waiting(seen)}", _MEND)


def _no_ticks(seen: Snapshot) -> SyncState | None:
    last = seen.last
    if not last or not seen.is_over(last.ended):
        return None
    if not (seen.lease and seen.lease.held):
        return SyncState(State.NOT_SYNCING, last.ended, f"no tick has run since; {_waiting(seen)}", _TIMER)
    if seen.has_moved or not seen.is_over(seen.lease.since):
        return None
    reason = f"the tick that began then has not ended; {_waiting(seen)}"
    return SyncState(State.NOT_SYNCING, seen.lease.since, reason, f"restart the app; {_BY_ITSELF}")


def _no_progress(seen: Snapshot) -> SyncState | None:
    journal, last = seen.journal, seen.last
    if not (journal and last):
        return None
    if last.outcome is Outcome.STANDSTILL:
        since = journal.unwritten_since or journal.well_at
        return SyncState(State.BEHIND, since, f"{last.error}; {_waiting(seen)}", _NO_PROGRESS)
    if not seen.is_over(journal.unwritten_since) or seen.waiting == 0:
        return None
    held = last.result.held_by if last.result else None
    reason = f"ticks end, but nothing was written to FHIR{f': {held}' if held else ''}; {_waiting(seen)}"
    return SyncState(
        State.BEHIND, journal.unwritten_since, reason, f"GET /api/check says what is wrong; {_NO_PROGRESS}"
    )


def _far_behind(seen: Snapshot) -> SyncState | None:
    """Not if only carried entries wait: these have a rule of their own."""
    if not seen.lag or seen.unread == 0 or seen.lag.seconds <= seen.standstill_seconds:
        return None
    since = seen.now - timedelta(seconds=seen.lag.seconds)
    action = "nothing, where a load is under way; else docs/runbook.md, 'First look', `lag` grows"
    doing = f"; a tick is at work{seen.running}" if seen.running else ""
    return SyncState(State.BEHIND, since, f"more arrives than is written; {_waiting(seen)}{doing}", action)


def _faults(seen: Snapshot) -> SyncState | None:
    """Not while a tick works on waiting entries: then a system may just be slow to respond."""
    if not seen.down or (seen.at_work_since and seen.waiting):
        return None
    reason = "; ".join(seen.down.values())
    ended = "the last tick ended well"
    tells = f"{_waits(seen)}; {ended}, the one at work tells" if seen.at_work_since else f"{ended}, the next one tells"
    return SyncState(State.DEGRADED, None, f"{reason}; {tells}", _MEND)


def _carried(seen: Snapshot) -> SyncState | None:
    if not seen.carried:
        return None
    reason = f"{_entries(seen.carried)} of studies with a transient fault {_wait(seen.carried)} for another try"
    action = "nothing yet: they are tried again by themselves (Carried studies)"
    return SyncState(State.DEGRADED, seen.carried_since, f"the sync goes on; {reason}", action)


def _rows(seen: Snapshot) -> SyncState | None:
    if not seen.journal or (seen.errors and not any(seen.errors.counts.get(table) for table in LOST)):
        return None
    young = seen.now - timedelta(seconds=ROWS_SECONDS)
    ticks = [tick for tick in seen.journal.recent if tick.ended >= young and tick.result and tick.result.failed]
    if not ticks:
        return None
    failed = sum(tick.result.failed for tick in ticks if tick.result)
    reason = f"the sync goes on; {_entries(failed)} could not be synced lately, each with a row{_open(seen)}"
    return SyncState(State.DEGRADED, ticks[-1].started, reason, _ROWS)


def _syncing(seen: Snapshot) -> SyncState | None:
    if not seen.waiting:
        return None
    doing = f"a tick is at work{seen.running}" if seen.running else "the next tick goes on"
    left = _open(seen)
    return SyncState(State.SYNCING, seen.at_work_since, f"{doing}; {_waits(seen)}{left}", _ROWS if left else None)


def _caught_up(seen: Snapshot) -> SyncState:
    ticks = seen.journal.recent if seen.journal else ()
    since = next((tick.ended for tick in ticks if tick.outcome is Outcome.SYNCED), None)
    left = _open(seen)
    reason = f"all of the change feed is in FHIR, or in an error table{left}"
    return SyncState(State.CAUGHT_UP, since, reason, _ROWS if left else None)


_RULES: tuple[Callable[[Snapshot], SyncState | None], ...] = (
    _no_storage,
    _never_ran,
    _failing,
    _stuck,
    _no_ticks,
    _no_progress,
    _far_behind,
    _faults,
    _carried,
    _rows,
    _syncing,
    _caught_up,
)


def _open(seen: Snapshot) -> str:
    """The open rows, which are left to a person, however old they are."""
    counts = [seen.errors.counts.get(table, 0) for table in LOST] if seen.errors else []
    if not any(counts):
        return ""
    more = " or more" if max(counts) >= MAX_COUNT else ""
    are = "row is of an entry that was" if sum(counts) == 1 and not more else "rows are of entries that were"
    return f"; {sum(counts):,}{more} open {are} not synced"


def _waiting(seen: Snapshot) -> str:
    return f"{_waits(seen)}; nothing is lost"


def _waits(seen: Snapshot) -> str:
    """How many entries wait, or did at the last tick. They are counted by sequence number; a few may have no entry."""
    if seen.waiting is None:
        return "how many entries wait is not known"
    if seen.lag is None:
        return f"{_entries(seen.waiting) if seen.waiting else 'no entry'} waited when the last tick ended"
    return f"{_entries(seen.waiting)} {_wait(seen.waiting)}" if seen.waiting else "no entry waits"


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"
