"""Where the sync stands. All systems are asked at once, so that the status comes even if one is down."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.model.audit import LATEST_ROUNDS, Kind, Round, RoundState
from shared.model.failures import CarriedEntry, OpenErrors
from shared.model.journal import Journal
from shared.model.lease import LeaseState
from shared.model.outcome import Lag
from shared.model.replay import Replay
from shared.model.watermark import Watermark
from shared.sync.ports import Ports
from shared.sync.read.carried import carried_entries
from shared.sync.status.lag import lag_behind
from shared.sync.status.snapshot import STANDSTILL_SECONDS, SYSTEMS, RunningTick, Snapshot, SyncState
from shared.sync.status.state import state_of
from shared.sync.status.watch import Results, UnderWay

ANSWER_SECONDS = 1.7
"""How long the systems may take: the status is to come within 2 s."""
INFINITE_LEASE = (
    "storage: the lease is infinite, which no host of the app takes, and keeps every host out until it is broken; "
    "docs/runbook.md, 'A lease that never ends'"
)


@dataclass(frozen=True, slots=True)
class CarriedStudy:
    """A carried study; `since`: its first failure."""

    study_instance_uid: str
    partition: str
    entries: int
    retries: int
    since: datetime


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """The open differences by kind, the last round that ended, None if there is none, and whether a round waits."""

    open: Mapping[Kind, int]
    last: Round | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The status. What is not known because a system is down is None; `faults` says what is down, `down` by system."""

    version: str
    state: SyncState
    watermark: Watermark | None
    latest: Watermark | None
    lag: Lag | None
    lease: LeaseState | None
    running: RunningTick | None
    journal: Journal | None
    errors: OpenErrors | None
    carried: Sequence[CarriedStudy] | None
    replays: Sequence[Replay] | None
    audit: AuditSummary | None
    settings: Mapping[str, str]
    fhir_server: Mapping[str, str]
    faults: Sequence[str]
    down: Mapping[str, str]

    @property
    def entries_per_second(self) -> float | None:
        """Of the last tick that ended any; carried entries count in the tick that ends them."""
        ticks = self.journal.recent if self.journal else ()
        for tick in ticks:
            if tick.result and tick.result.ended and tick.duration_seconds:
                return round(tick.result.ended / tick.duration_seconds, 3)
        return None


def status(
    ports: Ports,
    version: str,
    settings: Mapping[str, str],
    under_way: UnderWay | None = None,
    standstill_seconds: float = STANDSTILL_SECONDS,
) -> Status:
    """The status, within 2 s. `standstill_seconds`: how long entries may wait without any being written."""
    results = _ask_all(ports, under_way or UnderWay())
    journal, replays = results.get("storage") or (None, None)
    carried, lease = results.get("storage: the carried studies"), results.get("storage: the lease")
    faults = ({"storage: its length": INFINITE_LEASE} if lease and lease.is_infinite else {}) | results.faults
    down = {system: found for system in SYSTEMS if (found := _fault_of(system, faults))}
    stored, latest = results.get("storage: the watermark"), results.get("DICOM service")
    snapshot = Snapshot(
        now=ports.now(),
        journal=journal,
        watermark=stored.watermark if stored else None,
        lag=results.get("lag"),
        unread=latest.sequence - stored.but_settling.read_through.sequence if latest and stored else None,
        lease=lease,
        errors=results.get("storage: the error tables"),
        carried=sum(study.entries for study in carried or ()),
        carried_since=min((study.since for study in carried or ()), default=None),
        down=down,
        standstill_seconds=standstill_seconds,
    )
    return Status(
        version=version,
        state=state_of(snapshot),
        watermark=snapshot.watermark,
        latest=latest,
        lag=snapshot.lag,
        lease=lease,
        running=snapshot.running,
        journal=journal,
        errors=snapshot.errors,
        carried=carried,
        replays=replays,
        audit=results.get("storage: the audit"),
        settings=settings,
        fhir_server=ports.fhir.capability_texts(),
        faults=list(dict.fromkeys(faults.values())),
        down=down,
    )


def _ask_all(ports: Ports, under_way: UnderWay) -> Results:
    """Asks the systems, each question by name. The names begin with the system's, but for the lag, which asks two."""
    questions: dict[str, Callable[[], Any]] = {
        "storage": lambda: (ports.journal.read(), ports.replays.under_way()),
        "storage: the watermark": ports.watermarks.read,
        "storage: the carried studies": lambda: _carried(ports),
        "storage: the error tables": ports.errors.open_errors,
        "storage: the audit": lambda: _audit(ports),
        "storage: the lease": ports.lease.state,
        "DICOM service": lambda: _latest(ports),
        "lag": lambda: _lag(ports),
        "FHIR server": ports.fhir.ensure_answers,
    }
    return Results(questions, ANSWER_SECONDS, under_way, ports.deadline)


def _fault_of(system: str, faults: Mapping[str, str]) -> str | None:
    """The first fault of the questions that ask the system, whose names begin with its name."""
    return next((fault for name, fault in faults.items() if name.startswith(system)), None)


def _latest(ports: Ports) -> Watermark:
    latest = ports.feed.latest()
    return Watermark(latest.sequence, latest.timestamp) if latest else Watermark()


def _lag(ports: Ports) -> Lag:
    return lag_behind(ports.feed, ports.feed.latest(), ports.watermarks.read().but_settling.watermark, ports.now())


def _audit(ports: Ports) -> AuditSummary | None:
    if ports.audit is None:
        return None
    rounds = ports.audit.rounds.latest(LATEST_ROUNDS)
    ended = [one for one in rounds if one.is_whole and one.state in (RoundState.DONE, RoundState.STOPPED)]
    waits = any(one.is_under_way and one.waiting_for for one in rounds[:1])
    return AuditSummary(ports.audit.differences.counts(), ended[0] if ended else None, waits)


def _carried(ports: Ports) -> list[CarriedStudy]:
    stored = ports.watermarks.read()
    studies: dict[tuple[str, str], list[CarriedEntry]] = {}
    for entry in carried_entries(ports, stored):
        studies.setdefault(entry.study, []).append(entry)
    return [
        CarriedStudy(
            uid,
            partition,
            len(entries),
            max(entry.retries for entry in entries),
            min(entry.first_seen for entry in entries),
        )
        for (partition, uid), entries in studies.items()
    ]
