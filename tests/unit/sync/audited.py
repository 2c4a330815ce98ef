"""An archive, a FHIR server that is searched as the audit does it, and a host that audits; drift is planted by hand."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from urllib.parse import parse_qsl

from shared.errors import FhirRefusedError, PagingError, RoundUnderWayError
from shared.mapping.mapping_options import MappingOptions
from shared.model.audit import AuditMode, AuditOptions, DifferenceQuery, Kind, Round, RoundRequest, RoundState
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.failures import digest
from shared.model.listed_study import ListedStudy
from shared.sync.audit.audit import run_audit
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeArchive, FakeClock, FakeErrors, FakeFeed, FakeFhir, entry, ports

URL = "https://dicom.example.org"
OPTIONS = BatchOptions(MappingOptions(URL), size=10_000, audit=AuditOptions(AuditMode.REPORT, requests_per_hour=10**9))


class SearchedFhir(FakeFhir):
    """Knows the searches of the audit, and tells no more than the elements that are asked for.

    `refused`: parameters that it refuses; `page_size` of what it gives.
    """

    def __init__(self, clock, **others):
        super().__init__(**others)
        self.clock = clock
        self.refused = set()
        self.page_size = 200
        self.asked = []

    def _apply(self, one, ids):
        written = super()._apply(one, ids)
        if one["request"]["method"] != "DELETE" and self.resources:
            self.resources[-1]["meta"]["lastUpdated"] = self.clock.at.isoformat()
        return written

    def found(self, resource_type, query):
        params = parse_qsl(query)
        if self.refused & {name for name, _ in params}:
            raise FhirRefusedError("400: a parameter is not known")
        elements = next((value.split(",") for name, value in params if name == "_elements"), None)
        rest = [(name, value) for name, value in params if name != "_elements"]
        if not any(name.startswith(("_", "started")) for name, _ in rest):
            found = super().found(resource_type, "&".join(part for part in query.split("&") if "_elements" not in part))
        else:
            held = [one for one in self.resources if one["resourceType"] == resource_type]
            found = copy.deepcopy([one for one in held if all(_fits(one, *asked) for asked in rest)])
        if elements is None:
            return found
        kept = {"resourceType", "id", *elements}
        return [{name: value for name, value in one.items() if name in kept} for one in found]

    def first(self, resource_type, query):
        return self.search(resource_type, query)[: self.page_size]

    def pages(self, resource_type, query, most):
        self.asked.append(query)
        found = self.search(resource_type, query)
        for number, start in enumerate(range(0, len(found), self.page_size)):
            if number == most:
                raise PagingError("more pages than are read")
            yield found[start : start + self.page_size]


def _fits(resource, name, value):
    if name == "_id":
        return resource["id"] == value
    if name == "_source":
        return resource["meta"].get("source") == value
    if name == "_tag":
        return value in [f"{one['system']}|{one['code']}" for one in resource["meta"].get("tag", ())]
    started = resource.get("started", "")[:10]
    if name == "started:missing":
        return not started
    return bool(started) and (started >= value[2:] if value.startswith("ge") else started <= value[2:])


class FakeStudyList:
    """What a search of the archive lists: `lists` in place of the archive where it lags behind or breaks off."""

    def __init__(self, archive, partitions=(DEFAULT_PARTITION,), size=200):
        self.archive = archive
        self.names = list(partitions)
        self.size = size
        self.calls = 0
        self.tells_counts = True
        self.hidden = set()
        self.is_down = False

    def partitions(self):
        self.calls += 1
        return sorted(self.names)

    def page(self, partition: str, offset: int, dates: tuple[date, date] | None = None):
        self.calls += 1
        found = [one for uid in self.archive.studies if (one := self._listed(uid, partition)) and _within(one, dates)]
        found.sort(key=lambda one: digest(one.study_instance_uid))
        return found[offset : offset + self.size], len(found) > offset + self.size

    def is_absent(self, study_instance_uid, partition):
        self.calls += 1
        return not list(self.archive.instances(study_instance_uid, partition))

    def is_listed(self, study_instance_uid, partition):
        self.calls += 1
        return study_instance_uid in self.archive.studies and self._listed(study_instance_uid, partition) is not None

    def _listed(self, uid, partition):
        held = [one for one in self.archive.studies[uid] if one.partition == partition]
        if not held or uid in self.hidden:
            return None
        first = held[0].metadata

        def value(tag):
            return str(first.get(tag, {}).get("Value", [""])[0])

        modalities = frozenset(one.metadata["00080060"]["Value"][0] for one in held)
        counted = {"instances": len(held), "modalities": modalities} if self.tells_counts else {}
        return ListedStudy(uid, value("00080020"), "", patient_id=value("00100020"), **counted)


def _within(one, dates):
    if dates is None:
        return True
    said = one.study_date
    return len(said) == 8 and said.isdigit() and dates[0].strftime("%4Y%m%d") <= said <= dates[1].strftime("%4Y%m%d")


class FakeRounds:
    """The rounds, the current one first."""

    def __init__(self, clock):
        self.clock = clock
        self.held: list[Round] = []

    def current(self):
        return self.held[0] if self.held else None

    def latest(self, count):
        return self.held[:count]

    def create(self, request, not_before=None):
        before = self.current()
        if before and before.is_under_way:
            if not before.is_waiting:
                raise RoundUnderWayError
            self.held.pop(0)
        now = self.clock.now()
        new = Round(f"{len(self.held) + 1:x}", request, RoundState.QUEUED, now, now, not_before=not_before)
        self.held.insert(0, new)
        return new

    def write(self, round_):
        if self.held[0].state is RoundState.CANCELLED:
            return self.held[0]
        self.held[0] = round_
        return round_

    def cancel(self):
        self.held[0] = replace(self.held[0], state=RoundState.CANCELLED)
        return self.held[0]

    def confirm(self, round_id):
        one = self.held[0]
        if one.id != round_id or one.state is not RoundState.STOPPED:
            return None
        word = one.counts.deleted + one.deletes_waiting
        self.held[0] = replace(one, state=RoundState.RUNNING, deletes_confirmed=word, deletes_waiting=0)
        return self.held[0]


class FakeDifferences:
    """Rows by key."""

    def __init__(self):
        self.rows = {}

    def of(self, study):
        return self.rows.get(digest(*study))

    def write(self, difference):
        self.rows[digest(*difference.study)] = difference

    def open(self, size, after="", seen_before=None, kind=None):
        found = self.page(DifferenceQuery(kind=kind, size=10**6, after=after))
        return [one for one in found if seen_before is None or one[1].last_seen < seen_before][:size]

    def page(self, query):
        found = sorted(self.rows.items())
        return [
            (key, row)
            for key, row in found
            if key > query.after and not (query.only_open and row.resolved_at) and query.kind in (None, row.kind)
        ][: query.size]

    def counts(self):
        return {kind: len(self.open(10**6, kind=kind)) for kind in Kind}

    def let_go(self, resolved_before):
        old = [key for key, row in self.rows.items() if row.resolved_at and row.resolved_at < resolved_before]
        for key in old:
            del self.rows[key]


class World:
    """Studies that are synced; `audit()` does a round and tells the open differences by StudyInstanceUID."""

    def __init__(self, *entries, options=OPTIONS, partitions=(DEFAULT_PARTITION,), page=200):
        self.clock = FakeClock()
        self.options = options
        self.archive = FakeArchive()
        self.feed = FakeFeed([])
        self.fhir = SearchedFhir(self.clock)
        self.errors = FakeErrors(self.clock.now)
        self.list = FakeStudyList(self.archive, partitions, page)
        self.rounds = FakeRounds(self.clock)
        self.differences = FakeDifferences()
        self.stores(*entries)
        self.host()
        self.sync()

    def host(self):
        """A host that starts now, and remembers nothing."""
        audit = AuditPorts(self.list, self.rounds, self.differences, lambda: self.list.calls + self.fhir.calls)
        before = getattr(self, "ports", None)
        kept = {"watermarks": before.watermarks} if before else {}
        self.ports = ports(
            feed=self.feed, archive=self.archive, fhir=self.fhir, errors=self.errors, now=self.clock.now,
            sleep=self.clock.sleep, audit=audit, **kept,
        )  # fmt: skip

    def stores(self, *entries):
        """What comes into the archive, and its feed."""
        held = list(self.feed.held)
        for one in entries:
            held.append(replace(one, sequence=len(held) + 1))
            self.archive.studies.setdefault(one.study_instance_uid, []).append(one)
        self.feed.held = held

    def sync(self):
        """A tick's batch."""
        self.ports.errors.begin()
        return run_batch(self.ports, self.options)

    def later(self, **passed):
        self.clock.at += timedelta(**passed)

    def ask(self, **request):
        return self.rounds.create(RoundRequest(**request))

    def ticks(self, most=200):
        """As many as the round takes."""
        for _ in range(most):
            run_audit(self.ports, self.options, self.clock.at + timedelta(seconds=10))
            self.later(seconds=11)
            if self.rounds.current() and not self.rounds.current().is_under_way:
                return self.rounds.current()
        raise AssertionError(self.rounds.current())

    def audit(self, **request) -> dict[str, Kind]:
        """A round that a person asks for."""
        self.ask(**request)
        self.ticks()
        return self.open()

    def open(self) -> dict[str, Kind]:
        return {row.study_instance_uid: row.kind for _, row in self.differences.open(10**6)}

    def study(self, uid):
        """The ImagingStudy in FHIR, to be changed by hand; None where there is none."""
        return next(
            (
                one
                for one in self.fhir.resources
                if one["resourceType"] == "ImagingStudy"
                and f"urn:oid:{uid}" in [held["value"] for held in one["identifier"]]
            ),
            None,
        )

    def edits(self, uid, **elements):
        """As a person does by hand, or another system; None takes an element away."""
        study = self.study(uid)
        study.update(elements)
        for name in [name for name, value in elements.items() if value is None]:
            del study[name]
        meta = study["meta"]
        meta |= {"versionId": str(int(meta["versionId"]) + 1), "lastUpdated": self.clock.at.isoformat()}

    def loses(self, uid):
        """FHIR loses the study."""
        self.fhir.resources.remove(self.study(uid))

    def deletes(self, *uids):
        """The archive has them no more, and no entry of the feed tells it."""
        for uid in uids:
            del self.archive.studies[uid]


def of(number: int, *, day: str | None = "20240506", patient=None, instance=1, series=1, modality="CT", **tags):
    """An instance of study 1.2.<number>."""
    uid = f"1.2.{number}"
    said = {"t00080020": day, "t00100020": patient or f"P-{number}", "t00080060": {"vr": "CS", "Value": [modality]}}
    return entry(study=uid, series=f"{uid}.{series}", instance=f"{uid}.{series}.{instance}", **(said | tags))


def many(count: int, **said) -> Sequence:
    """Studies over some days."""
    days = [date(2024, 1, 1) + timedelta(days=number % 300) for number in range(1, count + 1)]
    return [of(number, day=day.strftime("%Y%m%d"), **said) for number, day in enumerate(days, 1)]
