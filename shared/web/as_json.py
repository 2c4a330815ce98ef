"""Records as the API's JSON (openapi.yaml): names in camelCase, times in ISO 8601."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

from shared.model.audit import AuditState, Dates, OneStudy, Round, RoundRequest, summary
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import ErrorCount, ErrorRow
from shared.model.journal import Slot
from shared.model.lease import LeaseState
from shared.model.outcome import TickRecord
from shared.model.replay import Replay, ReplayRequest, SequenceRange, StoredErrors, StudyRebuild, TimeRange
from shared.web.queries import place_of
from shared.web.remedies import remedy_of

if TYPE_CHECKING:
    from shared.sync.status.check import Check
    from shared.sync.status.reasons import OpenReasons
    from shared.sync.status.status import Status
    from shared.sync.status.study_search import FoundStudies
    from shared.sync.status.study_view import StudyView


def status_json(status: "Status") -> dict[str, Any]:
    """`Status` of openapi.yaml."""
    journal = status.journal
    return {
        "version": status.version,
        **_plain(status.state),
        "watermark": _plain(status.watermark),
        "latest": _plain(status.latest),
        "lag": _plain(status.lag) or {"entries": None, "seconds": None},
        "lease": status.lease and _lease_json(status.lease),
        "runningTick": _plain(status.running),
        "lastTick": tick_json(journal.last) if journal and journal.last else None,
        "ticks": [tick_json(tick) for tick in journal.recent] if journal else [],
        "entriesPerSecond": status.entries_per_second,
        "totals": {_camel(name): count for name, count in (journal.totals if journal else {}).items()},
        "errors": None
        if status.errors is None
        else {"open": _plain(status.errors.counts), "newest": [error_json(row) for row in status.errors.newest]},
        "carried": _plain(status.carried),
        "replays": None if status.replays is None else [replay_json(replay) for replay in status.replays],
        "settings": dict(status.settings),
        "fhirServer": dict(status.fhir_server),
        "faults": list(status.faults),
    }


def _lease_json(lease: LeaseState) -> dict[str, Any]:
    return {"held": lease.held, "since": _plain(lease.since), "isInfinite": lease.is_infinite}


def tick_json(tick: TickRecord) -> dict[str, Any]:
    """`Tick`: the record and its batch's counts side by side."""
    own = ("started", "duration_seconds", "outcome", "error")
    of_tick = {_camel(name): _plain(getattr(tick, name)) for name in own}
    if not (result := tick.result):
        return of_tick
    counts = {_camel(name): count for name, count in result.by_name.items()}
    return of_tick | {"heldBy": result.held_by} | counts | {"failures": _plain(result.recorded)}


def slot_json(slot: Slot) -> dict[str, Any]:
    """`Slot`."""
    found: dict[str, Any] = _plain(slot)
    return found


def error_json(row: ErrorRow) -> dict[str, Any]:
    """`ErrorRow`."""
    return {name: value for name, value in _plain(row).items() if name != "key"}


def error_page_json(rows: Sequence[ErrorRow], size: int, count: ErrorCount | None) -> dict[str, Any]:
    """`ErrorPage`. Only a full page has a `next`, and only the first page a `count`."""
    following = {"next": place_of(rows[-1])} if len(rows) == size else {}
    counted = {"total": count.rows, "exceptions": list(count.exceptions)} if count else {}
    return {"rows": [error_json(row) for row in rows], **following, **counted}


def reasons_json(found: "OpenReasons") -> dict[str, Any]:
    """`OpenReasons`: each reason with its remedy."""
    reasons = [_plain(one) | {"remedy": remedy_of(one.table, one.exception, one.message)} for one in found.reasons]
    return {**_plain(found), "reasons": reasons}


def replay_json(replay: Replay) -> dict[str, Any]:
    """`Replay`, without the fields that only the sync needs."""
    names = (
        "id",
        "state",
        "created",
        "updated",
        "waiting_for",
        "progress",
        "errors",
        "writes",
        "more_errors",
        "more_writes",
    )
    of_replay = {_camel(name): _plain(getattr(replay, name)) for name in names}
    return of_replay | {"request": request_json(replay.request)}


def request_json(request: ReplayRequest) -> dict[str, Any]:
    """`ReplayRequest`: it can be sent as it is."""
    body: dict[str, Any]
    match request.target:
        case SequenceRange(first, last):
            body = {"sequence": {"from": first, "to": last}}
        case TimeRange(start, end):
            body = {"time": {"from": start, "to": end}}
        case StudyRebuild(uid, partition):
            body = {"study": uid} | ({} if partition == DEFAULT_PARTITION else {"partition": partition})
        case StoredErrors(tables, exception, study):
            asked = tables[0].value if len(tables) == 1 else "all"
            narrowed = {"exception": exception, "study": study}
            body = {"errors": asked} | {name: value for name, value in narrowed.items() if value}
    return body | {"dryRun": request.dry_run, "patients": request.patients}


def audit_json(state: AuditState, size: int) -> dict[str, Any]:
    """`Audit`. Only a full page of differences has a `next`."""
    rows = [_plain(row) for _, row in state.differences]
    following = {"next": state.differences[-1][0]} if len(rows) == size else {}
    rounds = [round_json(one) for one in state.rounds]
    return {"mode": state.mode.value, "rounds": rounds, "open": _plain(state.open), "differences": rows, **following}


def round_json(round_: Round) -> dict[str, Any]:
    """`Round`, without the fields that only the audit needs."""
    names = (
        "id",
        "state",
        "created",
        "updated",
        "not_before",
        "started",
        "counts",
        "unknown",
        "deletes_waiting",
        "waiting_for",
    )
    of_round = {_camel(name): _plain(getattr(round_, name)) for name in names}
    return of_round | {
        "says": summary(round_),
        "phase": round_.place.phase.value,
        "request": _round_request_json(round_.request),
    }


def _round_request_json(request: RoundRequest) -> dict[str, Any]:
    """`RoundRequest`: it can be sent as it is."""
    body: dict[str, Any] = {}
    match request.scope:
        case Dates(first, last):
            body = {"dates": {"from": first.isoformat(), "to": last.isoformat()}}
        case OneStudy(uid, partition):
            body = {"study": uid} | ({} if partition == DEFAULT_PARTITION else {"partition": partition})
    return body | {"deep": request.is_deep, "dryRun": request.dry_run}


def study_json(view: "StudyView") -> dict[str, Any]:
    """`Study`."""
    return {**_plain(view), "errors": [error_json(row) for row in view.errors]}


def found_json(found: "FoundStudies") -> dict[str, Any]:
    """`FoundStudies`."""
    plain: dict[str, Any] = _plain(found)
    return plain


def check_json(check: "Check") -> dict[str, Any]:
    """`Check`."""
    return {"ok": check.is_ok, "steps": [_plain(step) for step in check.steps], "next": _plain(check.next)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(one.name): _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {_plain(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)  # JSON readers have no decimals
    return value.value if isinstance(value, Enum) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join("UID" if part == "uid" else part.capitalize() for part in rest)
