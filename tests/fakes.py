"""Fakes of the loop's Protocols, and small builders. The FHIR fake applies transactions as R4 says."""

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote

from shared.errors import ConflictError, LeaseLostError
from shared.model.change_feed import Action, ChangeFeedEntry, FeedPage, State
from shared.model.failures import (
    CarriedEntry,
    ErrorCount,
    ErrorQuery,
    ErrorRow,
    ErrorTable,
    FailedEntry,
    OpenErrors,
    OpenRow,
    digest,
    digest_of_study,
)
from shared.model.fhir import Resource, Written
from shared.model.journal import Journal, Slot
from shared.model.lease import LeaseState
from shared.model.outcome import TickRecord
from shared.model.replay import Replay, ReplayRequest, ReplayState
from shared.model.watermark import Hole, StoredWatermark, Watermark
from shared.process.telemetry import SILENT
from shared.sync.ports import Ports

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"


def metadata(*, study=STUDY, series=SERIES, instance=INSTANCE, **tags):
    """DICOM JSON with what is required; `tags` by their eight digits, `t00100040="F"` or an element or None."""
    elements = {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00080018": {"vr": "UI", "Value": [instance]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "00100020": {"vr": "LO", "Value": ["P-1"]},
        "0020000D": {"vr": "UI", "Value": [study]},
        "0020000E": {"vr": "UI", "Value": [series]},
    }
    for name, value in tags.items():
        key = name.removeprefix("t").upper()
        if value is None:
            elements.pop(key, None)
        else:
            elements[key] = value if isinstance(value, dict) else {"vr": "UN", "Value": [value]}
    return elements


def entry(
    sequence=1, action=Action.CREATE, *, study=STUDY, series=SERIES, instance=INSTANCE, state=State.CURRENT, **tags
):
    """A change feed entry whose metadata agrees with it."""
    gone = state is State.DELETED
    said = None if gone else metadata(study=study, series=series, instance=instance, **tags)
    return ChangeFeedEntry(sequence, study, series, instance, action, state, NOW.isoformat(), metadata=said)


def report_entry(report, sequence=1, action=Action.CREATE):
    """The entry of a dose report: its DICOM JSON is the metadata."""
    study, series, instance = (report[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018"))
    return ChangeFeedEntry(sequence, study, series, instance, action, State.CURRENT, NOW.isoformat(), metadata=report)


@dataclass
class FakeFeed:
    """Pages of at most `page` entries; `hold` is said once the entries are through.

    `young` are sequences that it does not have, and that may still come. `behind`: by the sequence of a mark of API v2's
    order, how far all that is done has lower numbers too.
    """

    held: Sequence[ChangeFeedEntry] = ()
    page: int = 100
    hold: str | None = None
    young: Collection[int] = ()
    behind: Mapping[int, int] = field(default_factory=dict)

    def pages(self, after: Watermark, at_once: int = 1) -> Iterator[FeedPage]:
        rest = [one for one in self.held if one.sequence > after.sequence]
        for start in range(0, len(rest), self.page):
            part = rest[start : start + self.page]
            before = rest[start - 1].sequence if start else after.sequence
            holes = [Hole(one, one, "") for one in sorted(self.young) if before < one < part[-1].sequence]
            yield FeedPage(part, Watermark(part[-1].sequence, part[-1].timestamp), holes=holes)
        if self.hold:
            yield FeedPage((), Watermark(rest[-1].sequence, rest[-1].timestamp) if rest else after, self.hold)

    def filled(self, holes: Sequence[Hole]) -> tuple[list[ChangeFeedEntry], list[Hole]]:
        found = self.entries({one.first for one in holes})
        come = {entry.sequence for entry in found}
        return found, [one for one in holes if one.first in self.young and one.first not in come]

    def entries(self, sequences: Collection[int]) -> list[ChangeFeedEntry]:
        return [one for one in self.held if one.sequence in sequences]

    def latest(self) -> ChangeFeedEntry | None:
        return self.held[-1] if self.held else None

    def first_after(self, watermark: Watermark) -> ChangeFeedEntry | None:
        return next((one for one in self.held if one.sequence > watermark.sequence), None)

    def between(self, after: Watermark, end: str) -> Iterator[FeedPage]:
        for page in self.pages(Watermark(after.sequence)):
            within = [one for one in page.entries if (after.timestamp or "") <= one.timestamp < end]
            yield FeedPage(within, page.through)

    def by_sequence(self, by_time: Watermark) -> Watermark:
        return replace(by_time, sequence=self.behind[by_time.sequence])


@dataclass
class FakeFhir:
    """A FHIR server in memory. `faults` are raised by the next transactions; None lets one through.

    `bundles` are what was sent, but for those that make an Endpoint, which no fault strikes: these are `endpoints`.
    """

    resources: list[Resource] = field(default_factory=list)
    bundles: list[Resource] = field(default_factory=list)
    endpoints: list[Resource] = field(default_factory=list)
    faults: list[Exception | None] = field(default_factory=list)
    calls: int = 0
    quickest: float = 0.0
    most: int = 500
    limits: list[int] = field(default_factory=list)

    def capability_texts(self) -> dict[str, str]:
        return {"software": "fake"}

    def check(self) -> None:
        pass

    def ensure_answers(self) -> None:
        self.calls += 1

    def probe(self) -> None:
        self.calls += 1

    def search(self, resource_type: str, query: str) -> list[Resource]:
        self.calls += 1
        return self.found(resource_type, query)

    def found(self, resource_type: str, query: str) -> list[Resource]:
        fits = _search(query)
        found = [one for one in self.resources if one["resourceType"] == resource_type and fits(one)]
        return copy.deepcopy(found)

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        found = [self.search(*one) for one in searches]
        self.calls -= max(0, len(searches) - 1)
        return found

    def transact(self, bundle: Resource) -> list[Written]:
        self.calls += 1
        is_endpoint = is_of_endpoint(bundle)
        if not is_endpoint and self.faults and (fault := self.faults.pop(0)):
            raise fault
        (self.endpoints if is_endpoint else self.bundles).append(copy.deepcopy(bundle))
        ids: dict[str, str] = {}
        before = list(self.resources)
        try:
            written = [self._apply(one, ids) for one in copy.deepcopy(bundle["entry"])]
        except ConflictError:
            self.resources[:] = before  # all or nothing
            raise
        for resource in self.resources[-len(written) :]:  # what was written stands last
            _resolve(resource, ids)
        return written

    def read(self, reference: str) -> Resource | None:
        self.calls += 1
        found = [one for one in self.resources if f"{one['resourceType']}/{one['id']}" == reference]
        return copy.deepcopy(found[0]) if found else None

    def most_entries(self, *, conditional: bool) -> int:
        return self.most

    def too_many_entries(self, size: int, *, conditional: bool) -> None:
        self.limits.append(size)

    def _apply(self, one: Resource, ids: dict[str, str]) -> Written:
        request = one["request"]
        if request["method"] == "POST":
            if "ifNoneExist" in request and (found := self.found(request["url"], request["ifNoneExist"])):
                ids[one["fullUrl"]] = f"{request['url']}/{found[0]['id']}"
                return Written(created=False, reference=ids[one["fullUrl"]], version=None)
            number = len([held for held in self.resources if held["resourceType"] == request["url"]]) + 1
            resource = one["resource"] | {
                "id": str(number),
                "meta": one["resource"].get("meta", {}) | {"versionId": "1"},
            }
            ids[one["fullUrl"]] = f"{request['url']}/{number}"
            self.resources.append(resource)
            return Written(created=True, reference=ids[one["fullUrl"]], version="1")
        held = next(held for held in self.resources if f"{held['resourceType']}/{held['id']}" == request["url"])
        version = held["meta"]["versionId"]
        if request["ifMatch"] != f'W/"{version}"':
            raise ConflictError("412")
        self.resources.remove(held)
        if request["method"] == "PUT":
            self.resources.append(
                one["resource"] | {"meta": one["resource"]["meta"] | {"versionId": str(int(version) + 1)}}
            )
        return Written(created=False, reference=request["url"], version=str(int(version) + 1))


def is_of_endpoint(bundle: Resource) -> bool:
    """Whether the transaction makes the Endpoint, which has one to itself."""
    return [entry["request"]["url"] for entry in bundle["entry"]] == ["Endpoint"]


def _search(query: str) -> Callable[[Resource], bool]:
    """Whether a resource is found by `name:exact`, `series`, `instance`, or all of its `identifier` and `code` tokens."""
    params = parse_qsl(query)
    for name, uids in params:
        if name in ("series", "instance"):
            wanted, of = set(uids.split(",")), name
            return lambda resource: not wanted.isdisjoint(_listed(resource, of))
    if named := dict(params).get("name:exact"):
        return lambda resource: resource.get("name") == unquote(named)
    tokens = [(name, tuple(token.replace("\\", "").split("|"))) for name, token in params]
    return lambda resource: all(
        any(token in (one, one[1:]) for one in _tokens(resource, name)) for name, token in tokens
    )


def _listed(study: Resource, parameter: str) -> set[str]:
    series = study.get("series", [])
    listed = series if parameter == "series" else [instance for one in series for instance in one.get("instance", ())]
    return {one["uid"] for one in listed}


def _tokens(resource: Resource, name: str) -> list[tuple[str, str]]:
    if name == "code":
        return [(one["system"], one["code"]) for one in resource["code"]["coding"]]
    held = resource.get("identifier")
    identifiers = [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []
    return [(one.get("system", ""), one.get("value")) for one in identifiers]


def _resolve(value: object, ids: dict[str, str]) -> None:
    if isinstance(value, dict):
        if value.get("reference") in ids:
            value["reference"] = ids[value["reference"]]
        for item in value.values():
            _resolve(item, ids)
    elif isinstance(value, list):
        for item in value:
            _resolve(item, ids)


@dataclass
class FakeWatermarks:
    """A row with a version in place of an ETag."""

    stored: StoredWatermark = field(default_factory=lambda: StoredWatermark(Watermark(), "0", Watermark()))

    @property
    def watermark(self) -> Watermark:
        return self.stored.watermark

    def read(self) -> StoredWatermark:
        return self.stored

    def write(self, stored: StoredWatermark) -> StoredWatermark:
        if stored.etag != self.stored.etag:
            raise LeaseLostError("moved by another host")
        self.stored = replace(stored, etag=str(int(stored.etag) + 1))
        return self.stored

    def rewind(self) -> None:
        """As an operator does who sets SyncedSequence to 0."""
        self.stored = replace(self.stored, watermark=Watermark(), read_through=Watermark(), holes=())


@dataclass
class FakeErrors:
    """Failures in the order they were recorded, and those carried; `now` is the clock of the rows.

    `faults` are raised by the next records. `closed` are rows that are resolved, until they are recorded again;
    `waiting` those of carried entries.
    """

    now: Callable[[], datetime] = lambda: NOW
    rows: list[FailedEntry] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    closed: set[tuple[ErrorTable, str, str]] = field(default_factory=set)
    waiting: dict[int, FailedEntry] = field(default_factory=dict)
    retries: dict[int, CarriedEntry] = field(default_factory=dict)
    faults: list[Exception] = field(default_factory=list)

    def record(self, failures: Sequence[FailedEntry]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        for row in failures:
            if row.table is ErrorTable.TRANSIENT_RETRY:
                held, now = self.retries.get(row.sequence), self.now()
                retries = held.retries + row.attempts if held else max(0, row.attempts - 1)
                first = held.first_seen if held else now
                tried = now if row.attempts else held.last_attempt if held else None
                self.retries[row.sequence] = CarriedEntry(
                    row.sequence,
                    row.study_instance_uid,
                    retries,
                    first,
                    tried,
                    row.not_before,
                    row.partition,
                    row.series_instance_uid,
                    row.sop_instance_uid,
                )
                self.waiting[row.sequence] = row
            else:
                self.rows.append(row)
                self.closed.discard((row.table, *row.key))

    @property
    def is_any_carried(self) -> bool:
        return bool(self.retries)

    def disown(self) -> None:
        pass

    def carried(self, most: int) -> list[CarriedEntry]:
        return [row for _, row in sorted(self.retries.items())][:most]

    def open_errors(self) -> OpenErrors:
        rows = [row for table in ErrorTable for row in self.page(ErrorQuery(table), 1000)]
        return OpenErrors({table: sum(row.table is table for row in rows) for table in ErrorTable}, rows[:5])

    def count(self, query: ErrorQuery) -> ErrorCount:
        rows = self.page(ErrorQuery(query.table, only_open=False), 1000)
        return ErrorCount(len(self.page(query, 1000)), sorted({row.exception for row in rows}))

    def page(self, query: ErrorQuery, size: int, after: tuple[str, str] | None = None) -> list[ErrorRow]:
        held = [*self.rows, *self.waiting.values()]
        rows = {row.key: row for row in held if row.table is query.table}  # the same failure is one row
        return [
            ErrorRow(
                row.table,
                row.exception,
                row.sequence,
                row.study_instance_uid,
                row.series_instance_uid,
                row.sop_instance_uid,
                row.partition,
                row.message,
                0,
                None,
                None,
                None,
                key,
            )
            for key, row in sorted(rows.items())
            if (after is None or key > after)
            and not (query.only_open and (row.table, *key) in self.closed)
            and query.study_instance_uid in (None, row.study_instance_uid)
            and query.exception in (None, row.exception)
        ][:size]

    def begin(self) -> None:
        pass

    def open_rows(self, studies: Collection[tuple[str, str]], sequences: Collection[int]) -> list[OpenRow]:
        return [
            row
            for row in self.open_()
            if row.study in {*(digest(*study) for study in studies), *(digest("", str(one)) for one in sequences)}
        ]

    def torn(self, sequence: int) -> list[OpenRow]:
        return [row for row in self.open_() if row.study == digest("", str(sequence))]

    def open_(self, *tables: ErrorTable) -> list[OpenRow]:
        """All open rows, or those of these tables."""
        held = [row for row in self.rows if (row.table, *row.key) not in self.closed]
        rows = {(row.table, row.key): row for row in [*held, *self.waiting.values()]}
        return [
            OpenRow(
                row.table,
                row.key,
                row.sequence,
                digest_of_study(row.partition, row.study_instance_uid, row.sequence),
                digest(*row.instance),
            )
            for row in rows.values()
            if not tables or row.table in tables
        ]

    def close(self, rows: Collection[OpenRow]) -> None:
        self.resolved += sorted({row.sequence for row in rows})
        for row in rows:
            if row.table is ErrorTable.TRANSIENT_RETRY:
                self.retries.pop(row.sequence)
                self.waiting.pop(row.sequence)
            else:
                self.closed.add((row.table, *row.key))


@dataclass
class FakeClock:
    """Time that passes only by sleeping."""

    at: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


@dataclass
class FakeJournal:
    held: Journal = field(default_factory=Journal)

    @property
    def record(self) -> TickRecord | None:
        return self.held.last

    def read(self) -> Journal:
        return self.held

    def write(self, journal: Journal) -> None:
        self.held = journal

    def history(self, since: datetime) -> list[Slot]:
        return [self.held.slot] if self.held.slot and self.held.slot.start >= since else []


class ReadByInstances:
    """An archive that answers everything from `instances`."""

    def instances(
        self, study_instance_uid: str, partition: str, series_instance_uid: str | None = None
    ) -> Iterator[ChangeFeedEntry]:
        raise NotImplementedError

    def series(self, study_instance_uid: str, partition: str) -> list[str]:
        return list(self.counts(study_instance_uid, partition))

    def one_of(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> ChangeFeedEntry | None:
        return next(self.instances(study_instance_uid, partition, series_instance_uid), None)

    def listed(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> frozenset[str]:
        held = self.instances(study_instance_uid, partition, series_instance_uid)
        return frozenset(one.sop_instance_uid for one in held)

    def counts(self, study_instance_uid: str, partition: str) -> dict[str, int]:
        return Counter(one.series_instance_uid for one in self.instances(study_instance_uid, partition))


@dataclass
class FakeArchive(ReadByInstances):
    """Studies by StudyInstanceUID; `whole` is the whole metadata of instances by SOPInstanceUID."""

    studies: dict[str, list[ChangeFeedEntry]] = field(default_factory=dict)
    whole: dict[str, Resource] = field(default_factory=dict)

    def instances(
        self, study_instance_uid: str, partition: str, series_instance_uid: str | None = None
    ) -> Iterator[ChangeFeedEntry]:
        for one in self.studies.get(study_instance_uid, []):
            if one.partition == partition and series_instance_uid in (None, one.series_instance_uid):
                yield replace(one, sequence=0)

    def metadata(self, entry: ChangeFeedEntry) -> Resource | None:
        return self.whole.get(entry.sop_instance_uid)


@dataclass
class FakeReplays:
    """`cancelled` are those that a person ends before the next write."""

    held: dict[str, Replay] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def create(self, request: ReplayRequest) -> Replay:
        if same := next((one for one in self.under_way() if one.request == request), None):
            return same
        replay = Replay(str(len(self.held) + 1), request, ReplayState.QUEUED, NOW, NOW)
        self.held[replay.id] = replay
        return replay

    def read(self, replay_id: str) -> Replay | None:
        return self.held.get(replay_id)

    def latest(self, count: int) -> list[Replay]:
        return list(self.held.values())[::-1][:count]

    def under_way(self) -> list[Replay]:
        return [one for one in self.held.values() if one.is_under_way]

    def write(self, replay: Replay) -> Replay:
        state = ReplayState.CANCELLED if replay.id in self.cancelled else replay.state
        self.held[replay.id] = replace(replay, state=state)
        return self.held[replay.id]

    def cancel(self, replay_id: str) -> Replay | None:
        self.cancelled.add(replay_id)
        return self.held.get(replay_id)


@dataclass
class FakeLease:
    """`checks` says how many times `ensure_held` passes; None: always."""

    free: bool = True
    checks: int | None = None
    released: bool = False
    told: list[tuple[int, int]] = field(default_factory=list)

    def acquire(self) -> bool:
        return self.free

    def ensure_held(self) -> None:
        if self.checks is not None:
            self.checks -= 1
            if self.checks < 0:
                raise LeaseLostError("lost")

    def show_progress(self, done: int, entries: int) -> None:
        self.told.append((done, entries))

    def release(self) -> None:
        self.released = True

    def state(self) -> LeaseState:
        return LeaseState(held=not self.free, since=None)


def ports(entries: Sequence[ChangeFeedEntry] = (), **others) -> Ports:
    """Ports of fakes; name any of them to put another in its place. The archive holds what FHIR and the feed say."""
    from tests.archive_of_fhir import ArchiveOfFhir  # noqa: PLC0415 it is made of these fakes

    clock = FakeClock()
    fakes = {
        "feed": FakeFeed(entries),
        "fhir": FakeFhir(),
        "watermarks": FakeWatermarks(),
        "errors": FakeErrors(clock.now),
        "journal": FakeJournal(),
        "replays": FakeReplays(),
        "lease": FakeLease(),
        "telemetry": SILENT,
        "now": clock.now,
        "sleep": clock.sleep,
    }
    made = fakes | others
    return Ports(**{"archive": ArchiveOfFhir(made["fhir"], made["feed"]), **made})
