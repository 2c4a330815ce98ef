"""Two hosts at once on a server whose conditional create is no lock: what they make twice becomes one, or is told of."""

import itertools
from contextlib import suppress
from dataclasses import replace

import pytest

from shared.errors import LeaseLostError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.merge.resource_cache import MAX_AGE_SECONDS, ResourceCache
from tests.dose_reports import ct, ct_event
from tests.fakes import (
    INSTANCE,
    SERIES,
    FakeErrors,
    FakeFeed,
    FakeFhir,
    FakeLease,
    FakeWatermarks,
    entry,
    is_of_endpoint,
    ports,
    report_entry,
)

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org", generate_observations=True), size=100)
OTHER = "https://ris.example.org"


class Racy(FakeFhir):
    """Conditional create is a search and then an insert; `between` is done once between the two."""

    def __init__(self):
        super().__init__()
        self.between = None
        self.numbers = itertools.count(1)

    def transact(self, bundle):
        if is_of_endpoint(bundle) or not self.between:
            return super().transact(bundle)
        missing = [one for one in bundle["entry"] if one["request"]["method"] == "POST" and not self.found(one["request"]["url"], one["request"]["ifNoneExist"])]  # fmt: skip
        between, self.between = self.between, None
        between()
        for one in missing:
            one["request"]["ifNoneExist"] = "identifier=nobody%7Cnobody"
        return super().transact(bundle)

    def _apply(self, one, ids):
        made = super()._apply(one, ids)
        if not made.created:
            return made
        kind = one["request"]["url"]
        id_ = f"{next(self.numbers)}"  # ids are never used again
        ids[one["fullUrl"]] = f"{kind}/{id_}"
        self.resources[-1]["id"] = id_
        return replace(made, reference=f"{kind}/{id_}")

    def held(self, resource_type):
        return [one for one in self.resources if one["resourceType"] == resource_type]

    def versions(self):
        return sorted((one["resourceType"], one["id"], one["meta"]["versionId"]) for one in self.resources)


class World:
    """What the hosts share; `seconds` is the clock of what they remember."""

    def __init__(self, *entries):
        self.fhir, self.feed = Racy(), FakeFeed(list(entries))
        self.watermarks, self.errors = FakeWatermarks(), FakeErrors()
        self.seconds = 0.0

    def host(self, **others):
        shared = {"fhir": self.fhir, "feed": self.feed, "watermarks": self.watermarks, "errors": self.errors}
        cache = ResourceCache(monotonic=lambda: self.seconds)
        return ports(**shared | {"cache": cache} | others)

    def overlap(self):
        """One host freezes before its transaction arrives; the other does the whole tick meanwhile. Gives both."""
        frozen, other = self.host(lease=FakeLease()), self.host()

        def meanwhile():
            run_batch(other, OPTIONS)
            frozen.lease.checks = 0  # it learns so when it asks next

        self.fhir.between = meanwhile
        with suppress(LeaseLostError):
            run_batch(frozen, OPTIONS)
        frozen.lease.checks = None
        return frozen, other

    def arrives(self, *entries):
        self.feed.held = [*self.feed.held, *entries]

    def doubled(self):
        return {row.message for row in self.errors.rows if row.exception == "DoubledPatient"}

    def listed(self):
        return [
            {one["uid"] for series in study.get("series", []) for one in series["instance"]}
            for study in self.fhir.held("ImagingStudy")
        ]


def test_the_overlap_makes_doubles():
    """The premise of what follows: two Patients and two ImagingStudies of ours, one Endpoint."""
    world = World(entry(1))
    world.overlap()
    assert len(world.fhir.held("Patient")) == len(world.fhir.held("ImagingStudy")) == 2
    assert len(world.fhir.held("Endpoint")) == 1
    assert world.watermarks.watermark.sequence == 1


MORE = [
    # name, what arrives next, what the study lists then
    ("another instance", entry(2, instance="1.9"), [{INSTANCE, "1.9"}]),
    ("the same again", entry(2, Action.UPDATE), [{INSTANCE}]),
    ("another name", entry(2, Action.UPDATE, t00100010={"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}), [{INSTANCE}]),
    ("its last instance is deleted", entry(2, Action.DELETE, state=State.DELETED), []),
]


@pytest.mark.parametrize(("name", "more", "listed"), MORE, ids=[row[0] for row in MORE])
def test_doubled_studies_become_one(name, more, listed):
    """With the next change of the study, by whichever host comes; nothing stops it."""
    world = World(entry(1))
    world.overlap()
    world.arrives(more)
    result = run_batch(world.host(), OPTIONS)
    assert (result.failed, result.carried) == (0, 0)
    assert world.listed() == listed
    assert world.watermarks.watermark.sequence == 2


def test_doubled_studies_become_one_with_the_instances_of_both():
    """Each host knew of one that the other did not."""
    world = World(entry(1))
    world.overlap()
    one, two = world.fhir.held("ImagingStudy")
    two["series"] = [{**two["series"][0], "instance": [{**two["series"][0]["instance"][0], "uid": "1.7"}]}]
    two["series"].append({**one["series"][0], "uid": "1.2.8"})
    world.arrives(entry(2, instance="1.9"))
    run_batch(world.host(), OPTIONS)
    (study,) = world.fhir.held("ImagingStudy")
    assert {series["uid"]: [one["uid"] for one in series["instance"]] for series in study["series"]} == {
        SERIES: [INSTANCE, "1.7", "1.9"],
        "1.2.8": [INSTANCE],
    }
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (2, 4)
    assert study["id"] == one["id"]


@pytest.mark.parametrize("seconds", [0.0, MAX_AGE_SECONDS + 1])
@pytest.mark.parametrize("which", [0, 1])
def test_what_a_host_remembers_keeps_no_double(which, seconds):
    """Both hosts remember a study of their own; after ten minutes each looks again."""
    world = World(entry(1))
    host = world.overlap()[which]
    world.arrives(entry(2, instance="1.9"))
    world.seconds = seconds
    run_batch(host, OPTIONS)
    assert len(world.fhir.held("ImagingStudy")) == (1 if seconds else 2)
    assert any("1.9" in listed for listed in world.listed())


def test_a_study_stays_with_one_of_two_doubled_patients():
    """For ever: no host moves it to the other, no version is written again; a row tells a person of both."""
    world = World(entry(1))
    frozen, other = world.overlap()
    ids = [one["id"] for one in world.fhir.held("Patient")]
    world.seconds = MAX_AGE_SECONDS + 1
    world.arrives(entry(2, instance="1.9"))
    run_batch(other, OPTIONS)
    (study,) = world.fhir.held("ImagingStudy")
    subject, before = study["subject"], world.fhir.versions()
    for host in (frozen, other, world.host(), frozen):
        world.seconds += MAX_AGE_SECONDS + 1
        world.watermarks.rewind()
        assert run_batch(host, OPTIONS).written == 0
        assert world.fhir.versions() == before
    assert world.fhir.held("ImagingStudy")[0]["subject"] == subject
    (told,) = world.doubled()
    assert told.startswith("(0010,0020) PatientID (LO): ")
    assert all(f"Patient/{id_}" in told for id_ in ids)
    rows = [row for row in world.errors.rows if row.exception == "DoubledPatient"]
    assert {(row.table, row.sequence) for row in rows} == {(ErrorTable.INVALID_TAG, 2)}
    assert 2 not in world.errors.resolved


def test_new_studies_of_a_doubled_patient_go_to_the_first():
    """All of them, by every host; those of before stay where they are."""
    world = World(entry(1))
    _, other = world.overlap()
    patients = sorted(world.fhir.held("Patient"), key=lambda one: int(one["id"]))
    (study, double) = world.fhir.held("ImagingStudy")
    world.fhir.resources.remove(double)
    study["subject"] = {"reference": f"Patient/{patients[1]['id']}"}
    for number, host in ((2, other), (3, world.host())):
        world.arrives(entry(number, study=f"1.4.{number}", instance=f"1.4.{number}.1"))
        run_batch(host, OPTIONS)
    world.watermarks.rewind()
    run_batch(world.host(), OPTIONS)
    subjects = [one["subject"]["reference"] for one in world.fhir.held("ImagingStudy")]
    assert sorted(subjects) == sorted(f"Patient/{patients[at]['id']}" for at in (0, 0, 1))


def test_once_one_of_the_patients_is_deleted_the_row_is_resolved():
    """By the next replay; the study goes to the one that is left."""
    world = World(entry(1))
    world.overlap()
    world.arrives(entry(2, instance="1.9"))
    run_batch(world.host(), OPTIONS)
    (study,) = world.fhir.held("ImagingStudy")
    (gone,) = [one for one in world.fhir.held("Patient") if study["subject"]["reference"] == f"Patient/{one['id']}"]
    world.fhir.resources.remove(gone)
    world.watermarks.rewind()
    run_batch(world.host(), OPTIONS)
    (left,) = world.fhir.held("Patient")
    assert world.fhir.held("ImagingStudy")[0]["subject"] == {"reference": f"Patient/{left['id']}"}
    assert 2 in world.errors.resolved


THEIRS = [
    # name, what another has done to the double
    ("it is another's", {"meta": {"versionId": "1", "source": OTHER}}),
    ("nothing says whose it is", {"meta": {"versionId": "1"}}),
    ("another has put something on it", {"photo": [{"title": "x"}]}),
    ("another has put an identifier on it", {"identifier": [{"value": "P-1"}, {"system": "urn:ris", "value": "7"}]}),
]


@pytest.mark.parametrize("kind", ["Patient", "ImagingStudy"])
@pytest.mark.parametrize(("name", "change"), THEIRS, ids=[row[0] for row in THEIRS])
def test_a_double_that_is_not_ours_alone_stops_the_study(name, change, kind):
    """Which one is meant would be a guess: a row names both, nothing is written, nothing deleted."""
    world = World(entry(1))
    world.overlap()
    double = world.fhir.held(kind)[1]
    if "identifier" in change and kind == "ImagingStudy":
        change = {"identifier": [*double["identifier"], {"system": "urn:ris", "value": "7"}]}
    double.update(change)
    before = world.fhir.versions()
    world.arrives(entry(2, instance="1.9"), entry(3, study="1.5", instance="1.5.1", t00100020="P-2"))
    result = run_batch(world.host(), OPTIONS)
    (row,) = [row for row in world.errors.rows if row.is_final]
    assert (row.table, row.exception, row.sequence) == (ErrorTable.FHIR, "MultipleMatchingResourcesError", 2)
    assert all(f"{kind}/{one['id']}" in row.message for one in world.fhir.held(kind)[:2])
    assert set(before) <= set(world.fhir.versions())
    assert result.written == 1  # the other patient's


def test_the_observations_of_doubled_studies_are_said_once():
    """They are of the one study that is left, and of its Patient; nothing is written again."""
    world = World(report_entry(ct(ct_event(1)), 1))
    world.overlap()
    once = len(world.fhir.held("Observation"))
    world.watermarks.rewind()
    world.errors.rows.clear()
    run_batch(world.host(), OPTIONS)
    (study,) = world.fhir.held("ImagingStudy")
    observations = world.fhir.held("Observation")
    assert len(observations) == once // 2 == 2
    assert {one["derivedFrom"][0]["reference"] for one in observations} == {f"ImagingStudy/{study['id']}"}
    assert {one["subject"]["reference"] for one in observations} == {study["subject"]["reference"]}
    before = world.fhir.versions()
    world.watermarks.rewind()
    run_batch(world.host(), OPTIONS)
    assert world.fhir.versions() == before
