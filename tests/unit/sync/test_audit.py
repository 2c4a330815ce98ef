"""The audit finds what differs, invents nothing, heals by the road of a rebuild, and deletes only what it may."""

import copy
from dataclasses import replace
from datetime import date, timedelta

import pytest

from shared.errors import FeedError, LeaseLostError, OutageError, RoundUnderWayError, TransientError
from shared.mapping.sign import is_ours
from shared.model.audit import AuditMode, Dates, Kind, OneStudy, Phase, RoundState, summary
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.watermark import Hole
from shared.sync.audit import audit, chunk, confirm
from shared.sync.audit.audit import run_audit
from tests.fakes import FakeLease
from tests.unit.sync.audited import OPTIONS, URL, World, many, of

HEALING = replace(OPTIONS, audit=replace(OPTIONS.audit, mode=AuditMode.HEAL))
LATER = {"days": 1}
"""Longer than a study must have been absent before it is deleted."""


def healing(**said):
    """Options that heal."""
    return replace(HEALING, audit=replace(HEALING.audit, **said))


def writes(world):
    return len(world.fhir.bundles)


def dropped_instance(world):
    study = world.study("1.2.7")
    (series,) = study["series"]
    world.edits("1.2.7", series=[{**series, "instance": series["instance"][:1]}])


def other_instance(world):
    study = world.study("1.2.7")
    (series,) = study["series"]
    first, *rest = series["instance"]
    world.edits("1.2.7", series=[{**series, "instance": [{**first, "uid": "1.9"}, *rest]}])


def without_patient(world):
    patient = world.study("1.2.7")["subject"]["reference"].removeprefix("Patient/")
    world.fhir.resources[:] = [
        one for one in world.fhir.resources if (one["resourceType"], one["id"]) != ("Patient", patient)
    ]


DRIFT = [
    ("FHIR lost the study", lambda world: world.loses("1.2.7"), Kind.MISSING),
    ("the archive has it no more", lambda world: world.deletes("1.2.7"), Kind.GONE),
    ("an instance was taken out of FHIR", dropped_instance, Kind.SERIES),
    ("an instance has another UID in FHIR", other_instance, Kind.SERIES),
    ("all series were taken out", lambda world: world.edits("1.2.7", series=None), Kind.SERIES),
    ("the archive has an instance of which no feed told", lambda world: world.archive.studies["1.2.7"].append(of(7, instance=9)), Kind.SERIES),
    ("another number of instances", lambda world: world.edits("1.2.7", numberOfInstances=7), Kind.SERIES),
    ("another Patient", lambda world: world.edits("1.2.7", subject={"reference": "Patient/1"}), Kind.PATIENT),
    ("the Patient is gone", without_patient, Kind.PATIENT),
    ("another modality", lambda world: world.edits("1.2.7", modality=[]), Kind.MODALITY),
    ("no date", lambda world: world.edits("1.2.7", started=None), Kind.ELEMENT),
    ("no description", lambda world: world.edits("1.2.7", description=None), Kind.ELEMENT),
]  # fmt: skip


@pytest.fixture
def world():
    """Some studies, in sync and found to be so by a first round."""
    return drifting()


def drifting(options=OPTIONS, **others):
    world = World(*many(20), of(7, day="20240108", instance=2, t00081030="Thorax"), options=options, **others)
    world.later(hours=1)
    assert world.audit() == {}
    world.later(hours=1)
    return world


def test_what_is_in_sync_differs_in_nothing_and_is_not_written(world):
    """However often, and however deep it is looked."""
    written = writes(world)
    assert world.audit() == {}
    assert world.audit(is_deep=True) == {}
    counts = world.rounds.current().counts
    assert (counts.compared, counts.read, counts.put_off, writes(world)) == (20, 20, 0, written)


@pytest.mark.parametrize(("plant", "kind"), [one[1:] for one in DRIFT], ids=[one[0] for one in DRIFT])
def test_each_kind_of_drift_is_found_and_nothing_else(world, plant, kind):
    """By a round that reports: nothing is written. Another round finds the same, in the same row."""
    plant(world)
    written = writes(world)
    for rounds in (1, 2):
        assert world.audit() == {"1.2.7": kind}
        ((_, row),) = world.differences.open(10)
        assert (row.rounds, row.partition, writes(world)) == (rounds, "Microsoft.Default", written)
        world.later(minutes=20)


@pytest.mark.parametrize(("plant", "kind"), [one[1:] for one in DRIFT], ids=[one[0] for one in DRIFT])
def test_each_kind_is_healed_by_a_rebuild_and_never_twice(plant, kind):
    """A study that the archive has no more waits for its second absence, and, among so few studies, for a person."""
    world = drifting(HEALING)
    plant(world)
    found = world.audit()
    assert found == ({"1.2.7": kind} if kind is Kind.GONE else {})
    (row,) = world.differences.rows.values()
    assert (row.kind, row.is_healed) == (kind, kind is not Kind.GONE)
    written = writes(world)
    assert world.audit() == found
    assert writes(world) == written


def test_a_first_round_finds_edits_too():
    """It reads FHIR's lists of instances: nothing tells it what has changed since a round before."""
    world = World(*many(20), of(7, day="20240108", instance=2))
    dropped_instance(world)
    assert world.audit() == {"1.2.7": Kind.SERIES}
    assert world.rounds.current().counts.read == 1


def test_a_study_that_neither_lists_nor_counts_its_instances_has_none():
    """Also for a first round, whatever has taken both away."""
    world = World(*many(20))
    world.edits("1.2.7", series=None, numberOfSeries=None, numberOfInstances=None)
    assert world.audit() == {"1.2.7": Kind.SERIES}


def test_what_lists_do_not_show_is_found_by_a_deep_round():
    """A first round knows nothing of a description; a deep one reads all metadata."""
    world = World(*many(20), of(7, day="20240108", instance=2, t00081030="Thorax"))
    world.edits("1.2.7", description=None)
    assert world.audit() == {}
    assert world.audit(is_deep=True) == {"1.2.7": Kind.ELEMENT}


def test_each_study_is_read_once_in_a_hundred_rounds():
    """Whatever its list says: the metadata may have changed, and no list shows it."""
    world = World(*many(20))
    world.later(hours=1)
    read = 0
    for _ in range(100):
        world.audit()
        read += world.rounds.current().counts.read
        world.later(hours=1)
    assert read == 20


def test_rounds_that_do_not_go_through_all_studies_take_no_hundredth_away():
    """A round of one study after each round of all, and one that fails now and then: no study is passed over for that."""
    world = World(*many(20))
    world.later(hours=1)
    read = 0
    for number in range(100):
        if number % 7 == 0:
            world.ask()
            world.rounds.write(replace(world.rounds.current(), state=RoundState.RUNNING))
            world.rounds.cancel()
        world.audit()
        read += world.rounds.current().counts.read
        world.later(hours=1)
        world.audit(scope=OneStudy("1.2.1"))
        world.later(hours=1)
    assert read == 20


def test_many_rounds_of_some_studies_do_not_make_the_next_round_of_all_a_first_one(monkeypatch):
    """What FHIR has changed since the last round of all is still read."""
    monkeypatch.setattr("shared.sync.audit.begun.RECENT", 3)
    world = drifting()
    for _ in range(5):
        world.audit(scope=OneStudy("1.2.1"))
    world.edits("1.2.7", description=None)
    world.later(hours=1)
    assert world.audit() == {"1.2.7": Kind.ELEMENT}


@pytest.mark.parametrize("named", [30, 1], ids=["named", "more than are named"])
def test_a_study_that_was_put_off_is_read_by_the_next_round(monkeypatch, named):
    """Nobody has changed it in FHIR since the round that put it off began, and no list shows what differs."""
    monkeypatch.setattr("shared.model.audit.MAX_PUT_OFF", named)
    monkeypatch.setattr("shared.sync.audit.begun.MAX_PUT_OFF", named)
    world = drifting()
    world.stores(of(30, t00081030="Thorax"))
    world.sync()
    world.edits("1.2.7", description=None)
    world.edits("1.2.30", description=None)
    world.later(hours=1)
    with monkeypatch.context() as restless:
        restless.setattr(confirm, "MOST_NEW", -1)
        assert world.audit() == {}
        assert world.rounds.current().counts.put_off == 2
    world.later(hours=1)
    assert world.audit(scope=OneStudy("1.2.1")) == {}
    assert world.audit() == {"1.2.7": Kind.ELEMENT, "1.2.30": Kind.ELEMENT}


def test_a_clock_that_was_set_back_stops_no_round():
    """A round that began a year ahead does not keep the next one away, nor does it hide what FHIR has changed."""
    world = drifting()
    world.later(days=400)
    world.audit()
    world.later(days=-400)
    world.host()
    world.edits("1.2.7", description=None)
    world.later(days=1)
    assert world.ticks(1).started < world.rounds.held[1].started
    assert world.open() == {"1.2.7": Kind.ELEMENT}


def test_an_archive_that_tells_no_counts_is_compared_by_what_it_tells():
    """The computed attributes are optional."""
    world = drifting()
    world.list.tells_counts = False
    world.loses("1.2.3")
    assert world.audit() == {"1.2.3": Kind.MISSING}
    assert world.rounds.current().counts.read == 1


UNDATED = [
    ("none", None),
    ("no date", "yesterday"),
    ("no day", "20240230"),
    ("a date of before DICOM", "2024.05.06"),
]


@pytest.mark.parametrize("day", [one[1] for one in UNDATED], ids=[one[0] for one in UNDATED])
def test_studies_without_a_day_are_compared_too(day):
    """No window finds them: they are found among all, page by page, and from FHIR's side."""
    world = World(*many(5), of(6, day=day), of(7, day=day), page=3)
    assert world.audit() == {}
    assert world.rounds.current().counts.compared == 7
    world.loses("1.2.6")
    world.deletes("1.2.7")
    assert world.audit() == {"1.2.6": Kind.MISSING, "1.2.7": Kind.GONE}


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("day", ["00010101", "18500101", "20991231", "99991231"])
def test_the_first_and_the_last_date_are_compared_too(day, count):
    """Software writes them where it knows no date. A window of few studies may hold all dates."""
    world = World(*many(count), of(30, day=day), of(31, day=day), page=10)
    world.loses("1.2.30")
    world.deletes("1.2.31")
    assert world.audit() == {"1.2.30": Kind.MISSING, "1.2.31": Kind.GONE}


def test_a_list_that_gives_one_page_again_and_again_ends(monkeypatch):
    """A server that knows no offset: what has no date is named as not compared, and the rest of the round is done."""
    world = World(*many(7), of(8, day=None), page=3)
    listed = world.list.page

    def page(partition, offset, dates=None):
        world.later(seconds=1)
        return listed(partition, offset if dates else 0, dates)

    monkeypatch.setattr(world.list, "page", page)
    world.ask()
    for _ in range(100):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        world.later(seconds=61)
    assert world.rounds.current().state is RoundState.DONE
    (said,) = world.rounds.current().unknown
    assert said.startswith("studies without a StudyDate in DICOM are not compared")


def test_each_data_partition_is_compared():
    """The same UID in two of them is two studies; the empty default one is gone through as well."""
    entries = [replace(of(number), partition=name) for number in (1, 2) for name in ("north", "south")]
    world = World(*entries, partitions=("Microsoft.Default", "north", "south"))
    assert world.audit() == {}
    assert world.rounds.current().counts.compared == 4
    (lost,) = [one for one in world.fhir.resources if _is_of(one, f"{URL}/partitions/south", "1.2.1")]
    world.fhir.resources.remove(lost)
    world.archive.studies["1.2.2"] = [one for one in world.archive.studies["1.2.2"] if one.partition == "south"]
    world.audit()
    rows = {(row.partition, row.study_instance_uid): row.kind for _, row in world.differences.open(10)}
    assert rows == {("south", "1.2.1"): Kind.MISSING, ("north", "1.2.2"): Kind.GONE}


def test_a_data_partition_that_only_the_feed_names_is_not_left_out_in_silence(caplog):
    """The list of them is answered as if there were none, as by a gateway that does not know its path."""
    world = World(*many(3), *[replace(of(number), partition="north") for number in (4, 5)])
    world.ask()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    says = "the change feed names the data partition north, and the list of data partitions lacks it"
    assert (world.rounds.current().state, world.rounds.current().waiting_for) == (RoundState.QUEUED, says)
    world.later(hours=7)
    assert world.ticks().state is RoundState.FAILED
    assert f"audit failed: {says}" in caplog.text
    world.list.names.append("north")
    assert world.audit() == {}
    assert world.rounds.current().counts.compared == 5


def test_a_data_partition_that_is_no_longer_listed_ends_no_comparison(monkeypatch):
    """A wrong answer to the question which there are leaves none of them out: the round waits for a right one."""
    entries = [replace(of(number), partition=name) for number in (1, 2) for name in ("north", "south")]
    one_step_a_tick = replace(OPTIONS, audit=replace(OPTIONS.audit, requests_per_hour=10_000))
    world = World(*entries, partitions=("Microsoft.Default", "north", "south"), options=one_step_a_tick)

    def ticks():
        world.later(minutes=1)
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        return world.rounds.current()

    world.ask()
    while ticks().place.partition != "north":
        pass
    with monkeypatch.context() as wrong:
        wrong.setattr(world.list, "names", ["Microsoft.Default"])
        for _ in range(30):
            current = ticks()
    assert (current.is_under_way, current.place.partition) == (True, "north")
    assert current.waiting_for == "the list of data partitions lacks north, in which the round is"
    world.ticks()
    assert (world.rounds.current().state, world.rounds.current().counts.compared) == (RoundState.DONE, 4)


def test_a_round_of_some_days_goes_through_each_data_partition():
    """And through those days only. The partition that comes first in the alphabet may well be an empty one."""
    world = World(*[replace(of(number), partition=name) for number in (1, 2) for name in ("north", "south")],
                  *[replace(of(3, day="20240601"), partition="south")], partitions=("Microsoft.Default", "north", "south"))  # fmt: skip
    for one in [one for one in world.fhir.resources if one["resourceType"] == "ImagingStudy"]:
        if _is_of(one, f"{URL}/partitions/south", "1.2.1") or _is_of(one, f"{URL}/partitions/south", "1.2.3"):
            world.fhir.resources.remove(one)
    assert world.audit(scope=Dates(date(2024, 5, 1), date(2024, 5, 31))) == {"1.2.1": Kind.MISSING}
    assert world.rounds.current().counts.compared == 4


def _is_of(resource, system, uid):
    names = [(one.get("system"), one["value"]) for one in resource.get("identifier", ())]
    return resource["resourceType"] == "ImagingStudy" and (system, f"urn:oid:{uid}") in names


@pytest.mark.parametrize("page", [1, 3, 7, 50])
def test_windows_are_halved_until_they_fit_a_page_and_nothing_is_passed_by(page):
    """Each study is compared once, whatever a page holds, and days on which there are more than fit."""
    world = World(*many(60), *[of(100 + number) for number in range(12)], page=page)
    world.audit()
    assert world.rounds.current().counts.compared == 72
    lost = ["1.2.1", "1.2.44", "1.2.105"]
    for uid in lost:
        world.loses(uid)
    world.deletes("1.2.111")
    assert world.audit() == dict.fromkeys(lost, Kind.MISSING) | {"1.2.111": Kind.GONE}


def test_a_day_whose_rows_move_while_it_is_read_is_read_again(monkeypatch):
    """A study that comes meanwhile shifts them: a page repeats a study, and another study has been passed by."""
    world = World(*[of(number) for number in range(1, 10)], page=4)
    listed, read = world.list.page, []

    def page(partition, offset, dates=None):
        found, is_more = listed(partition, offset, dates)
        if dates and dates[0] == dates[1] and offset == 4 and not read:
            read.append(found[-1].study_instance_uid)
            repeated, _ = listed(partition, 0, dates)
            return [*found[:-1], repeated[-1]], is_more
        return found, is_more

    monkeypatch.setattr(world.list, "page", page)
    world.audit()
    assert read
    assert world.rounds.current().counts.compared == 9


DAY = date(2024, 5, 6)


@pytest.fixture
def slow(monkeypatch):
    """60 studies of one day, in pages of five; each request takes a second, and is worth two. `asked`: the offsets."""
    monkeypatch.setattr(chunk, "AT_ONCE", 5)
    pace = replace(OPTIONS.audit, requests_per_hour=1_800)
    world = World(*[of(number) for number in range(1, 61)], page=5, options=replace(OPTIONS, audit=pace))
    world.fhir.page_size = 5
    world.loses("1.2.59")
    world.deletes("1.2.60")
    world.asked = []
    listed, searched, paged = world.list.page, world.fhir.search_many, world.fhir.pages

    def page(partition, offset, dates=None):
        world.asked.append(offset)
        world.later(seconds=1)
        return listed(partition, offset, dates)

    def search_many(searches):
        world.later(seconds=1)
        return searched(searches)

    def pages(*asked):
        for one in paged(*asked):
            world.later(seconds=1)
            world.fhir.calls += 1
            yield one

    monkeypatch.setattr(world.list, "page", page)
    monkeypatch.setattr(world.fhir, "search_many", search_many)
    monkeypatch.setattr(world.fhir, "pages", pages)
    return world


def steps(world, most=1000):
    """One after the other, as often as ticks come; gives how many seconds each took."""
    for _ in range(most):
        began = world.clock.at
        run_audit(world.ports, world.options, began + timedelta(seconds=10))
        yield (world.clock.at - began).total_seconds()
        if not world.rounds.current().is_under_way:
            return
        world.later(seconds=5)
    raise AssertionError(world.rounds.current())


def test_a_day_of_many_pages_keeps_the_feed_waiting_no_longer_than_a_step(slow):
    """It is read in parts, each page once, and at the pace that is set."""
    slow.ask(scope=Dates(DAY, DAY))
    began = slow.clock.at
    assert max(steps(slow)) <= 7, "as long as a step, and what finds out that the day has many pages"
    done = slow.rounds.current()
    assert (done.state, done.counts.compared) == (RoundState.DONE, 60)
    assert slow.open() == {"1.2.59": Kind.MISSING, "1.2.60": Kind.GONE}
    assert slow.asked == [0, *range(0, 60, 5)]
    assert (slow.clock.at - began).total_seconds() >= 2 * done.counts.requests - 20


def test_a_round_finds_its_first_window_in_several_steps(slow):
    """From all days that DICOM can state down to one day there are two dozen halves, each of them a request."""
    slow.ask()
    assert max(steps(slow)) <= 10, "five pages of the list of all studies are one step"
    assert slow.open() == {"1.2.59": Kind.MISSING, "1.2.60": Kind.GONE}
    assert slow.rounds.current().counts.compared == 60


def test_a_day_of_many_pages_goes_on_where_a_fault_met_it(slow, monkeypatch):
    """Of hundreds of requests one may always fail: if all were made again, the day would never be read to its end."""
    listed, searched = slow.list.page, slow.fhir.search_many
    faults = {1: OutageError("DICOM service", "503"), 4: FeedError("no JSON"), 9: TransientError("cut off")}

    def page(partition, offset, dates=None):
        if len(slow.asked) in faults:
            raise faults.pop(len(slow.asked))
        return listed(partition, offset, dates)

    def search_many(searches):
        if len(slow.asked) > 12 and not faults:
            faults[0] = None
            raise TransientError("late")
        return searched(searches)

    monkeypatch.setattr(slow.list, "page", page)
    monkeypatch.setattr(slow.fhir, "search_many", search_many)
    slow.ask(scope=Dates(DAY, DAY))
    list(steps(slow))
    assert faults == {0: None}
    assert slow.asked == [0, *range(0, 60, 5)]
    assert slow.open() == {"1.2.59": Kind.MISSING, "1.2.60": Kind.GONE}


def test_a_host_that_takes_over_reads_a_day_of_many_pages_anew(slow):
    """Nothing of it is stored before it is compared, and nothing is counted twice."""
    slow.ask(scope=Dates(DAY, DAY))
    for number, _ in enumerate(steps(slow)):
        if number in (3, 10):
            slow.host()
    assert slow.asked.count(0) > 2
    assert (slow.rounds.current().state, slow.rounds.current().counts.compared) == (RoundState.DONE, 60)


def test_a_day_of_many_pages_that_cannot_be_read_is_passed_by(slow, monkeypatch):
    """Though all pages before the one that cannot be read were read."""
    listed = slow.list.page

    def page(partition, offset, dates=None):
        if offset == 30 and dates and dates[0] == DAY:
            raise FeedError("no JSON")
        return listed(partition, offset, dates)

    monkeypatch.setattr(slow.list, "page", page)
    slow.ask()
    list(steps(slow))
    done = slow.rounds.current()
    assert (done.state, done.passed_by, done.unknown[0]) == (
        RoundState.DONE, 1, f"studies of {DAY} are not compared: no JSON",
    )  # fmt: skip


def test_a_round_of_some_days_and_one_of_a_study():
    """Nothing else is compared."""
    world = World(*many(40))
    for number in (3, 4, 5):
        world.loses(f"1.2.{number}")
    assert world.audit(scope=OneStudy("1.2.3")) == {"1.2.3": Kind.MISSING}
    assert world.rounds.current().counts.compared == 1
    assert set(world.audit(scope=Dates(date(2024, 1, 5), date(2024, 1, 5)))) == {"1.2.3", "1.2.4"}
    assert world.rounds.current().counts.compared == 1
    assert set(world.audit()) == {"1.2.3", "1.2.4", "1.2.5"}


def test_a_row_is_closed_once_the_study_differs_no_more(world):
    """By the round that finds it so, also where nothing makes it look at the study: it goes through its own rows."""
    lost = world.study("1.2.7")
    world.loses("1.2.7")
    assert world.audit() == {"1.2.7": Kind.MISSING}
    world.later(hours=1)
    world.fhir.resources.append(lost)
    assert world.audit() == {}
    (row,) = world.differences.rows.values()
    assert row.resolved_at
    assert not row.is_healed
    world.later(days=91)
    world.audit()
    assert world.differences.rows == {}


def test_a_dry_run_heals_nothing():
    """Whatever the setting says."""
    world = drifting(HEALING)
    world.loses("1.2.7")
    assert world.audit(dry_run=True) == {"1.2.7": Kind.MISSING}
    assert world.study("1.2.7") is None


def unsynced(world):
    world.stores(of(30, t00100020=None))
    world.sync()


def new_in_the_feed(world):
    world.stores(of(30))


def carried(world):
    world.fhir.faults = [TransientError("503")] * 20
    world.stores(of(30))
    world.sync()
    world.fhir.faults = []


def refused(world):
    world.stores(of(30))
    world.sync()
    world.loses("1.2.30")
    failure = FailedEntry(ErrorTable.FHIR, 22, "1.2.30", "1.2.30.1", "1.2.30.1.1", "FhirRefusedError", "422")
    world.errors.record([failure])


def counted_only(world):
    world.stores(of(30))
    world.sync()
    study = world.study("1.2.30")
    (series,) = study["series"]
    counted = {name: value for name, value in series.items() if name != "instance"}
    world.edits("1.2.30", series=[counted])
    failure = FailedEntry(ErrorTable.INVALID_TAG, 22, "1.2.30", "1.2.30.1", "1.2.30.1.1", "StudyTooLargeError", "413")
    world.errors.record([failure])


def in_a_hole(world):
    """An entry that came behind later ones: the study is in the archive, and its entry is in the feed since now."""
    world.stores(of(30))
    world.ports.watermarks.stored = replace(
        world.ports.watermarks.stored, read_through=replace(world.ports.watermarks.stored.read_through, sequence=22),
        holes=[Hole(22, 22, "")],
    )  # fmt: skip


def of_another_system(world):
    study = {
        "resourceType": "ImagingStudy", "id": "99", "meta": {"versionId": "1", "source": "https://other.example.org"},
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.30"}], "started": "2024-05-06",
        "subject": {"reference": "Patient/1"}, "status": "available",
    }  # fmt: skip
    assert not is_ours(study, URL)
    world.fhir.resources.append(study)


NO_DRIFT = [
    ("a study without PatientID", unsynced, "read"),
    ("a study that is new in the feed", new_in_the_feed, "put_off"),
    ("a study that is carried", carried, "put_off"),
    ("an entry that fills a hole", in_a_hole, "put_off"),
    ("a study that FHIR refuses", refused, "known"),
    ("a study whose instances are counted only", counted_only, "known"),
    ("a study of another system", of_another_system, None),
]


@pytest.mark.parametrize(("plant", "counted"), [one[1:] for one in NO_DRIFT], ids=[one[0] for one in NO_DRIFT])
def test_what_is_known_or_on_its_way_is_no_drift(plant, counted, monkeypatch):
    """It is counted, and becomes no row."""
    world = drifting(HEALING)
    plant(world)
    written = writes(world)
    assert world.audit() == {}
    assert world.differences.rows == {}
    counts = world.rounds.current().counts
    assert (counts.differed, writes(world)) == (0, written)
    assert counted is None or getattr(counts, counted) >= 1


@pytest.mark.parametrize("plant", [refused, counted_only], ids=["refused", "counted only"])
@pytest.mark.parametrize(
    ("drift", "kind"),
    [(lambda world: world.deletes("1.2.30"), Kind.GONE), (lambda world: world.loses("1.2.30"), Kind.MISSING)],
    ids=["gone", "missing"],
)
def test_an_open_row_hides_no_difference_that_it_does_not_tell(plant, drift, kind):
    """A refusal says why FHIR lacks the study, a count of instances does not; neither says that the archive lacks it."""
    world = drifting()
    plant(world)
    if plant is refused:
        world.stores(of(30))
        world.sync()
        world.errors.record(
            [FailedEntry(ErrorTable.FHIR, 23, "1.2.30", "1.2.30.1", "1.2.30.1.1", "FhirRefusedError", "422")]
        )
    drift(world)
    assert world.audit() == ({} if (plant, kind) == (refused, Kind.MISSING) else {"1.2.30": kind})


def test_a_delete_that_fhir_refuses_is_known():
    """The row for it says so."""
    world = drifting()
    world.deletes("1.2.7")
    world.errors.record([FailedEntry(ErrorTable.FHIR, 7, "1.2.7", "", "", "DeleteRefusedError", "409")])
    assert world.audit() == {}
    assert world.rounds.current().counts.known == 1


def test_more_that_is_new_than_is_read_puts_a_study_off(monkeypatch):
    """It may be among it."""
    world = drifting()
    world.loses("1.2.7")
    world.stores(*[of(30 + number) for number in range(5)])
    monkeypatch.setattr(confirm, "MOST_NEW", 4)
    assert world.audit() == {}
    monkeypatch.setattr(confirm, "MOST_NEW", 5)
    assert world.audit() == {"1.2.7": Kind.MISSING}


def test_a_study_that_settles_is_put_off_and_puts_no_other_off(monkeypatch):
    """However many entries came behind its own: what settles is in memory, and the feed is read from there on."""
    options = replace(OPTIONS, settle_seconds=600)
    world = drifting(options)
    world.stores(of(30, day="20240108"))
    world.sync()
    world.stores(of(30, day="20240108", instance=2), *[of(31 + number) for number in range(5)])
    world.sync()
    assert len(world.ports.settling.entries) == 1
    world.loses("1.2.7")
    monkeypatch.setattr(confirm, "MOST_NEW", 4)
    assert world.audit() == {"1.2.7": Kind.MISSING}
    assert world.rounds.current().counts.put_off == 1
    world.host()
    world.later(hours=1)
    assert world.audit() == {"1.2.7": Kind.MISSING}


def breaks_off(world, monkeypatch, times):
    """The archive's account of the study ends early so many times, in a way that nobody can tell."""
    whole, left = world.archive.instances, [times]

    def instances(uid, partition, series=None):
        found = list(whole(uid, partition, series))
        if uid == "1.2.7" and left[0]:
            left[0] -= 1
            return iter(found[:1])
        return iter(found)

    monkeypatch.setattr(world.archive, "instances", instances)


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_breaks_off_takes_nothing_out(monkeypatch, times):
    """The list of instances disagrees, or the second reading does."""
    world = drifting(HEALING)
    breaks_off(world, monkeypatch, times)
    assert world.audit(is_deep=True) == {}
    assert len(world.study("1.2.7")["series"][0]["instance"]) == 2


@pytest.mark.parametrize("plant", [
    lambda world: world.list.hidden.update(world.archive.studies),
    lambda world: setattr(world.list, "_listed", lambda uid, partition: None),
], ids=["no study is listed", "the lists are empty"])  # fmt: skip
def test_a_list_that_lags_behind_deletes_nothing(plant):
    """Only the 404 of the study's own metadata says that it is gone."""
    world = drifting(healing(max_deletes=1000, delete_after_seconds=0))
    plant(world)
    for _ in range(3):
        assert world.audit() == {}
        world.later(days=2)
    assert len(world.fhir.found("ImagingStudy", f"_source={URL}")) == 20


def test_an_archive_that_answers_nothing_but_200_deletes_nothing(monkeypatch):
    """An empty list of metadata is no 404."""
    world = drifting(healing(max_deletes=1000, delete_after_seconds=0))
    monkeypatch.setattr(world.archive, "instances", lambda *_: iter(()))
    monkeypatch.setattr(world.list, "is_absent", lambda *_: False)
    for _ in range(3):
        assert world.audit(is_deep=True) == {}
        assert world.rounds.current().counts.put_off == 20
        world.later(days=2)


def test_an_emptied_archive_deletes_nothing_and_waits_for_a_person():
    """Each study is gone twice, a day apart; that all of them are is more than one in a hundred."""
    world = drifting(HEALING)
    world.archive.studies.clear()
    world.audit()
    assert world.rounds.current().state is RoundState.DONE
    world.later(**LATER)
    assert len(world.audit()) == 20
    current = world.rounds.current()
    assert (current.state, current.deletes_waiting, current.counts.deleted) == (RoundState.STOPPED, 20, 0)
    assert len(world.fhir.found("ImagingStudy", f"_source={URL}")) == 20


def test_a_person_s_word_deletes_what_was_told_and_no_more():
    """What has come back since is left alone, as is what others made their own."""
    world = drifting(HEALING)
    kept = world.archive.studies["1.2.5"]
    world.archive.studies.clear()
    world.audit()
    world.later(**LATER)
    world.audit()
    world.archive.studies["1.2.5"] = kept
    assert world.rounds.confirm("another") is None
    assert world.rounds.confirm(world.rounds.current().id)
    assert world.ticks().state is RoundState.DONE
    assert world.rounds.current().counts.deleted == 19
    assert [one["identifier"][0]["value"] for one in world.fhir.found("ImagingStudy", f"_source={URL}")] == [
        "urn:oid:1.2.5"
    ]


def test_a_person_has_a_day_to_confirm_the_deletes_of_a_round_however_long_it_was():
    """One that takes two days is not followed at once by the next, which would take its place."""
    world = drifting(HEALING)
    world.archive.studies.clear()
    world.audit(dry_run=True)
    world.options = healing(requests_per_hour=2)
    world.later(**LATER)
    for _ in range(3_000):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        world.later(minutes=10)
        if world.rounds.current().state is RoundState.STOPPED:
            break
    stopped = world.rounds.current()
    assert world.clock.at - stopped.started > timedelta(days=1)
    world.later(hours=23)
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.rounds.confirm(stopped.id)
    world.rounds.write(stopped)
    world.later(hours=2)
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.rounds.current().id != stopped.id


@pytest.mark.parametrize(("gone", "max_deletes", "deleted"), [(1, 10, 1), (3, 10, 3), (4, 10, 0), (3, 2, 0), (1, 0, 0)])
def test_a_round_deletes_one_in_a_hundred_and_no_more_than_the_setting(gone, max_deletes, deleted):
    """All that was absent, or none of it: of what is half right a person knows which half."""
    world = World(*many(300), options=healing(max_deletes=max_deletes))
    for number in range(gone):
        world.deletes(f"1.2.{number + 1}")
    world.audit()
    assert len(world.fhir.found("ImagingStudy", f"_source={URL}")) == 300
    world.later(**LATER)
    world.audit()
    assert len(world.fhir.found("ImagingStudy", f"_source={URL}")) == 300 - deleted
    current = world.rounds.current()
    assert (current.counts.deleted, current.deletes_waiting) == (deleted, 0 if deleted else gone)


def test_a_study_must_be_absent_twice_and_for_long():
    """Two rounds in one hour are not enough; one that came back in between begins anew."""
    world = World(*many(200), options=HEALING)
    held = world.archive.studies["1.2.7"]
    world.deletes("1.2.7")
    for _ in range(3):
        assert world.audit() == {"1.2.7": Kind.GONE}
        world.later(hours=1)
    world.archive.studies["1.2.7"] = held
    assert world.audit() == {}
    world.later(**LATER)
    world.deletes("1.2.7")
    assert world.audit() == {"1.2.7": Kind.GONE}
    assert world.study("1.2.7")
    world.later(**LATER)
    assert world.audit() == {}
    assert world.study("1.2.7") is None


@pytest.mark.parametrize(("others", "says"), [
    ({}, "DELETE ImagingStudy"),
    ({"location": {"display": "Room 7"}}, "ImagingStudy.series, ImagingStudy.started, ImagingStudy.status"),
    ({"meta": {"versionId": "9"}}, "ImagingStudy.series"),
], ids=["it is the app's alone", "others have put something on it", "others have made it"])  # fmt: skip
def test_a_study_that_the_archive_has_is_never_deleted_as_a_whole(others, says):
    """Its instances were renumbered in the archive, and have lost their PatientID: none can be synced. A person decides.

    Nor is it emptied, as a deleted study is of which others have made something their own.
    """
    world = drifting(HEALING)
    world.edits("1.2.7", **others)
    world.archive.studies["1.2.7"] = [of(7, day="20240108", instance=9, series=9, t00100020=None)]
    for _ in range(3):
        assert world.audit() == {"1.2.7": Kind.SERIES}
        assert world.study("1.2.7")["series"]
        world.later(days=2)
    ((_, row),) = world.differences.open(10)
    assert (says in row.says, row.rounds) == (True, 3)
    assert "would delete it" in row.failure


@pytest.mark.parametrize("listed", [{"1.2.30.1"}, set()], ids=["one of two", "none"])
def test_a_list_of_series_that_lags_behind_takes_none_out_of_a_study_that_is_only_counted(monkeypatch, listed):
    """Its instances are counted by a search, and their metadata says which series there are: they must agree."""
    world = World(*many(20), *[of(30, series=series, instance=number) for series in (1, 2) for number in range(4)],
                  options=replace(HEALING, mapping=replace(HEALING.mapping, max_instances=3)))  # fmt: skip
    counts = world.archive.counts
    with monkeypatch.context() as lagging:
        lagging.setattr(
            world.archive, "counts", lambda *place: {uid: of for uid, of in counts(*place).items() if uid in listed}
        )
        world.later(hours=1)
        assert world.audit(is_deep=True) == {}
        assert world.rounds.current().counts.put_off == 1
    assert [one["numberOfInstances"] for one in world.study("1.2.30")["series"]] == [4, 4]
    world.later(hours=1)
    assert world.audit() == {}
    assert world.rounds.current().counts.put_off == 0


def test_the_double_of_a_study_is_deleted():
    """Another host made it. The other one stays, and has all that it lists."""
    world = drifting(HEALING)
    double = {**world.study("1.2.7"), "id": "999"}
    world.fhir.resources.append(double)
    assert world.audit() == {}
    (row,) = world.differences.rows.values()
    assert (row.kind, row.says, row.is_healed) == (Kind.RESOURCE, "DELETE ImagingStudy", True)
    assert world.study("1.2.7")
    assert len(world.fhir.found("ImagingStudy", f"_source={URL}")) == 20


def test_another_difference_in_the_round_before_is_no_absence():
    """Nor is one that no round has healed: a study of which FHIR says something else, and that is gone the next day."""
    world = World(*many(200), options=healing(delete_after_seconds=0))
    world.edits("1.2.7", subject={"reference": "Patient/1"})
    assert world.audit(dry_run=True) == {"1.2.7": Kind.PATIENT}
    world.deletes("1.2.7")
    world.later(minutes=1)
    assert world.audit() == {"1.2.7": Kind.GONE}
    assert world.study("1.2.7")
    world.later(minutes=1)
    assert world.audit() == {}
    assert world.study("1.2.7") is None


def test_an_archive_that_answered_otherwise_in_between_begins_the_absence_anew(monkeypatch):
    """404 in one round, an empty list in the next, which puts the study off, and 404 again."""
    world = World(*many(200), options=HEALING)
    world.deletes("1.2.7")
    assert world.audit() == {"1.2.7": Kind.GONE}
    world.later(**LATER)
    with monkeypatch.context() as otherwise:
        otherwise.setattr(world.list, "is_absent", lambda *_: False)
        assert world.audit() == {"1.2.7": Kind.GONE}
    world.later(**LATER)
    assert world.audit() == {"1.2.7": Kind.GONE}
    assert world.study("1.2.7")
    world.later(**LATER)
    assert world.audit() == {}
    assert world.study("1.2.7") is None


def without_series(world):
    world.stores(of(30))
    world.sync()
    world.edits("1.2.30", series=None, numberOfSeries=None, numberOfInstances=None)


def with_series(world):
    world.stores(of(30))
    world.sync()


@pytest.mark.parametrize("plant", [with_series, without_series, counted_only], ids=lambda plant: plant.__name__)
def test_a_study_that_a_search_of_the_archive_finds_is_not_deleted(monkeypatch, plant):
    """Its metadata is answered 404, as behind a gateway or with a broken store. The row says so, and a person decides."""
    world = World(*many(200), options=HEALING)
    plant(world)
    whole = world.archive.instances
    monkeypatch.setattr(world.archive, "instances", lambda uid, *rest: () if uid == "1.2.30" else whole(uid, *rest))
    world.later(hours=1)
    for _ in range(3):
        world.audit()
        world.later(days=2)
    assert world.study("1.2.30")["status"] == "available"
    ((_, row),) = world.differences.open(10)
    assert (row.kind, "a search of it finds the study" in row.failure) == (Kind.GONE, True)


NOTHING_SYNCED = [of(30, instance=9, series=9, t00100020=None)]
"""What the archive has of the study is under other UIDs, and cannot be synced."""


@pytest.mark.parametrize("plant", [with_series, counted_only], ids=lambda plant: plant.__name__)
@pytest.mark.parametrize(
    ("third", "says"), [((), "no instance"), (NOTHING_SYNCED, "can be synced")], ids=["absent", "nothing to sync"]
)
def test_a_study_that_is_absent_only_when_it_is_healed_is_not_deleted(monkeypatch, plant, third, says):
    """It was compared twice with what the archive has; one other answer behind that is no absence in two rounds."""
    world = World(*many(200), options=HEALING)
    plant(world)
    world.edits("1.2.30", subject={"reference": "Patient/1"})
    whole, readings = world.archive.instances, []

    def instances(uid, partition, series=None):
        readings.extend([uid] if uid == "1.2.30" and series is None else [])
        return iter(third) if len(readings) > 2 and uid == "1.2.30" else whole(uid, partition, series)

    world.later(hours=1)
    with monkeypatch.context() as absent:
        absent.setattr(world.archive, "instances", instances)
        assert world.audit() == {"1.2.30": Kind.PATIENT}
    assert world.study("1.2.30")["status"] == "available"
    ((_, row),) = world.differences.open(10)
    assert says in row.failure
    assert world.audit() == {}
    assert world.rounds.current().counts.healed == 1


def test_a_delete_that_fails_is_not_tried_again_by_the_same_round(monkeypatch):
    """Also if the setting has deletes follow at once, and one takes longer than a step."""
    world = World(*many(200), options=healing(delete_after_seconds=0))
    world.deletes("1.2.7", "1.2.8")
    world.audit()
    world.later(minutes=1)
    tried = []

    def refused(ports, options, study, most, **_):
        tried.append(study)
        world.later(seconds=4)
        return "the server refuses it"

    monkeypatch.setattr("shared.sync.audit.round.heal", refused)
    assert set(world.audit()) == {"1.2.7", "1.2.8"}
    assert len(tried) == len(set(tried)) == 2
    assert world.rounds.current().counts.not_healed == 2


def test_deletes_that_were_not_counted_do_not_let_a_round_delete_more(monkeypatch):
    """A host is killed behind its deletes, and the next comes hours later, when more studies were absent for long."""
    world = World(*many(200), options=healing(max_deletes=2))
    world.deletes("1.2.1", "1.2.2")
    world.audit()
    world.later(hours=2)
    world.deletes("1.2.3", "1.2.4")
    world.audit(scope=Dates(date(2024, 1, 1), date(2024, 1, 31)))
    world.later(hours=23)
    written, kills = world.rounds.write, [1]

    def write(round_):
        if round_.counts.deleted and kills:
            kills.pop()
            world.later(hours=3)
            raise OutageError("storage", "503")
        return written(round_)

    monkeypatch.setattr(world.rounds, "write", write)
    world.ask()
    with pytest.raises(OutageError):
        world.ticks()
    world.host()
    assert world.ticks().state is RoundState.DONE
    assert set(world.open()) == {"1.2.3", "1.2.4"}


def test_what_cannot_be_healed_says_why_and_is_tried_by_the_next_round(monkeypatch):
    """The row stays open."""
    world = drifting(HEALING)
    world.loses("1.2.7")
    world.fhir.faults = [TransientError("the server is restarting")] * 50
    assert world.audit() == {"1.2.7": Kind.MISSING}
    ((_, row),) = world.differences.open(10)
    assert "restarting" in row.failure
    assert world.rounds.current().counts.not_healed == 1
    world.fhir.faults = []
    world.later(hours=1)
    assert world.audit() == {}


def test_what_does_not_stay_healed_is_not_written_each_day(monkeypatch):
    """A server that drops an element, or another system that changes it back: the second round after it says so."""
    world = drifting(HEALING)
    applied = world.fhir._apply

    def dropping(*asked):
        written = applied(*asked)
        if world.study("1.2.7"):
            world.study("1.2.7").pop("description", None)
        return written

    monkeypatch.setattr(world.fhir, "_apply", dropping)
    world.edits("1.2.7", description=None)
    world.later(hours=1)
    assert world.audit() == {}
    written = writes(world)
    for rounds in (1, 2, 3):
        world.later(days=1)
        assert world.audit() == {"1.2.7": Kind.ELEMENT}
        ((_, row),) = world.differences.open(10)
        assert (row.rounds, writes(world)) == (rounds, written)
        assert "differs in the same way again" in row.failure
    monkeypatch.setattr(world.fhir, "_apply", applied)
    world.edits("1.2.7", numberOfInstances=9)
    world.later(days=1)
    assert world.audit() == {}
    assert writes(world) == written + 1
    world.later(days=30)
    world.edits("1.2.8", numberOfInstances=9)
    assert world.audit() == {}
    world.later(days=1)
    assert world.audit() == {}
    world.later(days=30)
    world.edits("1.2.8", numberOfInstances=9)
    assert world.audit() == {}


def test_a_study_that_takes_long_to_read_is_healed_too(monkeypatch):
    """Longer than a step: its time counts from when it is read."""
    world = drifting(HEALING)
    whole = world.archive.instances

    def slow(*asked):
        world.later(seconds=7)
        return whole(*asked)

    monkeypatch.setattr(world.archive, "instances", slow)
    world.loses("1.2.7")
    assert world.audit() == {}
    assert world.study("1.2.7")


def test_a_host_that_is_killed_at_any_step_leaves_nothing_out_and_counts_nothing_twice():
    """The next one remembers nothing but the round's row."""
    found = {}
    one_step_at_once = replace(OPTIONS.audit, requests_per_hour=3600)
    for killed in (False, True):
        world = World(*many(60), page=10, options=replace(OPTIONS, audit=one_step_at_once))
        for number in (2, 30, 31, 59):
            world.loses(f"1.2.{number}")
        world.deletes("1.2.40")
        world.ask()
        for _ in range(400):
            run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
            world.later(minutes=2)
            if killed:
                world.host()
            if not world.rounds.current().is_under_way:
                break
        counts = world.rounds.current().counts
        found[killed] = (world.open(), counts.compared, counts.differed)
    assert found[False] == found[True]
    assert found[True][1:] == (60, 5)


def test_a_round_goes_on_within_a_window_after_a_kill(monkeypatch):
    """Suspects that were looked at are not looked at again, however little time a host has."""
    world = World(*many(12))
    looked = []
    confirmed = confirm.confirm

    def slow(ports, studies, options, study):
        looked.append(study)
        world.later(seconds=4)
        return confirmed(ports, studies, options, study)

    monkeypatch.setattr("shared.sync.audit.round.confirm", slow)
    world.ask(is_deep=True)
    for _ in range(100):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=1))
        world.later(seconds=11)
        world.host()
        if not world.rounds.current().is_under_way:
            break
    assert len(looked) == len(set(looked)) == 12
    assert world.rounds.current().counts.compared == 12


@pytest.mark.parametrize("refused", [("_source",), ("_tag",), ("_source", "_tag")], ids="+".join)
def test_a_server_that_cannot_search_by_sign_is_told(refused):
    """What FHIR lacks is found there all the same; what DICOM has no more cannot be told where neither is taken."""
    world = drifting()
    world.fhir.refused = set(refused)
    world.loses("1.2.6")
    world.deletes("1.2.7")
    found = world.audit()
    is_told = len(refused) == 2
    assert found == {"1.2.6": Kind.MISSING} | ({} if is_told else {"1.2.7": Kind.GONE})
    assert [("cannot be told" in said) for said in world.rounds.current().unknown] == [True] * is_told


def test_studies_without_date_of_a_server_that_does_not_search_for_them_are_told():
    """By `:missing`, which a server need not know."""
    world = World(*many(5), of(7, day=None))
    world.fhir.refused = {"started:missing"}
    world.deletes("1.2.7")
    assert world.audit() == {}
    (said,) = world.rounds.current().unknown
    assert "without a date" in said


def test_a_server_whose_pages_cannot_be_followed_is_asked_for_less_at_once(monkeypatch):
    """Of a window of days: it is halved."""
    world = World(*many(60))
    monkeypatch.setattr("shared.sync.audit.made_by_us._FEW_PAGES", 1)
    world.fhir.page_size = 7
    world.deletes("1.2.40")
    assert world.audit() == {"1.2.40": Kind.GONE}
    assert world.rounds.current().unknown == ()


def test_one_round_a_day_begins_by_itself_the_first_after_an_hour():
    """The clock, not the ticks, decides; a person's round of some days is no round of all."""
    world = World(*many(3))

    def tick(**passed):
        world.later(**passed)
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        return len(world.rounds.held), world.rounds.current().state if world.rounds.held else None

    assert tick() == (1, RoundState.QUEUED)
    assert tick(minutes=59) == (1, RoundState.QUEUED)
    assert tick(minutes=2) == (1, RoundState.DONE)
    assert tick(hours=23) == (1, RoundState.DONE)
    world.ask(scope=OneStudy("1.2.1"))
    assert tick(minutes=1) == (2, RoundState.DONE)
    assert tick(hours=2) == (3, RoundState.DONE)


def test_a_person_s_round_does_not_wait_for_the_first_by_itself():
    """It takes its place."""
    world = World(*many(3))
    run_audit(world.ports, world.options, world.clock.at)
    world.later(minutes=1)
    assert world.audit() == {}
    assert len(world.rounds.held) == 1


def test_off_begins_no_round_and_a_person_may():
    """What it finds is told."""
    world = World(*many(3), options=replace(OPTIONS, audit=replace(OPTIONS.audit, mode=AuditMode.OFF)))
    run_audit(world.ports, world.options, world.clock.at)
    world.later(days=2)
    run_audit(world.ports, world.options, world.clock.at)
    assert world.rounds.held == []
    world.loses("1.2.1")
    assert world.audit() == {"1.2.1": Kind.MISSING}
    assert world.study("1.2.1") is None


def test_off_ends_what_began_by_itself_and_keeps_what_waits_from_beginning():
    """Also if the setting is changed while the first round waits for its hour, or while one is under way."""
    off = replace(OPTIONS, audit=replace(OPTIONS.audit, mode=AuditMode.OFF))
    world = World(*many(40), page=10)
    run_audit(world.ports, world.options, world.clock.at)
    world.later(hours=2)
    run_audit(world.ports, off, world.clock.at + timedelta(seconds=10))
    assert (world.rounds.current().state, world.rounds.current().is_waiting) == (RoundState.QUEUED, True)
    world.later(minutes=1)
    run_audit(world.ports, world.options, world.clock.at)
    world.later(minutes=1)
    run_audit(
        world.ports,
        replace(OPTIONS, audit=replace(OPTIONS.audit, requests_per_hour=60)),
        world.clock.at + timedelta(seconds=10),
    )
    assert world.rounds.current().state is RoundState.RUNNING
    world.host()
    world.later(minutes=1)
    run_audit(world.ports, off, world.clock.at + timedelta(seconds=10))
    assert world.rounds.current().state is RoundState.CANCELLED
    world.loses("1.2.7")
    world.options = off
    assert world.audit() == {"1.2.7": Kind.MISSING}


def test_a_person_s_round_does_not_take_the_place_of_one_that_has_begun_by_itself():
    """The first one neither: it is under way."""
    world = World(*many(40), page=10, options=replace(OPTIONS, audit=replace(OPTIONS.audit, requests_per_hour=60)))
    run_audit(world.ports, world.options, world.clock.at)
    world.later(hours=2)
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.rounds.current().state is RoundState.RUNNING
    with pytest.raises(RoundUnderWayError):
        world.ask()


def test_it_rests_as_long_as_its_requests_are_worth():
    """An hour for as many as the setting says."""
    world = World(*many(40), options=replace(OPTIONS, audit=replace(OPTIONS.audit, requests_per_hour=360)), page=10)
    began = world.clock.at
    world.audit()
    took = (world.clock.at - began).total_seconds()
    assert took == pytest.approx(world.rounds.current().counts.requests * 10, rel=0.3)


def test_what_fails_costs_requests_too(monkeypatch):
    """A place that cannot be read after a hundred requests is not asked for a hundred times in each minute."""
    world = World(*many(40), options=replace(OPTIONS, audit=replace(OPTIONS.audit, requests_per_hour=100)))

    def page(*_):
        world.list.calls += 100
        raise FeedError("no DICOM JSON")

    monkeypatch.setattr(world.list, "page", page)
    world.ask()
    for _ in range(180):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        world.later(minutes=1)
    assert world.rounds.current().counts.requests <= 303
    assert world.list.calls <= 303


def test_what_is_new_in_the_feed_goes_first(monkeypatch):
    """Behind a backlog the audit waits, and is there with the first tick that has read it; else one step is done."""
    world = World(*many(40), page=10)
    world.stores(*[of(100 + number) for number in range(3)])
    monkeypatch.setattr(audit, "MOST_UNREAD", 2)
    world.ask()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.rounds.current().state is RoundState.QUEUED
    world.sync()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.rounds.current().counts.compared == 43


@pytest.mark.parametrize("is_begun", [False, True], ids=["queued", "running"])
def test_a_round_that_waits_for_the_feed_says_so(monkeypatch, caplog, is_begun):
    """Among the rounds at once, by one write, and in the log each six hours: the feed may never be read to its end."""
    one_step_a_tick = replace(OPTIONS, audit=replace(OPTIONS.audit, requests_per_hour=10_000))
    world = World(*many(40), options=one_step_a_tick)
    world.ask()
    if is_begun:
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    world.stores(*[of(100 + number) for number in range(3)])
    monkeypatch.setattr(audit, "MOST_UNREAD", 2)
    before, written = world.rounds.current(), []
    write = world.rounds.write
    with monkeypatch.context() as counted:
        counted.setattr(world.rounds, "write", lambda one: write(written.append(one) or one))
        for _ in range(13 * 60):
            world.later(minutes=1)
            run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    (current,) = written
    says = "the change feed has more than 2 entries that are not read yet, and they go first"
    assert current == world.rounds.current() == replace(before, waiting_for=says)
    assert says in summary(current)
    assert [line.levelname for line in caplog.records if f"audit waits: {says}" in line.message] == ["WARNING"] * 2
    world.sync()
    done = world.ticks()
    assert (done.state, done.waiting_for) == (RoundState.DONE, None)


def test_a_feed_that_never_rests_does_not_keep_a_round_from_its_end():
    """Each tick does a step, whatever came meanwhile, and no more than one where something did."""
    world = World(*many(40), page=10)
    listed, come = world.list.page, iter(range(100, 10_000))

    def page(*asked):
        world.stores(of(next(come), day="20300101"))
        return listed(*asked)

    world.list.page = page
    world.ask()
    for _ in range(200):
        world.sync()
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        world.later(seconds=2)
        if not world.rounds.current().is_under_way:
            break
    assert world.rounds.current().state is RoundState.DONE
    assert world.rounds.current().counts.compared >= 40
    assert world.open() == {}


@pytest.mark.parametrize(
    "fault", [FeedError("no DICOM JSON"), OutageError("DICOM service", "503")], ids=["torn", "down"]
)
def test_a_fault_is_waited_for_and_the_round_goes_on(monkeypatch, caplog, fault):
    """It fails where the fault lasts for hours: the next day has another."""
    world = World(*many(3))
    listed = world.list.page
    monkeypatch.setattr(world.list, "page", lambda *_: (_ for _ in ()).throw(fault))
    world.ask()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert (world.rounds.current().state, world.rounds.current().waiting_for) == (RoundState.RUNNING, str(fault))
    monkeypatch.setattr(world.list, "page", listed)
    assert world.ticks().counts.compared == 3
    monkeypatch.setattr(world.list, "page", lambda *_: (_ for _ in ()).throw(fault))
    world.ask()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    world.later(hours=7)
    assert world.ticks().state is RoundState.FAILED
    assert f"audit failed: {fault}" in caplog.text


def unreadable(world, monkeypatch, fault, day="20240131"):
    """The archive cannot list what is of that day."""
    listed = world.list.page
    at = date.fromisoformat(day)

    def page(partition, offset, dates=None):
        if dates is None or dates[0] <= at <= dates[1]:
            world.list.calls += 1
            raise fault
        return listed(partition, offset, dates)

    monkeypatch.setattr(world.list, "page", page)


@pytest.mark.parametrize(
    "fault", [FeedError("no StudyInstanceUID"), OutageError("DICOM service", "500")], ids=["no DICOM JSON", "500"]
)
def test_a_day_that_cannot_be_listed_is_passed_by_and_named(monkeypatch, fault):
    """Both servers answer all else. The days around it are compared, and the pages that it is on are named, too."""
    world = World(*many(60), page=10)
    unreadable(world, monkeypatch, fault)
    for number in (29, 30, 31, 59):
        world.loses(f"1.2.{number}")
    world.ask()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.rounds.current().waiting_for == str(fault)  # it may pass
    for _ in range(2_000):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        world.later(seconds=61)
        if not world.rounds.current().is_under_way:
            break
    current = world.rounds.current()
    assert current.state is RoundState.DONE
    assert set(world.open()) == {"1.2.29", "1.2.31", "1.2.59"}
    assert [one.partition(" are not compared")[0] for one in current.unknown] == [
        "studies without a StudyDate in DICOM",
        "studies of 2024-01-31",
    ]
    assert (current.passed_by, current.counts.compared) == (2, 59)


@pytest.mark.parametrize("down", ["feed", "fhir", "list", "many days"])
def test_an_outage_is_no_reason_to_pass_anything_by(monkeypatch, down):
    """However long it takes: neither if the feed or the FHIR server does not answer, nor if no day can be listed."""
    world = World(*many(60), page=10)
    unreadable(world, monkeypatch, FeedError("400"))
    if down == "many days":
        for day in range(1, 12):
            unreadable(world, monkeypatch, FeedError("400"), f"2024-02-{2 * day:02}")
    elif down == "list":
        monkeypatch.setattr(world.list, "page", lambda *_: (_ for _ in ()).throw(FeedError("400")))
    elif down == "fhir":
        monkeypatch.setattr(
            world.fhir, "ensure_answers", lambda: (_ for _ in ()).throw(OutageError("FHIR server", "503"))
        )
    else:
        latest, asked = world.feed.latest, []

        def now_and_then():
            asked.append(1)
            if len(asked) % 2:
                return latest()
            raise OutageError("DICOM service", "503")

        monkeypatch.setattr(world.feed, "latest", now_and_then)
    world.ask()
    for _ in range(2_000):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
        world.later(seconds=61)
        if not world.rounds.current().is_under_way:
            break
    current = world.rounds.current()
    assert current.state is RoundState.FAILED
    assert current.passed_by == (5 if down == "many days" else 0)


def test_what_nobody_foresaw_ends_the_round_and_no_tick(monkeypatch, caplog):
    """It is an ERROR line of its own."""
    world = World(*many(3))
    monkeypatch.setattr(world.list, "page", lambda *_: 1 / 0)
    world.ask()
    assert world.ticks().state is RoundState.FAILED
    assert "ZeroDivisionError" in caplog.text
    assert "audit failed: " in caplog.text


def test_what_nobody_foresaw_of_one_study_harms_no_other(monkeypatch, caplog):
    """It is put off, and an ERROR line names it: a round that ended there would end there each day."""
    world = drifting(HEALING)
    world.deletes("1.2.7")
    world.loses("1.2.9")
    asked = world.list.is_absent
    monkeypatch.setattr(world.list, "is_absent", lambda uid, *rest: 1 / (uid != "1.2.7") and asked(uid, *rest))
    assert world.audit() == {}
    assert world.study("1.2.9")
    current = world.rounds.current()
    assert (current.state, current.put_off) == (RoundState.DONE, (("Microsoft.Default", "1.2.7"),))
    assert "ZeroDivisionError" in caplog.text


def test_a_round_that_is_stopped_stays_so(monkeypatch):
    """Also where that comes while a step is done."""
    world = World(*many(30), page=5)
    listed = world.list.page

    def page(*asked):
        world.rounds.cancel()
        return listed(*asked)

    monkeypatch.setattr(world.list, "page", page)
    world.ask()
    assert world.ticks().state is RoundState.CANCELLED
    assert world.rounds.current().counts.compared == 0


def test_without_the_lease_nothing_is_noted():
    """Another host works."""
    world = World(*many(3))
    world.ports = replace(world.ports, lease=FakeLease(checks=0))
    world.loses("1.2.1")
    world.ask()
    with pytest.raises(LeaseLostError):
        run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.differences.rows == {}


def test_no_row_and_no_round_has_a_value_of_a_patient(world):
    """UIDs, elements and resources."""
    world.edits("1.2.7", subject={"reference": "Patient/1"}, description="Secret^Name")
    world.audit()
    ((_, row),) = world.differences.open(10)
    assert row.says == "ImagingStudy.description, ImagingStudy.subject"
    assert "Secret" not in str(world.rounds.held)


def test_the_phases_are_gone_through_in_order(world):
    """So that deletes are decided once all else is known."""
    assert list(Phase)[-1] is Phase.DELETES
    assert world.rounds.current().place.phase is Phase.DELETES


def test_a_study_that_is_deleted_while_it_is_compared_is_on_its_way(monkeypatch):
    """Its entry is in the feed before the answer is 404."""
    world = drifting(HEALING)
    asked = world.list.is_absent

    def is_absent(uid, partition):
        if world.feed.held[-1].action is not Action.DELETE:
            gone = replace(of(7), action=Action.DELETE, state=State.DELETED, metadata=None)
            world.feed.held = [*world.feed.held, replace(gone, sequence=len(world.feed.held) + 1)]
        return asked(uid, partition)

    monkeypatch.setattr(world.list, "is_absent", is_absent)
    world.deletes("1.2.7")
    world.ask()
    run_audit(world.ports, world.options, world.clock.at + timedelta(seconds=10))
    assert world.open() == {}
    world.sync()
    world.ticks()
    assert world.open() == {}


def synced_now(world):
    world.stores(of(30), of(31, patient="P-1"))


def grown_now(world):
    world.stores(of(7, day="20240108", instance=3, series=3))


def deleted_now(world):
    uids = [one.sop_instance_uid for one in world.archive.studies["1.2.7"]]
    world.deletes("1.2.7")
    gone = replace(of(7), action=Action.DELETE, state=State.DELETED, metadata=None)
    for uid in uids:
        one = replace(gone, sequence=len(world.feed.held) + 1, sop_instance_uid=uid)
        world.feed.held = [*world.feed.held, one]


@pytest.mark.parametrize("options", [OPTIONS, HEALING], ids=["report", "heal"])
@pytest.mark.parametrize("change", [synced_now, grown_now, deleted_now], ids=lambda change: change.__name__)
def test_what_this_host_has_just_written_is_no_drift_though_searches_lag_behind(monkeypatch, change, options):
    """As a sync does, the audit reads by its id what it has written and a search does not show, or not as written."""
    world = drifting(options)
    before = copy.deepcopy(world.fhir.resources)
    change(world)
    world.sync()
    now, found, written = world.fhir.resources, world.fhir.found, writes(world)

    def behind(resource_type, query):
        world.fhir.resources = before
        try:
            return found(resource_type, query)
        finally:
            world.fhir.resources = now

    with monkeypatch.context() as lagging:
        lagging.setattr(world.fhir, "found", behind)
        assert world.audit(is_deep=True) == {}
    counts = world.rounds.current().counts
    assert (counts.differed, counts.healed, writes(world)) == (0, 0, written)
    world.loses("1.2.8")
    world.audit()
    assert [row.kind for row in world.differences.rows.values()] == [Kind.MISSING]


def test_one_reading_alone_is_no_difference(monkeypatch):
    """An answer that is wrong once, in a way that a rebuild would write: the second says otherwise."""
    world = drifting(HEALING)
    whole, left = world.archive.instances, [1]

    def instances(uid, partition, series=None):
        for one in whole(uid, partition, series):
            if uid == "1.2.7" and left[0]:
                yield replace(one, metadata={**one.metadata, "00081030": {"vr": "LO", "Value": ["Abdomen"]}})
            else:
                yield one
        left[0] -= uid == "1.2.7" and left[0] > 0

    monkeypatch.setattr(world.archive, "instances", instances)
    written = writes(world)
    assert world.audit(scope=OneStudy("1.2.7")) == {}
    assert (world.rounds.current().counts.put_off, writes(world)) == (1, written)
    assert world.audit(scope=OneStudy("1.2.7")) == {}
    assert world.rounds.current().counts.put_off == 0


def test_absent_in_one_round_is_not_deleted_however_short_the_time():
    """Two rounds have to say it, also where the setting has them follow at once."""
    world = World(*many(200), options=healing(delete_after_seconds=0))
    world.deletes("1.2.7")
    assert world.audit() == {"1.2.7": Kind.GONE}
    assert world.study("1.2.7")
    assert world.audit() == {}
    assert world.study("1.2.7") is None


def test_a_server_that_answers_with_everything_makes_nobody_elses_studies_gone(monkeypatch):
    """One that ignores a parameter: of what it finds only what bears our sign is asked for in the archive."""
    world = drifting(HEALING)
    of_another_system(world)
    found = world.fhir.found

    def ignoring(resource_type, query):
        rest = "&".join(one for one in query.split("&") if not one.startswith(("_source", "_tag")))
        return found(resource_type, rest if "started" in rest else query)

    monkeypatch.setattr(world.fhir, "found", ignoring)
    asked = []
    absent = world.list.is_absent
    monkeypatch.setattr(world.list, "is_absent", lambda *study: asked.append(study) or absent(*study))
    assert world.audit() == {}
    assert asked == []
    assert world.rounds.current().counts.read == 0
