"""Where the sync stands. Every system is asked at once, so that the answer comes even where one is down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.model.audit import LATEST_ROUNDS, Kind, Round, RoundState
from shared.model.failures import CarriedEntry, OpenErrors
from shared.model.journal import Journal
from shared.model.lease import LeaseState
from shared.model.outcome import Lag
from shared.model.replay import Replay
from shared.model.watermark import Watermark
from shared.sync.ports import Ports
from shared.sync.read.plan import carried_entries
from shared.sync.status.lag import lag_behind
from shared.sync.status.seen import PATIENCE_SECONDS, SYSTEMS, RunningTick, Seen, SyncState
from shared.sync.status.state import state_of
from shared.sync.status.watch import Answers, UnderWay

ANSWER_SECONDS = 1.7
"""The status is to be there within 2 s."""
INFINITE_LEASE = (
    "storage: the lease is infinite, which no host of the app takes, and keeps every host out until it is broken; "
    "docs/runbook.md, 'A lease that never ends'"
)


@dataclass(frozen=True, slots=True)
class CarriedStudy:
    """A study that waits for a later tick; `since` its first failure."""

    study_instance_uid: str
    partition: str
    entries: int
    retries: int
    since: datetime


@dataclass(frozen=True, slots=True)
class AuditSeen:
    """The open differences by kind, and the last round that came to its end; None: none has."""

    open: Mapping[Kind, int]
    last: Round | None


@dataclass(frozen=True, slots=True)
class Status:
    """What is not known, because a system is down, is None; `faults` says what is down, `down` the same by system."""

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
    audit: AuditSeen | None
    settings: Mapping[str, str]
    fhir_server: Mapping[str, str]
    faults: Sequence[str]
    down: Mapping[str, str]

    @property
    def entries_per_second(self) -> float | None:
        """Of the last tick that brought any to an end: carried ones are tried again, and count then."""
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
    patience_seconds: float = PATIENCE_SECONDS,
) -> Status:
    """The status, within 2 s. `patience_seconds`: how long entries may wait without any being written."""
    answers = Answers(
        {
            "storage": lambda: (ports.journal.read(), ports.replays.under_way()),
            "storage: the watermark": ports.watermarks.read,
            "storage: the carried studies": lambda: _carried(ports),
            "storage: the error tables": ports.errors.open_errors,
            "storage: the audit": lambda: _audit(ports),
            "storage: the lease": ports.lease.state,
            "DICOM service": lambda: _latest(ports),
            "lag": lambda: _lag(ports),
            "FHIR server": ports.fhir.ensure_answers,
        },
        ANSWER_SECONDS,
        under_way or UnderWay(),
        ports.deadline,
    )
    journal, replays = answers.get("storage") or (None, None)
    stored, lease = answers.get("storage: the watermark"), answers.get("storage: the lease")
    latest, carried = answers.get("DICOM service"), answers.get("storage: the carried studies")
    faults = ({"storage: its length": INFINITE_LEASE} if lease and lease.is_infinite else {}) | answers.faults
    down = {system: found for system in SYSTEMS if (found := _fault_of(system, faults))}
    seen = Seen(
        now=ports.now(),
        journal=journal,
        watermark=stored.watermark if stored else None,
        lag=answers.get("lag"),
        unread=latest.sequence - stored.but_settling.read_through.sequence if latest and stored else None,
        lease=lease,
        errors=answers.get("storage: the error tables"),
        carried=sum(study.entries for study in carried or ()),
        carried_since=min((study.since for study in carried or ()), default=None),
        down=down,
        patience_seconds=patience_seconds,
    )
    return Status(
        version=version,
        state=state_of(seen),
        watermark=seen.watermark,
        latest=latest,
        lag=seen.lag,
        lease=lease,
        running=seen.running,
        journal=journal,
        errors=seen.errors,
        carried=carried,
        replays=replays,
        audit=answers.get("storage: the audit"),
        settings=settings,
        fhir_server=ports.fhir.capability_texts(),
        faults=list(dict.fromkeys(faults.values())),
        down=down,
    )


def _fault_of(system: str, faults: Mapping[str, str]) -> str | None:
    """The first of the questions that ask the system; their names begin with its name."""
    return next((fault for name, fault in faults.items() if name.startswith(system)), None)


def _latest(ports: Ports) -> Watermark:
    latest = ports.feed.latest()
    return Watermark(latest.sequence, latest.timestamp) if latest else Watermark()


def _lag(ports: Ports) -> Lag:
    return lag_behind(ports.feed, ports.feed.latest(), ports.watermarks.read().but_settling.watermark, ports.now())


def _audit(ports: Ports) -> AuditSeen | None:
    if ports.audit is None:
        return None
    rounds = ports.audit.rounds.latest(LATEST_ROUNDS)
    ended = [one for one in rounds if one.is_whole and one.state in (RoundState.DONE, RoundState.STOPPED)]
    return AuditSeen(ports.audit.differences.counts(), ended[0] if ended else None)


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
