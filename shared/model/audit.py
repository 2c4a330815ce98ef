"""The audit, which compares FHIR with the archive round by round. Records only; `sync/audit/` runs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.instance import StudyKey
from shared.model.stored_text import shortened

MAX_MESSAGE_BYTES = 2_000
LATEST_ROUNDS = 10
MAX_UNKNOWN = 10
MAX_PUT_OFF = 30
"""Studies that a round names as put off. Its row holds 32,000 characters: twice these, and the messages."""


class AuditMode(StrEnum):
    """What a round does with a difference that it finds."""

    OFF = "off"
    REPORT = "report"
    HEAL = "heal"


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """How the audit works.

    `max_deletes`: how many studies one round may delete without a person's confirmation. `delete_after_seconds`: how
    long a study must have been absent before. `requests_per_hour`: to both servers together, on average.
    """

    mode: AuditMode = AuditMode.OFF
    max_deletes: int = 10
    delete_after_seconds: float = 86_400
    requests_per_hour: int = 2_000


class Kind(StrEnum):
    """What differs. If several things do, the first in this order is recorded."""

    MISSING = "missing"
    """The archive has the study, FHIR does not."""
    GONE = "gone"
    """FHIR has the study, the archive does not."""
    PATIENT = "patient"
    """The study links to another Patient."""
    SERIES = "series"
    """Series or instances: their number, their UIDs, or their elements."""
    MODALITY = "modality"
    ELEMENT = "element"
    """Another element of the ImagingStudy."""
    RESOURCE = "resource"
    """The Patient, the Endpoint, an Observation, or a double of the ImagingStudy."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A study in which FHIR differs from what a rebuild would write; one row of the table.

    `says`: the elements and resources concerned, never a value. `rounds`: how many have seen it. `absent_since`: since
    when the archive has answered 404 for it each time. `resolved_at`: None while it is open; `is_healed`: resolved by
    the audit. `failure`: why it could not be healed.
    """

    study_instance_uid: str
    partition: str
    kind: Kind
    says: str
    first_seen: datetime
    last_seen: datetime
    rounds: int = 1
    absent_since: datetime | None = None
    resolved_at: datetime | None = None
    is_healed: bool = False
    failure: str = ""

    @property
    def study(self) -> StudyKey:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid


@dataclass(frozen=True, slots=True)
class DifferenceQuery:
    """Which rows of the table to return: those behind the key `after`, of one kind, or of any if it is None."""

    only_open: bool = True
    kind: Kind | None = None
    size: int = 50
    after: str = ""


class RoundState(StrEnum):
    """Where a round stands. `stopped`: its deletes wait for a person's confirmation."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Dates:
    """StudyDates from `first` to `last`, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class OneStudy:
    """One study."""

    study_instance_uid: str
    partition: str = DEFAULT_PARTITION


Scope = Dates | OneStudy | None
"""None: all studies."""


@dataclass(frozen=True, slots=True)
class RoundRequest:
    """A round to be made. `is_deep`: each study's metadata is read. `dry_run`: nothing is healed in any mode."""

    scope: Scope = None
    is_deep: bool = False
    dry_run: bool = False


class Phase(StrEnum):
    """The phases of a round, in this order; the first three are done for each data partition."""

    DATED = "studies by StudyDate"
    UNDATED = "studies without a StudyDate in DICOM"
    FHIR_UNDATED = "studies without a date in FHIR"
    OPEN = "differences of earlier rounds"
    DELETES = "deletes"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a round goes on.

    `first`: the day that the window begins with, as a proleptic ordinal; `days`: its length. `offset`: of the page, in
    the phases without dates. `after`: the UID of the last suspect of the window that is done.
    """

    phase: Phase = Phase.DATED
    partition: str = DEFAULT_PARTITION
    first: int = date.min.toordinal()
    days: int = date.max.toordinal()
    offset: int = 0
    after: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was read at one place of a round.

    `suspects`: studies to be looked at closely, each with the key that it is sorted by. `compared`: how many studies
    were. `following`: the place behind it. `unknown`: what could not be compared. `is_passed_by`: nothing of the place
    was, as it cannot be read. `is_of_fhir`: the suspects were found in FHIR, and the archive is only asked whether it
    has them.
    """

    round_id: str
    place: Place
    suspects: tuple[tuple[str, StudyKey], ...]
    compared: int
    following: Place
    unknown: tuple[str, ...] = ()
    is_of_fhir: bool = False
    is_passed_by: bool = False


@dataclass(frozen=True, slots=True)
class RoundCounts:
    """In studies, except `requests` to both servers.

    `read`: their metadata was read, and a dry run of their rebuild made. `known`: they differ as their open error rows
    say. `put_off` to the next round, as they were changing. `deleted`: as DICOM no longer has them.
    """

    compared: int = 0
    read: int = 0
    differed: int = 0
    healed: int = 0
    not_healed: int = 0
    known: int = 0
    put_off: int = 0
    deleted: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """One round of the audit.

    `number`: counted on from whole round to whole round, as each reads another part of all studies. `not_before`: a
    round that begins by itself waits until then; None if a person has asked for it. `since`: when the last whole round
    began, None if there was none; what FHIR has changed since then is read. `again`: the studies that it put off, which
    are read too. `put_off`: those of this round, at most 30. `unknown`: what cannot be found out on these servers.
    `passed_by`: how many places could not be read. `deletes_as_of`: when it came to the deletes; studies that have been
    absent for long enough only since then are the next round's. `deletes_waiting` for a person's confirmation, and
    `deletes_confirmed`. `waiting_for`: why it does not go on; `failing_since`: since when it meets a
    fault, None if it waits for the feed.
    """

    id: str
    request: RoundRequest
    state: RoundState
    created: datetime
    updated: datetime
    number: int = 0
    not_before: datetime | None = None
    started: datetime | None = None
    since: datetime | None = None
    place: Place = field(default_factory=Place)
    counts: RoundCounts = field(default_factory=RoundCounts)
    again: tuple[StudyKey, ...] = ()
    put_off: tuple[StudyKey, ...] = ()
    unknown: tuple[str, ...] = ()
    passed_by: int = 0
    deletes_as_of: datetime | None = None
    deletes_waiting: int = 0
    deletes_confirmed: int = 0
    waiting_for: str | None = None
    failing_since: datetime | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to do."""
        return self.state in (RoundState.QUEUED, RoundState.RUNNING)

    @property
    def is_by_itself(self) -> bool:
        """Whether no person has asked for it."""
        return self.not_before is not None

    @property
    def is_waiting(self) -> bool:
        """Whether it has not begun, and a person's round would take its place."""
        return self.state is RoundState.QUEUED and self.is_by_itself

    @property
    def is_whole(self) -> bool:
        """Whether it went, or goes, through all studies."""
        return self.request.scope is None

    def counting(self, **more: int) -> "Round":
        """With these added to its counts."""
        sums = {name: getattr(self.counts, name) + count for name, count in more.items()}
        return replace(self, counts=replace(self.counts, **sums))

    def putting_off(self, study: StudyKey) -> "Round":
        """With one more study that the next round has to read."""
        named = tuple(dict.fromkeys((*self.put_off, study)))
        return replace(self.counting(put_off=1), put_off=named[:MAX_PUT_OFF])

    def not_knowing(self, what: str) -> "Round":
        """With one more thing that cannot be found out."""
        known = dict.fromkeys((*self.unknown, shortened(what, MAX_MESSAGE_BYTES)))
        return replace(self, unknown=tuple(known)[:MAX_UNKNOWN])

    def passing_by(self, says: Sequence[str]) -> "Round":
        """With one more place that cannot be read. It is named before all else that cannot be found out."""
        known = dict.fromkeys((*(shortened(one, MAX_MESSAGE_BYTES) for one in says), *self.unknown))
        return replace(self, unknown=tuple(known)[:MAX_UNKNOWN], passed_by=self.passed_by + 1)

    def waiting(self, reason: str, now: datetime) -> "Round":
        """With the reason why it does not go on."""
        since = self.failing_since or now
        return replace(self, waiting_for=shortened(reason, MAX_MESSAGE_BYTES), failing_since=since, updated=now)


@dataclass(frozen=True, slots=True)
class AuditState:
    """The setting, the latest rounds, the open differences by kind, and a page of their rows, each with its key.

    If more than a thousand differences are open, only the first thousand are counted.
    """

    mode: AuditMode
    rounds: Sequence[Round]
    open: Mapping[Kind, int]
    differences: Sequence[tuple[str, Difference]] = ()


def summary(round_: Round) -> str:
    """The round in a sentence."""
    counts = round_.counts
    studies = "study" if counts.compared == 1 else "studies"
    done = f"{counts.compared:,} {studies} compared, {counts.differed:,} differed, {counts.healed:,} healed"
    waits = f"; waits: {round_.waiting_for}" if round_.waiting_for else ""
    if counts.put_off:
        done += f", {counts.put_off:,} were changing"
    match round_.state:
        case RoundState.STOPPED:
            return f"stopped: {round_.deletes_waiting:,} deletes wait for a person; {done}"
        case RoundState.FAILED:
            return f"failed: {round_.waiting_for}; {done}"
        case RoundState.RUNNING:
            return f"running: {done}; {round_.place.phase}{waits}"
        case RoundState.QUEUED:
            at = f" at {round_.not_before.isoformat(timespec='minutes')}" if round_.not_before else ""
            return f"begins{at}{waits}"
        case RoundState.DONE:
            return f"as of {round_.updated.isoformat(timespec='minutes')}, {done}"
        case RoundState.CANCELLED:
            return f"stopped by a person: {done}"
