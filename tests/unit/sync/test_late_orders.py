"""Orders that came after their studies: looked at each hour, linked as any, and nothing is written twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from shared.errors import FhirRefusedError, LeaseLostError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.options import OrderLink
from shared.model.outcome import Outcome
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.replay import late_orders
from shared.sync.replay.late_orders import link_late_orders
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.fakes import FakeClock, FakeErrors, FakeFeed, FakeFhir, FakeLease, entry, ports
from tests.unit.sync.test_orders import ENCOUNTER, OTHER, PATIENT, TYPE, based_on, of, order, study

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100, order_look_back_days=7)


class Timed(FakeFhir):
    """Finds orders by the time that it got them; `windows` are those that it was asked for."""

    def __init__(self, *resources):
        super().__init__(resources=list(resources))
        self.windows = []
        self.fault = None

    def search(self, resource_type, query):
        asked = [value for name, value in parse_qsl(query) if name == "_lastUpdated"]
        if not asked:
            return super().search(resource_type, query)
        if self.fault:
            raise self.fault
        since, until = (*(datetime.fromisoformat(one[2:]) for one in asked), datetime.max.replace(tzinfo=UTC))[:2]
        self.windows.append((since, until))
        held = [one for one in self.resources if one["resourceType"] == resource_type]
        return [one for one in held if since <= one["at"] < until]


class World:
    """A host that has synced a study with the number A-1."""

    def __init__(self, *resources, options=OPTIONS, entries=None):
        self.clock = FakeClock()
        self.options = options
        self.fhir = Timed(PATIENT, OTHER, *resources)
        self.feed = FakeFeed(entries or [of()])
        self.ports = self.host()
        run_batch(self.ports, options)

    def host(self):
        """One that starts now."""
        parts = {"feed": self.feed, "fhir": self.fhir, "errors": FakeErrors(self.clock.now)}
        return ports(**parts, now=self.clock.now, sleep=self.clock.sleep)

    def comes(self, ago=timedelta(), **said):
        """An order that FHIR has got."""
        self.fhir.resources.append(order(**said) | {"at": self.clock.at - ago})

    def look(self, ports_=None, times=20):
        """As many ticks as it takes."""
        for _ in range(times):
            link_late_orders(ports_ or self.ports, self.options, self.clock.at + timedelta(seconds=10))

    def later(self, **passed):
        self.clock.at += timedelta(**passed)


def test_an_order_that_comes_after_its_study_is_linked_within_the_hour():
    """With its encounter; nothing of the archive is read for it, and another look writes nothing."""
    world = World()
    world.look()
    world.later(minutes=5)
    world.comes(encounter=ENCOUNTER)
    world.look()
    assert based_on(world.fhir) == []
    world.later(minutes=55)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]
    assert study(world.fhir)["encounter"] == ENCOUNTER
    written = len(world.fhir.bundles)
    for _ in range(3):
        world.later(hours=1)
        world.look()
    assert len(world.fhir.bundles) == written


@pytest.mark.parametrize(("ago", "is_found"), [(timedelta(days=6.9), True), (timedelta(days=7.1), False)])
def test_a_host_that_starts_looks_back(ago, is_found):
    """As far as the setting says, in windows of an hour, some in each tick."""
    world = World()
    world.comes(ago)
    world.look(times=1)
    assert len(world.fhir.windows) == late_orders.WINDOWS
    world.look()
    assert (based_on(world.fhir) != []) is is_found
    ends = [until for _, until in world.fhir.windows]
    assert [since for since, _ in world.fhir.windows][1:] == ends[:-1]
    assert (ends[-2], len(ends)) == (world.clock.at - timedelta(hours=1), 168)


def test_what_came_while_the_last_look_was_made_is_seen_by_the_next():
    """Searches lag, and clocks differ."""
    world = World()
    world.look()
    world.comes(timedelta(minutes=5))
    world.later(hours=1)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]


LATE = [
    ("its number", [{}], ["ServiceRequest/7"], []),
    ("another number", [{"value": "A-2"}], [], []),
    ("no identifier", [{"identifier": None}], [], []),
    ("another patient's", [{"subject": "Patient/2"}], [], ["OrderOfAnotherPatient"]),
    ("two of one number", [{}, {"id_": "8"}], [], ["SeveralOrders"]),
    ("of a system that the study does not know", [{"identifier": [{"type": TYPE, "system": "urn:x", "value": "A-1"}]}], ["ServiceRequest/7"], []),
    ("odd", [{"identifier": [None, {"type": TYPE, "value": 7}, {"system": 7, "value": "A-1"}]}], [], []),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "orders", "links", "rows"), LATE, ids=[row[0] for row in LATE])
def test_it_is_looked_up_as_any(rule, orders, links, rows):
    """One without doubt is linked; else a row of the study says why not, once."""
    world = World()
    for one in orders:
        world.comes(**one)
    world.later(minutes=1)
    world.look()
    assert based_on(world.fhir) == links, rule
    world.later(hours=1)
    world.comes(id_="9", value="A-9")
    world.look()
    assert [row.exception for row in world.ports.errors.open_errors().newest] == rows


def test_a_row_closes_once_what_it_says_is_not_so():
    """The second order of the number was a mistake."""
    world = World()
    world.comes()
    world.comes(id_="8")
    world.later(minutes=1)
    world.look()
    assert [row.exception for row in world.ports.errors.open_errors().newest] == ["SeveralOrders"]
    world.fhir.resources.pop()
    world.fhir.resources[-1 if "at" in world.fhir.resources[-1] else -2]["at"] = world.clock.at
    world.later(hours=1)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]
    assert world.ports.errors.open_() == []


def test_a_number_alone_gives_way_to_its_order():
    """`link-or-identifier`."""
    options = replace(OPTIONS, mapping=replace(OPTIONS.mapping, order_link=OrderLink.LINK_OR_IDENTIFIER))
    world = World(options=options)
    assert based_on(world.fhir) == ["A-1"]
    world.comes()
    world.later(minutes=1)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]


def test_a_study_of_a_data_partition():
    """It is found by its number, and is the partition's."""
    world = World(entries=[replace(of(), partition="north")])
    world.comes()
    world.later(minutes=1)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]


def test_a_study_that_the_app_never_wrote_is_left_alone():
    """Another system's, which happens to have the number."""
    theirs = {
        "resourceType": "ImagingStudy",
        "id": "x",
        "meta": {"versionId": "1"},
        "subject": {"reference": "Patient/1"},
    }
    theirs["identifier"] = [{"system": "urn:dicom:uid", "value": "urn:oid:9.9"}, {"type": TYPE, "value": "A-5"}]
    world = World(theirs)
    world.comes(value="A-5")
    world.later(minutes=1)
    world.look()
    assert theirs in world.fhir.resources


@pytest.mark.parametrize(
    "change", [{"order_look_back_days": 0}, {"order_link": OrderLink.OFF}, {"extended": False}], ids=str
)
def test_where_it_is_off_nothing_is_asked(change):
    """By any of the settings."""
    of_mapping = {name: value for name, value in change.items() if name != "order_look_back_days"}
    options = replace(OPTIONS, mapping=replace(OPTIONS.mapping, **of_mapping))
    world = World(options=replace(options, order_look_back_days=change.get("order_look_back_days", 7)))
    world.look()
    assert world.fhir.windows == []


@pytest.mark.parametrize("fault", [FhirRefusedError("status 400", status=400), TransientError("status 500")], ids=str)
def test_a_search_that_fails_is_made_again_in_an_hour(fault):
    """From where it failed; studies are linked meanwhile."""
    world = World()
    world.look()
    world.fhir.fault = fault
    world.comes()
    world.later(hours=1)
    world.look()
    world.later(hours=1)
    world.fhir.fault = None
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]


def test_what_could_not_be_written_is_looked_at_again():
    """The FHIR server did not take it for an hour."""
    world = World()
    world.comes()
    world.later(minutes=1)
    world.fhir.faults = [TransientError("status 503")]
    world.look()
    assert based_on(world.fhir) == []
    world.later(hours=1)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]


def test_orders_that_could_not_be_searched_for_are_made_up_for():
    """After an hour of refusals the whole time is looked through again."""
    world = World()
    world.look()
    world.comes(timedelta(days=3))
    world.ports.order_searches.refused("status 403", world.clock.at)
    world.later(hours=1, seconds=1)
    world.look()
    assert based_on(world.fhir) == ["ServiceRequest/7"]


def test_a_host_that_lost_its_lease_writes_nothing():
    """Another works now."""
    world = World()
    world.comes()
    world.later(minutes=1)
    lost = replace(world.host(), lease=FakeLease(checks=0))
    with pytest.raises(LeaseLostError):
        world.look(lost)
    assert based_on(world.fhir) == []


def test_a_tick_looks_at_them():
    """Whether or not the feed has anything new."""
    world = World()
    world.comes()
    world.later(minutes=1)
    outages = OutageLog(world.clock.now)
    records = [tick(world.ports, world.options, outages) for _ in range(20)]
    assert {record.outcome for record in records} == {Outcome.IDLE}
    assert based_on(world.fhir) == ["ServiceRequest/7"]


def test_many_studies_are_read_together():
    """Some calls for a hundred, not some for each."""
    numbers = [f"A-{n}" for n in range(100)]
    entries = [
        entry(n + 1, study=f"1.{n}", series=f"1.{n}.1", instance=f"1.{n}.1.1", t00080050=number)
        for n, number in enumerate(numbers)
    ]
    world = World(entries=entries)
    for n, number in enumerate(numbers):
        world.comes(id_=f"o{n}", value=number)
    world.later(minutes=1)
    world.look(times=17)
    calls = world.fhir.calls
    world.later(hours=1)
    world.look()
    assert world.fhir.calls - calls <= 2 + 100 / 20
    linked = [one for one in world.fhir.resources if one.get("basedOn")]
    assert len(linked) == 100
