"""FHIR says what DICOM holds now: the cases in which it did not, each as it was seen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.errors import ConflictError, FeedError, FhirRefusedError, OutageError, UnreadStudyError
from shared.mapping.accession import is_of_type_accession
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION, Action, State
from shared.model.failures import ErrorTable
from shared.model.replay import ReplayRequest, SequenceRange
from shared.sync.batch import BatchOptions, run_batch, run_slice
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.replay.replay import run_replays
from tests.dose_reports import ct, ct_event
from tests.fakes import (
    NOW,
    STUDY,
    FakeArchive,
    FakeClock,
    FakeErrors,
    FakeFeed,
    FakeFhir,
    FakeWatermarks,
    entry,
    ports,
    report_entry,
)

OPTIONS = MappingOptions("https://dicom.example.org")
ACCESSION, DESCRIPTION, REFERRER, DAY, BODY = "t00080050", "t00081030", "t00080090", "t00080020", "t00180015"


class World:
    """One FHIR server; the archive that is read is the last told."""

    def __init__(self, *resources):
        self.fhir = FakeFhir(resources=list(resources))
        self.archive = FakeArchive()

    def sync(self, *entries, holds, study=STUDY, whole=False):
        """One batch. `holds`: what the archive holds of any study by then."""
        self.archive.studies = {}
        for one in holds:
            self.archive.studies.setdefault(one.study_instance_uid, []).append(replace(one, sequence=0))
        given = [one for one in holds if one.study_instance_uid == study] if whole else entries
        task = Study(given, whole=(study, DEFAULT_PARTITION) if whole else None)
        (outcome,) = StudySync(ports(fhir=self.fhir, archive=self.archive), OPTIONS).run_all([task])
        return outcome

    def rebuild(self, *holds, study=STUDY):
        return self.sync(holds=holds, study=study, whole=True)

    def studies(self):
        """Of each study the identifiers' values, and per series the instances."""
        return {
            study["identifier"][0]["value"].removeprefix("urn:oid:"): {
                series["uid"]: [one["uid"] for one in series["instance"]] for series in study.get("series", ())
            }
            for study in self.fhir.resources
            if study["resourceType"] == "ImagingStudy"
        }

    def study(self, *elements):
        (study,) = [one for one in self.fhir.resources if one["resourceType"] == "ImagingStudy"]
        return [study.get(element) for element in elements]

    def said(self):
        """What the study says besides its lists: accession numbers, notes, description, start, referrer."""
        (study,) = [one for one in self.fhir.resources if one["resourceType"] == "ImagingStudy"]
        numbers = [one["value"] for one in study["identifier"] if is_of_type_accession(one)]
        notes = [one["text"] for one in study.get("note", ())]
        return numbers, notes, study.get("description"), study.get("started"), study.get("referrer")


def gone(sequence, **where):
    return entry(sequence, Action.DELETE, state=State.DELETED, **where)


def told(text, day="20240101"):
    return {
        ACCESSION: f"A-{text}",
        DESCRIPTION: text,
        DAY: day,
        REFERRER: {"vr": "PN", "Value": [{"Alphabetic": text}]},
    }


def says(text, day="2024-01-01"):
    return [f"A-{text}"], [text], text, day, {"display": text}


@pytest.mark.parametrize("is_stored_first", [True, False])
def test_an_instance_that_moves_to_another_series_leaves_the_old_one(is_stored_first):
    """Stored under the new series and deleted under the old, in one batch, in either order; then a rebuild writes nothing."""
    world, before = World(), entry(1, series="1.2.4", instance="1.2.9")
    world.sync(before, holds=[before])
    now = entry(2, series="1.2.5", instance="1.2.9")
    left = gone(3, series="1.2.4", instance="1.2.9")
    world.sync(*([now, left] if is_stored_first else [left, now]), holds=[now])
    assert world.studies() == {STUDY: {"1.2.5": ["1.2.9"]}}
    assert not world.rebuild(now).wrote


def test_one_instance_in_two_series_is_two():
    """The archive's key is study, series and instance."""
    world = World()
    both = [entry(1, series="1.2.4", instance="1.2.9"), entry(2, series="1.2.5", instance="1.2.9")]
    world.sync(*both, holds=both)
    assert world.studies() == {STUDY: {"1.2.4": ["1.2.9"], "1.2.5": ["1.2.9"]}}
    world.sync(gone(3, series="1.2.4", instance="1.2.9"), holds=both[1:])
    assert world.studies() == {STUDY: {"1.2.5": ["1.2.9"]}}


def test_an_update_of_the_series_uid_leaves_the_old_series():
    """No entry tells that the old one is gone."""
    world, before = World(), [entry(n, series="1.2.4", instance=f"1.2.9.{n}") for n in (1, 2)]
    world.sync(*before, holds=before)
    now = [entry(n + 2, Action.UPDATE, series="1.2.5", instance=f"1.2.9.{n}") for n in (1, 2)]
    world.sync(*now, holds=now)
    assert world.studies() == {STUDY: {"1.2.5": ["1.2.9.1", "1.2.9.2"]}}


@pytest.mark.parametrize(
    "new", [{"study": "1.9"}, {"study": "1.9", "series": "1.9.4"}, {"study": "1.9", "instance": "1.9.1"}]
)
def test_an_update_of_the_study_uid_leaves_the_old_study(new):
    """It is found by the series or by the instances that it lists."""
    world, before = World(), entry(1)
    world.sync(before, holds=[before])
    now = entry(2, Action.UPDATE, **new)
    world.sync(now, holds=[now], study="1.9")
    assert list(world.studies()) == ["1.9"]


def test_a_study_of_others_that_lists_the_series_is_left():
    """Only what we made follows the archive."""
    theirs = {
        "resourceType": "ImagingStudy", "id": "t", "meta": {"versionId": "1", "source": "urn:other"}, "status": "available",
        "subject": {"reference": "Patient/9"}, "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.5"}],
        "series": [{"uid": "1.2.3.4", "instance": [{"uid": "1.2.3.4.5"}]}],
    }  # fmt: skip
    world, now = World(theirs), entry(2, Action.UPDATE, study="1.9")
    world.sync(now, holds=[now], study="1.9")
    assert theirs in world.fhir.resources


@pytest.mark.parametrize("batches", [1, 2])
def test_a_study_deleted_and_stored_again_corrected_says_only_what_is_right(batches):
    """In one batch as in two: nothing of the first copy stays."""
    world, wrong, right = World(), entry(1, **told("wrong", "20230101")), entry(3, **told("right"))
    world.sync(wrong, holds=[wrong])
    parts = [[gone(2), right]] if batches == 1 else [[gone(2)], [right]]
    for part in parts:
        world.sync(*part, holds=[right] if right in part else [])
    assert world.said() == says("right")


def test_a_copy_that_lacks_tags_takes_them_back():
    """De-identified: what no instance says any more is gone, in the study, in the series and in the instance."""
    world, full = World(), entry(1, **told("full"), **{BODY: "CHEST"}, t00200013="7", t00200011="3")
    world.sync(full, holds=[full])
    bare = entry(3)
    world.sync(gone(2), bare, holds=[bare])
    assert world.said() == ([], [], None, None, None)
    (series,) = world.study("series")[0]
    assert ("bodySite" in series, "number" in series, "number" in series["instance"][0]) == (False, False, False)


def test_what_a_deleted_series_said_goes_with_it():
    """Accession number, note and date of the study are those of what is left."""
    right = entry(1, series="1.2.4", instance="1.2.4.1", **told("right"))
    wrong = entry(2, series="1.2.5", instance="1.2.5.1", **told("wrong", "20230101"))
    world = World()
    world.sync(right, wrong, holds=[right, wrong])
    world.sync(gone(3, series="1.2.5", instance="1.2.5.1"), holds=[right])
    assert world.said() == says("right")


def test_what_another_instance_still_says_stays():
    """Also one of a series that the entry does not touch, and that is not the first there: all are read before any goes."""
    first, second = (entry(n, series="1.2.4", instance=f"1.2.4.{n}") for n in (1, 2))
    second = replace(second, metadata={**second.metadata, "00081030": {"vr": "LO", "Value": ["kept"]}})
    last = entry(3, series="1.2.5", instance="1.2.5.1", **{DESCRIPTION: "kept"})
    world = World()
    world.sync(first, second, last, holds=[first, second, last])
    assert not world.sync(gone(4, series="1.2.5", instance="1.2.5.7"), holds=[first, second, last]).wrote
    world.sync(gone(5, series="1.2.5", instance="1.2.5.1"), holds=[first, second])
    assert world.study("description", "note") == ["kept", [{"text": "kept"}]]


OTHERS = {
    "extension": [{"url": "urn:other", "valueString": "x"}],
    "note": [{"text": "right"}, {"text": "seen by the board"}],
    "procedureCode": [{"text": "theirs"}],
}


def test_what_others_wrote_before_us_stays_also_where_it_equals_ours():
    """A note that stood there is not ours, whatever we say and take back."""
    right = entry(1, **told("right"))
    study = {
        "resourceType": "ImagingStudy", "id": "t", "meta": {"versionId": "1", "source": "urn:other"}, "status": "available",
        "subject": {"reference": "Patient/1"}, "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}],
        **OTHERS,
    }  # fmt: skip
    world = World(study)
    world.sync(right, holds=[right])
    other = entry(3, **told("other"))
    world.sync(gone(2), other, holds=[other])
    assert world.said()[1] == ["right", "seen by the board", "other"]
    world.sync(gone(4), holds=[])
    numbers, notes, description, _started, referrer = world.said()
    assert (numbers, notes, description, referrer) == ([], ["right", "seen by the board"], None, None)
    assert world.study("procedureCode", "series") == [[{"text": "theirs"}], None]
    assert [one for one in world.study("extension")[0] if one["url"] == "urn:other"] == OTHERS["extension"]


def test_what_an_early_release_wrote_on_anothers_study_goes_once_nobody_says_it():
    """There is no record: what has our shape is ours, as the link to our Endpoint shows, found only with a Patient."""
    world = World()
    first, second = entry(1, instance="1.1"), entry(2, instance="1.2", **{ACCESSION: "A-1"})
    world.sync(first, second, holds=[first, second])
    study = next(one for one in world.fhir.resources if one["resourceType"] == "ImagingStudy")
    del study["extension"]
    study["meta"] = {"versionId": study["meta"]["versionId"]}
    assert any(map(is_of_type_accession, study["identifier"]))
    world.sync(entry(3, Action.DELETE, instance="1.2", state=State.DELETED), holds=[first])
    (identifiers,) = world.study("identifier")
    assert not any(map(is_of_type_accession, identifiers))


def test_a_study_of_ours_with_something_of_others_is_cancelled_not_deleted():
    """Also where it equals what we would say, and also a study that is stored again then."""
    world, right = World(), entry(1, **told("right"))
    world.sync(right, holds=[right])
    (study,) = [one for one in world.fhir.resources if one["resourceType"] == "ImagingStudy"]
    study["note"].append({"text": "seen by the board"})
    world.sync(gone(2), holds=[])
    assert world.study("status", "series") == ["cancelled", None]
    again = entry(3, **told("again"))
    world.sync(again, holds=[again])
    assert world.study("status") == ["available"]
    assert world.said() == (["A-again"], ["seen by the board", "again"], "again", "2024-01-01", {"display": "again"})


def test_where_instances_disagree_what_fhir_says_stays():
    """Each single value is one of those said; a replay of either, and a rebuild in any order, writes nothing."""
    one, other = (entry(n, instance=f"1.2.{n}", **told(text)) for n, text in ((1, "one"), (2, "other")))
    world = World()
    world.sync(one, other, holds=[one, other])
    for entries in ([one], [other], [other, one]):
        assert not world.sync(*entries, holds=[one, other]).wrote
    assert not world.rebuild(other, one).wrote


class Refusing(FakeArchive):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def series(self, study_instance_uid: str, partition: str) -> Sequence[str]:
        raise self.error


@pytest.mark.parametrize(
    "error", [FeedError("https://d/v1/studies/1/series: status 406"), OutageError("DICOM service", "500")]
)
def test_an_archive_that_cannot_be_read_carries_that_study(error):
    """As long as the feed answers; else it is an outage."""
    fhir = FakeFhir()
    sync = StudySync(ports(fhir=fhir, archive=Refusing(error)), OPTIONS)
    sync.run_all([Study([entry(1)])])
    (outcome,) = sync.run_all([Study([gone(2)])])
    assert isinstance(outcome, UnreadStudyError)

    class Down(FakeFeed):
        def latest(self):
            raise FeedError("https://d/v1/changefeed/latest: status 406")

    with pytest.raises(OutageError):
        StudySync(ports(fhir=fhir, archive=Refusing(error), feed=Down()), OPTIONS).run_all([Study([gone(2)])])


class Hiding(FakeArchive):
    """One of its two accounts lacks what the other has."""

    def __init__(self, studies, *, searches=False, reads=False):
        super().__init__(studies)
        self.searches, self.reads = searches, reads

    def instances(self, *where):
        return iter(()) if self.reads else super().instances(*where)

    def series(self, *where):
        return [] if self.searches else [one.series_instance_uid for held in self.studies.values() for one in held]

    def listed(self, *where):
        return frozenset() if self.searches else frozenset(one.sop_instance_uid for one in self.studies[STUDY])


@pytest.mark.parametrize(("hides", "is_carried"), [({"searches": True}, False), ({"reads": True}, True)])
def test_nothing_is_taken_out_on_one_empty_answer(hides, is_carried):
    """WADO-RS and QIDO-RS must agree where the feed does not say `deleted`; what cannot be read is carried."""
    fhir, held = FakeFhir(), [entry(n, instance=f"1.2.{n}") for n in (1, 2)]
    StudySync(ports(fhir=fhir), OPTIONS).run_all([Study(held)])
    before = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    archive = Hiding({STUDY: held}, **hides)
    for study in (Study([gone(3, instance="1.2.9")]), Study([], whole=(STUDY, DEFAULT_PARTITION))):
        (outcome,) = StudySync(ports(fhir=fhir, archive=archive), OPTIONS).run_all([study])
        assert isinstance(outcome, UnreadStudyError) or not (is_carried or study.whole)
    assert [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"] == before


def test_what_both_accounts_lack_is_gone_though_one_of_them_lists_nothing():
    """A service that has no QIDO-RS: a series is gone that neither has; what WADO-RS has is there."""
    world, old = World(), entry(1, series="1.2.4", instance="1.2.9")
    world.sync(old, holds=[old])
    now = entry(2, Action.UPDATE, series="1.2.5", instance="1.2.9")
    world.archive = Hiding({}, searches=True)
    world.sync(now, holds=[now])
    assert world.studies() == {STUDY: {"1.2.5": ["1.2.9"]}}


def test_what_the_feed_calls_current_must_be_there():
    """An archive that lags behind its feed, or is emptied: the study is carried, nothing is taken out."""
    world, before = World(), entry(1)
    world.sync(before, holds=[before])
    outcome = world.sync(entry(2, Action.UPDATE, **told("now")), holds=[])
    assert isinstance(outcome, UnreadStudyError)
    assert world.studies() == {STUDY: {"1.2.3.4": ["1.2.3.4.5"]}}


def test_plain_creates_read_nothing():
    """Nearly all of a day's entries: the archive is not asked."""
    archive = Refusing(AssertionError("the archive was read"))
    sync = StudySync(ports(archive=archive), OPTIONS)
    for entries in (
        [entry(1)],
        [entry(2, instance="1.2.2")],
        [entry(2, instance="1.2.2")],
        [entry(1), entry(2, instance="1.2.2")],
    ):
        (outcome,) = sync.run_all([Study(entries)])
        assert not outcome.failures


@dataclass
class CountedReads(FakeArchive):
    """`read` are the series that instances were asked of, None: the whole study."""

    read: list = field(default_factory=list)

    def instances(self, study_instance_uid, partition, series_instance_uid=None):
        self.read.append(series_instance_uid)
        yield from super().instances(study_instance_uid, partition, series_instance_uid)


def test_a_replayed_study_that_fhir_lacks_costs_a_read_for_each_series_it_speaks_of():
    """Whatever else the archive holds of it: thousands of stored errors are replayed one after the other."""
    spoken = [entry(1), entry(2, instance="1.2.2"), entry(3, series="1.2.5", instance="1.2.3")]
    archive = CountedReads({STUDY: [*spoken, entry(4, series="1.2.6", instance="1.2.4")]})
    sync = StudySync(ports(archive=archive), OPTIONS)
    (outcome,) = sync.run_all([Study(spoken, is_replayed=True)])
    assert not outcome.failures
    assert archive.read == ["1.2.3.4", "1.2.5"]


class Administered(FakeFhir):
    """An administrator deletes what he likes; an update of what is gone is answered so."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def delete(self, resource_type):
        self.resources = [one for one in self.resources if one["resourceType"] != resource_type]

    def transact(self, bundle):
        there = {f"{one['resourceType']}/{one['id']}" for one in self.resources}
        if any(one["request"]["method"] == "PUT" and one["request"]["url"] not in there for one in bundle["entry"]):
            raise self.error
        return super().transact(bundle)


@pytest.mark.parametrize("is_remembered", [True, False])
@pytest.mark.parametrize("error", [ConflictError("412"), FhirRefusedError("404"), FhirRefusedError("410")])
def test_a_study_that_an_administrator_deleted(error, is_remembered):
    """With its next entry the rest of it is read in the archive: FHIR lists all that DICOM holds, reports too."""
    world = World()
    world.fhir = Administered(error)
    report = report_entry(ct(ct_event(1)), 3)
    where = {"study": report.study_instance_uid, "t00100020": report.metadata["00100020"]["Value"][0]}
    first, second, later = (entry(n, instance=f"1.2.{n}", **where) for n in (1, 2, 4))
    options = replace(OPTIONS, generate_observations=True)
    known = ResourceCache() if is_remembered else ResourceCache(max_weight=0)
    archive = FakeArchive({STUDY: []} | {first.study_instance_uid: [first, second, report, later]})
    sync = StudySync(ports(fhir=world.fhir, archive=archive, cache=known), options)
    sync.run_all([Study([first, second, report])])
    reports = [one for one in world.fhir.resources if one["resourceType"] == "Observation"]
    world.fhir.delete("ImagingStudy")
    world.fhir.delete("Observation")
    (outcome,) = sync.run_all([Study([later])])
    assert outcome.failures == ()
    (series,) = world.studies().values()
    assert sorted(uid for uids in series.values() for uid in uids) == sorted(
        one.sop_instance_uid for one in (first, second, report, later)
    )
    made = [one for one in world.fhir.resources if one["resourceType"] == "Observation"]
    assert len(made) == len(reports) > 0


def test_an_archive_that_cannot_tell_of_a_study_that_an_administrator_deleted():
    """It is carried, not written in part."""

    class Silent(FakeArchive):
        def instances(self, *where):
            raise FeedError("406")

    fhir, archive = Administered(ConflictError("412")), Silent()
    sync = StudySync(ports(fhir=fhir, archive=archive), OPTIONS)
    sync.run_all([Study([entry(1)])])
    fhir.delete("ImagingStudy")
    (outcome,) = sync.run_all([Study([entry(2, instance="1.2.2")])])
    assert isinstance(outcome, UnreadStudyError)
    assert [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"] == []


def test_studies_whose_account_cannot_be_had_are_no_outage_of_fhir():
    """However many: each is carried, and the others of the feed go on."""
    fhir = FakeFhir()
    first = [entry(n, study=f"1.{n}", t00100020=f"P-{n}") for n in range(1, 5)]
    StudySync(ports(fhir=fhir), OPTIONS).run_all([Study([one]) for one in first])
    feed = [gone(n + 10, study=f"1.{n}") for n in range(1, 5)]
    fakes = ports(feed, fhir=fhir, archive=Refusing(FeedError("status 406")))
    result = run_slice(fakes, BatchOptions(OPTIONS, size=100), fakes.now() + timedelta(hours=1))[0]
    assert (result.carried, result.failed, len(fakes.errors.retries)) == (4, 0, 4)


@pytest.mark.parametrize("later", [{"series": "1.2.5", "instance": "1.2.5.1"}, {"instance": "1.2.9"}])
def test_a_study_of_several_patients_is_told_of(later):
    """Also where the second comes with another batch; the subject stays one that an instance says."""
    world, first, second = World(), entry(1), entry(2, **later, t00100020="P-2")
    assert not world.sync(first, holds=[first]).failures
    (row,) = world.sync(second, holds=[first, second]).failures
    assert (row.table, row.exception, row.sequence) == (ErrorTable.INVALID_TAG, "SeveralPatients", 2)
    assert "2 PatientIDs" in row.message
    assert "P-" not in row.message
    subject = world.study("subject")[0]["reference"]
    assert world.fhir.read(subject)["identifier"][0]["value"] == "P-1"


OLD, NEW = (
    {"study": "1.8", "series": "1.8.1", "instance": "1.8.9"},
    {"study": "1.9", "series": "1.8.1", "instance": "1.8.9"},
)


@pytest.mark.parametrize(
    "new",
    [
        NEW,
        {**OLD, "series": "1.8.2"},
        {**OLD, "instance": "1.8.8"},
        {**NEW, "series": "1.8.2"},  # only the instance's own UID is as it was
        {**NEW, "instance": "1.8.8"},  # only the series' is
    ],
)
def test_the_first_sync_of_an_archive_whose_uids_were_updated_brings_no_ghosts(new):
    """The entries under the old UIDs still say `current`, and come in the same batch; a replay of them brings none back."""
    held = replace(entry(2, **new), sequence=0)
    earlier = (NOW - timedelta(minutes=5)).isoformat()
    feed = [replace(one, timestamp=earlier) for one in (entry(1, **OLD), entry(2, Action.UPDATE, **new))]
    fakes = ports(feed, archive=FakeArchive({new["study"]: [held]}))
    for _ in range(2):
        result = run_slice(fakes, BatchOptions(OPTIONS, size=100), fakes.now() + timedelta(hours=1))[0]
        assert (result.carried, result.failed) == (0, 0)
        (study,) = [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
        listed = [(one["uid"], instance["uid"]) for one in study["series"] for instance in one["instance"]]
        assert (study["identifier"][0]["value"], listed) == (
            f"urn:oid:{new['study']}",
            [(new["series"], new["instance"])],
        )
        fakes.watermarks.rewind()


@pytest.mark.parametrize("new", [NEW, {**OLD, "series": "1.8.2"}, {**OLD, "instance": "1.8.8"}])
@pytest.mark.parametrize("is_crashed", [False, True])
def test_reading_the_feed_again_brings_back_no_uids_that_an_update_has_taken_away(new, is_crashed):
    """The create under the former UIDs comes in a slice before the update's: an operator set the watermark back, or the
    host that had done both at once was killed before it moved the watermark.
    """
    held = replace(entry(2, **new), sequence=0)
    earlier = (NOW - timedelta(minutes=5)).isoformat()
    feed = [replace(one, timestamp=earlier) for one in (entry(1, **OLD), entry(2, Action.UPDATE, **new))]
    fakes = ports(feed=FakeFeed(feed, page=1), archive=FakeArchive({new["study"]: [held]}))
    at_once, one_by_one = (BatchOptions(OPTIONS, size=size, max_slices=0) for size in (100, 1))
    if is_crashed:
        with pytest.raises(OutageError):
            run_batch(replace(fakes, watermarks=MovedByNone(fakes.watermarks)), at_once)
    else:
        run_batch(fakes, at_once)
        fakes.watermarks.rewind()
    written = len(fakes.fhir.bundles)
    run_batch(fakes, one_by_one)
    assert len(fakes.fhir.bundles) == written
    assert [one["identifier"][0]["value"] for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"] == [
        f"urn:oid:{new['study']}"
    ]


@dataclass
class MovedByNone:
    """Storage is down when the watermark is to be moved."""

    row: FakeWatermarks

    def read(self):
        return self.row.read()

    def write(self, stored):
        if stored.watermark != self.row.watermark:
            raise OutageError("storage", "down")
        return self.row.write(stored)


@pytest.mark.parametrize(
    ("new", "asked"),
    [
        ({**OLD, "instance": "1.8.8"}, 2),  # a replay syncs the update, and closes its row: the create is left alone
        ({**NEW, "instance": "1.8.8"}, 0),  # the update is of another study, which does not wait
    ],
)
def test_a_carried_entry_of_former_uids_is_not_the_newest_word(new, asked):
    """It is tried without the update that gave its UIDs away, and still says `current`."""
    held, clock = replace(entry(2, **new), sequence=0), FakeClock()
    feed = [entry(1, **OLD), entry(2, Action.UPDATE, **new)]
    archive = FakeArchive({new["study"]: [held]})
    fakes = ports(feed, archive=archive, errors=FakeErrors(clock.now), now=clock.now, sleep=clock.sleep)
    options = BatchOptions(OPTIONS, size=100)
    carried = [run_slice(fakes, options, clock.now() + timedelta(hours=1))[0].carried]
    if asked:
        fakes.replays.create(ReplayRequest(SequenceRange(asked, asked)))
        run_replays(fakes, options, clock.now() + timedelta(hours=1))
    while fakes.errors.retries and len(carried) < 9:
        clock.sleep(65)
        carried.append(run_slice(fakes, options, clock.now() + timedelta(hours=1))[0].carried)
    assert carried[0] > 0 == carried[-1]
    (study,) = [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    listed = [(one["uid"], instance["uid"]) for one in study["series"] for instance in one["instance"]]
    assert (study["identifier"][0]["value"], listed) == (f"urn:oid:{new['study']}", [(new["series"], new["instance"])])
    assert not fakes.errors.rows


def test_an_update_to_what_another_instance_says_takes_out_what_it_said():
    """Nothing is new in FHIR, and yet it says what no instance says any more."""
    world = World()
    both = [entry(1, instance="1.2.1", t00080050="A"), entry(2, instance="1.2.2", t00080050="B")]
    world.sync(*both, holds=both)
    assert world.said()[0] == ["A", "B"]
    now = entry(3, Action.UPDATE, instance="1.2.1", t00080050="B")
    world.sync(now, holds=[now, both[1]])
    assert world.said()[0] == ["B"]


def test_a_replay_of_the_other_patients_part_makes_no_patient():
    """The study's subject is one of the two; to the other nothing leads."""
    both = [entry(1, instance="1.2.1", t00100020="P-2"), entry(2, instance="1.2.2", t00100020="P-1")]
    world = World()
    world.sync(*both, holds=both)
    for some in (both[:1], both[1:], both):
        assert not world.sync(*some, holds=both).wrote
    assert [one["identifier"][0]["value"] for one in world.fhir.resources if one["resourceType"] == "Patient"] == [
        "P-1"
    ]


def test_the_observations_of_a_report_move_with_it_to_another_series():
    """The entry under the old series still says `current`, and comes in one batch with the update."""
    fhir, options = FakeFhir(), replace(OPTIONS, generate_observations=True)
    first = report_entry(ct(ct_event(1), SeriesInstanceUID="1.2.3.8"))
    StudySync(ports([first], fhir=fhir), options).run_all([Study([first])])
    again = replace(first, sequence=3)
    moved = replace(report_entry(ct(ct_event(1), SeriesInstanceUID="1.2.3.9"), 4), action=Action.UPDATE)
    archive = FakeArchive({first.study_instance_uid: [replace(moved, sequence=0, action=Action.CREATE)]})
    StudySync(ports(fhir=fhir, archive=archive), options).run_all([Study([again, moved])])
    (study,) = [one for one in fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert [one["uid"] for one in study["series"]] == ["1.2.3.9"]
    assert len([one for one in fhir.resources if one["resourceType"] == "Observation"]) == 2


def test_a_series_is_searched_once_however_many_of_its_instances_are_in_doubt():
    """A search of a large series has many pages."""

    class Counting(FakeArchive):
        searches = 0

        def listed(self, *where):
            self.searches += 1
            return super().listed(*where)

    old = [entry(n, series="1.2.4", instance=f"1.2.9.{n}") for n in range(1, 6)]
    now = [entry(n + 5, Action.UPDATE, series="1.2.5", instance=f"1.2.9.{n}") for n in range(1, 6)]
    world = World()
    world.archive = Counting()
    world.sync(*old, *now, holds=now)
    assert world.studies() == {STUDY: {"1.2.5": [one.sop_instance_uid for one in now]}}
    assert world.archive.searches == 1


def test_a_study_that_was_left_by_one_instance_and_got_another_lists_what_is_left():
    """The former study and the new one both have the series: it is read whole, whatever else came to it."""
    world, moved = World(), {"series": "1.8.1", "instance": "1.8.9"}
    before = entry(1, study="1.8", **moved)
    world.sync(before, holds=[before], study="1.8")
    now, more = entry(2, Action.UPDATE, study="1.9", **moved), entry(3, study="1.8", series="1.8.1", instance="1.8.7")
    for some, study in (([more], "1.8"), ([now], "1.9")):
        world.sync(*some, holds=[now, more], study=study)
    assert world.studies() == {"1.8": {"1.8.1": ["1.8.7"]}, "1.9": {"1.8.1": ["1.8.9"]}}


@pytest.mark.parametrize("instance", ["1.2.9", "1.2.8"])
def test_a_series_that_was_left_and_holds_only_what_cannot_be_synced_goes(instance):
    """An update gave its instance other UIDs, and what came to the old series since lacks a Modality."""
    world, before = World(), entry(1, series="1.2.4", instance="1.2.9")
    world.sync(before, holds=[before])
    now = entry(2, Action.UPDATE, series="1.2.5", instance=instance)
    bad = entry(3, series="1.2.4", instance="1.2.7", t00080060=None)
    world.sync(now, bad, holds=[now, bad])
    assert world.studies() == {STUDY: {"1.2.5": [instance]}}


MOVES = [
    {"study": "1.9", "series": "1.8.1", "instance": "1.8.9"},
    {"study": "1.9", "series": "1.9.1", "instance": "1.8.9"},
    {"study": "1.9", "series": "1.8.1", "instance": "1.9.9"},
    {"study": "1.8", "series": "1.9.1", "instance": "1.8.9"},
    {"study": "1.8", "series": "1.8.1", "instance": "1.9.9"},
]
"""From study 1.8, series 1.8.1, instance 1.8.9."""


def moved_world(new, is_any_other):
    """FHIR has the instance under its former UIDs; the second value: another instance of the study that it moves to."""
    world, old = World(), entry(1, study="1.8", series="1.8.1", instance="1.8.9")
    world.sync(old, holds=[old], study="1.8")
    other = entry(5, study=new["study"], series="1.9.7", instance="1.9.7")
    if is_any_other:
        world.sync(other, holds=[old, other], study=new["study"])
    return world, [other] if is_any_other else []


def listed(*entries):
    return (
        {entries[0].study_instance_uid: {one.series_instance_uid: [one.sop_instance_uid] for one in entries}}
        if entries
        else {}
    )


@pytest.mark.parametrize("is_any_other", [True, False])
@pytest.mark.parametrize("new", MOVES)
def test_former_uids_go_though_the_instance_was_deleted_before_its_update_was_read(new, is_any_other):
    """The update's batch ended before the delete: the update is of an instance that is gone, under UIDs FHIR never had."""
    world, others = moved_world(new, is_any_other)
    for one in (entry(2, Action.UPDATE, state=State.DELETED, **new), gone(3, **new)):
        assert not world.sync(one, holds=others, study=new["study"]).failures
    assert world.studies() == listed(*others)


@pytest.mark.parametrize("is_any_other", [True, False])
@pytest.mark.parametrize("new", MOVES)
def test_former_uids_go_though_the_update_of_their_instance_cannot_be_synced(new, is_any_other):
    """It is corrected by storing it again: that entry says nothing of the former UIDs."""
    world, others = moved_world(new, is_any_other)
    broken, again = entry(6, Action.UPDATE, t00100020=None, **new), entry(7, **new)
    outcome = world.sync(broken, holds=[broken, *others], study=new["study"])
    assert [failure.table for failure in outcome.failures] == [ErrorTable.DICOM]
    assert world.studies() == listed(*others)
    world.sync(again, holds=[again, *others], study=new["study"])
    assert world.studies() == listed(*others, again)


def test_an_update_in_place_that_cannot_be_synced_takes_nothing_out():
    """FHIR keeps what it has of the instance, and its row says why."""
    world, both = World(), [entry(1), entry(2, instance="1.9")]
    world.sync(*both, holds=both)
    before, broken = world.studies(), entry(3, Action.UPDATE, t00100020=None)
    outcome = world.sync(broken, holds=[broken, both[1]])
    assert (outcome.wrote, len(outcome.failures), world.studies()) == (False, 1, before)


@pytest.mark.parametrize("series", ["1.8.1", "1.9.1"])
def test_the_uid_of_a_study_that_was_deleted_is_given_to_another(series):
    """Both in one batch: FHIR knows the study still, with the same series or another."""
    world = World()
    old, other = entry(1, study="1.8", series="1.8.1", instance="1.8.9"), {"series": series, "instance": "1.8.9"}
    held = entry(2, study="1.9", **other)
    world.sync(old, holds=[old, held], study="1.8")
    world.sync(held, holds=[old, held], study="1.9")
    now = entry(4, Action.UPDATE, study="1.9", series="1.8.1", instance="1.8.9")
    world.sync(gone(3, study="1.9", **other), now, holds=[now], study="1.9")
    assert world.studies() == {"1.9": {"1.8.1": ["1.8.9"]}}


def test_the_uid_of_a_series_that_was_deleted_is_given_to_another():
    """Both in one batch; what came to the old series since cannot be synced."""
    world, before = World(), [entry(n, series=f"1.2.{n}", instance="1.2.9") for n in (4, 5)]
    world.sync(*before, holds=before)
    now = entry(7, Action.UPDATE, series="1.2.5", instance="1.2.9")
    bad = entry(8, series="1.2.4", instance="1.2.7", t00080060=None)
    world.sync(gone(6, series="1.2.5", instance="1.2.9"), now, bad, holds=[now, bad])
    assert world.studies() == {STUDY: {"1.2.5": ["1.2.9"]}}


@pytest.mark.parametrize("is_replayed", [True, False])
def test_what_left_a_study_does_not_come_back_where_the_study_got_another_instance(is_replayed):
    """Its entry under the old UIDs still says current, and says nothing that contradicts the study as it is now."""
    moved, more = {"series": "1.8.1", "instance": "1.8.9"}, entry(3, study="1.8", series="1.8.2", instance="1.8.7")
    before, now = entry(1, study="1.8", **moved), entry(2, Action.UPDATE, study="1.9", **moved)
    world = World()
    for some, study in (([more], "1.8"), ([now], "1.9")):
        world.sync(*some, holds=[now, more], study=study)
    updated = frozenset() if is_replayed else frozenset({(DEFAULT_PARTITION, "1.9", "1.8.1", "1.8.9")})
    again = Study([before], is_replayed=is_replayed, updated=updated)
    later = ports(fhir=world.fhir, archive=world.archive, now=lambda: NOW + timedelta(minutes=10))
    (outcome,) = StudySync(later, OPTIONS).run_all([again])
    assert not outcome.wrote
    assert world.studies() == {"1.8": {"1.8.2": ["1.8.7"]}, "1.9": {"1.8.1": ["1.8.9"]}}
