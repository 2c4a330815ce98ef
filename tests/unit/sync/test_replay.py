"""Replays: the same road as the feed's, in slices; the watermark stands; a dry run writes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import FeedError, LeaseLostError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.replay import ReplayRequest, ReplayState, SequenceRange, StoredErrors, StudyRebuild, TimeRange
from shared.model.watermark import StoredWatermark, Watermark
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.queue.concurrency import ConcurrencyLimit
from shared.sync.replay import replay as replays
from shared.sync.replay import replay_slice
from shared.sync.replay.replay import run_replays
from tests.fakes import NOW, STUDY, FakeArchive, FakeFeed, FakeFhir, FakeLease, FakeWatermarks, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100, total_retry_seconds=60)


def world(entries, **others):
    """A feed whose every entry was synced once."""
    end = Watermark(entries[-1].sequence if entries else 0)
    return ports(entries, watermarks=FakeWatermarks(StoredWatermark(end, "0", end)), **others)


def run(fakes, target, *, dry_run=False, seconds=30):
    """One tick's worth of a new replay, or of the one under way."""
    replay = fakes.replays.create(ReplayRequest(target, dry_run))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=seconds))
    return fakes.replays.read(replay.id)


def held(fakes, resource_type):
    return [one for one in fakes.fhir.resources if one["resourceType"] == resource_type]


def counts(replay):
    progress = replay.progress
    return progress.done, progress.total, progress.written, progress.unchanged, progress.failed


FEED = [entry(n, study=f"1.{n % 3}.9", instance=f"1.2.{n}") for n in (1, 2, 3, 5, 6, 7)]


def test_a_range_of_sequences():
    """Both ends are in it; a number that the feed does not have counts as done; the watermark does not move."""
    fakes = world(FEED)
    replay = run(fakes, SequenceRange(2, 6))
    assert (replay.state, counts(replay)) == (ReplayState.DONE, (5, 5, 4, 0, 0))
    instances = [i["uid"] for one in held(fakes, "ImagingStudy") for s in one["series"] for i in s["instance"]]
    assert sorted(instances) == ["1.2.2", "1.2.3", "1.2.5", "1.2.6"]
    assert fakes.watermarks.watermark.sequence == 7


def test_again_it_finds_nothing_to_write():
    """Merging is idempotent."""
    fakes = world(FEED)
    run(fakes, SequenceRange(1, 7))
    bundles = len(fakes.fhir.bundles)
    assert counts(run(fakes, SequenceRange(1, 7))) == (7, 7, 0, 6, 0)
    assert len(fakes.fhir.bundles) == bundles


def test_a_range_of_time():
    """from <= Timestamp < to."""
    timed = [replace(one, timestamp=(NOW + timedelta(minutes=one.sequence)).isoformat()) for one in FEED]
    fakes = world(timed)
    ends = [(NOW + timedelta(minutes=minutes)).isoformat() for minutes in (2, 6)]
    assert counts(run(fakes, TimeRange(*ends))) == (3, 3, 3, 0, 0)


def failed(fakes, number, table=ErrorTable.FHIR, **others):
    one = next((one for one in fakes.feed.held if one.sequence == number), entry(number))
    fakes.errors.record([replace(FailedEntry.of(one, table, "FhirRefusedError", "status 422"), **others)])


@pytest.mark.parametrize(
    ("target", "tried"),
    [
        (StoredErrors(tuple(ErrorTable)), [1, 2, 5]),
        (StoredErrors((ErrorTable.FHIR,)), [1, 2]),
        (StoredErrors(tuple(ErrorTable), exception="TransientError"), [5]),
        (StoredErrors(tuple(ErrorTable), failed_study="1.2.9"), [2, 5]),
    ],
)
def test_stored_errors(target, tried):
    """Those that fit are tried again, and marked where they succeed."""
    fakes = world(FEED)
    failed(fakes, 1)
    failed(fakes, 2)
    failed(fakes, 5, ErrorTable.TRANSIENT_FAILURE, exception="TransientError")
    assert counts(run(fakes, target)) == (len(tried), len(tried), len(tried), 0, 0)
    assert sorted(fakes.errors.resolved) == tried


def test_what_fails_again_stays_open_and_is_told():
    """In its row, the one that says why now, and with the replay."""
    fakes = world([entry(1), entry(2, instance="1.2.2", t00100020=None)])
    failed(fakes, 1)
    failed(fakes, 2, ErrorTable.DICOM)
    replay = run(fakes, StoredErrors(tuple(ErrorTable)))
    assert (replay.state, counts(replay)) == (ReplayState.DONE, (2, 2, 1, 0, 1))
    (error,) = replay.errors
    assert (error.sequence, error.sop_instance_uid) == (2, "1.2.2")
    assert "(0010,0020) PatientID" in error.message
    assert [(row.sequence, row.key[0]) for row in fakes.errors.open_()] == [(2, "InvalidDicomTagError")]


@pytest.mark.parametrize(
    ("minutes", "held", "is_closed"),
    [
        (10, [], True),
        (10, [entry(2, instance="1.2.2")], False),
        (1, [], False),  # the archive may lag behind its own feed
    ],
)
def test_a_row_of_uids_that_an_update_has_taken_away(minutes, held, is_closed):
    """The feed's entry still says `current`, and cannot be mapped; the archive has no such instance."""
    stamp = (NOW - timedelta(minutes=minutes)).isoformat()
    said = replace(entry(2, instance="1.2.2", t00100020=None), timestamp=stamp)
    fakes = world([said], archive=FakeArchive({STUDY: held}))
    failed(fakes, 2, ErrorTable.DICOM)
    replay = run(fakes, StoredErrors((ErrorTable.DICOM,)))
    assert (replay.progress.failed, len(fakes.errors.open_())) == ((0, 0) if is_closed else (1, 1))


def test_a_study_of_several_patients_stays_told_of():
    """Though what runs again is an update that makes no change, and none of its instances is named by the new row."""
    held = [entry(1, instance="1.2.1"), entry(2, instance="1.2.2", t00100020="P-2")]
    unmappable = entry(3, Action.UPDATE, instance="1.2.3", t00080060=None)
    fakes = world([*held, unmappable], archive=FakeArchive({STUDY: [*held, unmappable]}))
    run(fakes, SequenceRange(1, 3))
    told = {(ErrorTable.INVALID_TAG, "SeveralPatients"), (ErrorTable.DICOM, "InvalidDicomTagError")}
    for _ in range(2):
        assert {(row.table, row.key[0]) for row in fakes.errors.open_()} == told
        run(fakes, StoredErrors((ErrorTable.DICOM,)))


def test_an_entry_that_the_feed_has_no_more():
    """Nothing to try; its row stays open, and the advice is to replay its study."""
    fakes = world(FEED)
    failed(fakes, 4)
    replay = run(fakes, StoredErrors((ErrorTable.FHIR,)))
    assert (counts(replay), replay.errors[0].message) == (
        (1, 1, 0, 0, 1),
        "the feed has the entry no more; replay its study instead",
    )
    assert fakes.errors.resolved == []


def test_a_study_is_rebuilt():
    """What is missing comes in, what is gone goes; rows of the study that this mends are marked."""
    fakes = world([entry(1, instance="1.2.1"), entry(2, instance="1.2.2")], archive=FakeArchive())
    run(fakes, SequenceRange(1, 2))
    fakes.errors.resolved.clear()
    failed(fakes, 2)
    fakes.archive.studies["1.2.3"] = [entry(instance="1.2.2"), entry(instance="1.2.3"), entry(instance="1.2.4")]
    replay = run(fakes, StudyRebuild("1.2.3"))
    assert (replay.state, counts(replay)) == (ReplayState.DONE, (3, 3, 3, 0, 0))
    (study,) = held(fakes, "ImagingStudy")
    assert [one["uid"] for one in study["series"][0]["instance"]] == ["1.2.2", "1.2.3", "1.2.4"]
    assert fakes.errors.resolved == [2]


def test_a_study_is_rebuilt_in_its_partition():
    """The same UID in another one is another study, whose rows stay open."""
    fakes = world([entry(1), replace(entry(2), partition="north")], archive=FakeArchive())
    failed(fakes, 1)
    failed(fakes, 2)
    fakes.archive.studies["1.2.3"] = list(fakes.feed.held)
    run(fakes, StudyRebuild("1.2.3", "north"))
    assert fakes.errors.resolved == [2]
    run(fakes, StudyRebuild("1.2.3"))
    assert fakes.errors.resolved == [2, 1]


def test_a_rebuilt_study_lists_no_instance_that_cannot_be_mapped():
    """As a sync of the archive into an empty server: it is told, and there is no row for it."""
    fakes = world([entry(1, instance="1.2.1"), entry(2, instance="1.2.2")], archive=FakeArchive())
    run(fakes, SequenceRange(1, 2))
    fakes.archive.studies["1.2.3"] = [entry(instance="1.2.1"), entry(instance="1.2.2", t00080060=None)]
    replay = run(fakes, StudyRebuild("1.2.3"))
    assert (replay.progress.failed, replay.errors[0].sequence, replay.errors[0].sop_instance_uid) == (1, None, "1.2.2")
    assert [one["uid"] for one in held(fakes, "ImagingStudy")[0]["series"][0]["instance"]] == ["1.2.1"]
    assert fakes.errors.rows == []


def test_a_study_that_is_gone_is_deleted():
    """We made it, so it goes."""
    fakes = world([entry(1)], archive=FakeArchive({"1.2.3": [entry(1)]}))
    run(fakes, SequenceRange(1, 1))
    fakes.archive.studies.clear()
    replay = run(fakes, StudyRebuild("1.2.3"))
    assert (replay.state, counts(replay)) == (ReplayState.DONE, (1, 1, 1, 0, 0))
    assert held(fakes, "ImagingStudy") == []


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("target", "told"),
    [
        (StudyRebuild("1.2.4"), [replay_slice.NOWHERE]),  # a slip of the finger
        (StudyRebuild("1.2.3", "north"), [replay_slice.NOWHERE]),
        (StudyRebuild("1.2.3"), []),  # DICOM has it
        (StudyRebuild("1.9"), []),  # FHIR has it, somebody else's
        (SequenceRange(1, 1), []),
    ],
)
def test_a_study_that_is_nowhere_is_told(target, told, dry_run):
    """It has ended, and nothing was done: the reason is of the replay as a whole."""
    fakes = world([entry(1)], archive=FakeArchive({"1.2.3": [entry(1)]}))
    run(fakes, SequenceRange(1, 1))
    identifier = {"system": "urn:dicom:uid", "value": "urn:oid:1.9"}
    fakes.fhir.resources.append(
        {"resourceType": "ImagingStudy", "id": "x", "meta": {"versionId": "1"}, "identifier": [identifier]}
    )
    run(fakes, target)  # what there is to write is written
    replay = run(fakes, target, dry_run=dry_run)
    assert (replay.state, replay.progress.written, replay.progress.failed) == (ReplayState.DONE, 0, 0)
    assert [(one.sequence, one.sop_instance_uid, one.message) for one in replay.errors] == [
        (None, "", one) for one in told
    ]


@pytest.mark.parametrize("target", [SequenceRange(1, 7), StoredErrors((ErrorTable.FHIR,)), StudyRebuild("1.1.9")])
def test_a_dry_run_says_what_would_be_written(target, caplog):
    """And writes nothing: not to FHIR, not to a table, not to the log."""
    fakes = world([*FEED, entry(8, study="1.1.9", instance="1.2.8", t00100020=None)], archive=FakeArchive())
    for one in FEED:
        fakes.archive.studies.setdefault(one.study_instance_uid, []).append(one)
    failed(fakes, 1)
    before = list(fakes.errors.rows)
    replay = run(fakes, target, dry_run=True)
    assert replay.state is ReplayState.DONE
    studies = {(one.method, one.url) for one in replay.writes}
    assert ("POST", "ImagingStudy") in studies
    assert {one.study_instance_uid for one in replay.writes if one.url == "ImagingStudy"} >= {"1.1.9"}
    assert fakes.fhir.resources == []
    assert (fakes.errors.rows, fakes.errors.resolved, fakes.watermarks.stored.etag) == (before, [], "0")
    assert [line for line in caplog.records if line.levelname == "WARNING"] == []


def test_it_goes_on_over_ticks(monkeypatch):
    """A tick has so much time; the next goes on behind the cursor, and nothing is counted twice."""
    monkeypatch.setattr(replays, "LEAST_ENTRIES", 2)

    class Slow(FakeFhir):
        def transact(self, bundle):
            fakes.sleep(4)
            return super().transact(bundle)

    many = [entry(n, study=f"1.{n}.9", instance=f"1.2.{n}") for n in range(1, 11)]
    fakes = world(many, fhir=Slow())
    seen = []
    while not seen or seen[-1].is_under_way:
        seen.append(run(fakes, SequenceRange(1, 10), seconds=10))
    assert len(seen) > 1
    assert [one.progress.done for one in seen] == sorted({one.progress.done for one in seen})
    assert counts(seen[-1]) == (10, 10, 10, 0, 0)
    assert len(fakes.replays.held) == 1


HALF = [entry(n, study=f"1.{(n - 1) // 3}.9", instance=f"1.2.{n}") for n in range(1, 13)]
MINUTELY = [replace(one, timestamp=(NOW + timedelta(minutes=one.sequence)).isoformat()) for one in HALF]


@pytest.mark.parametrize("size", [2, 4, 5, 7, 11])
@pytest.mark.parametrize(
    "target",
    [
        SequenceRange(1, 12),
        TimeRange(NOW.isoformat(), (NOW + timedelta(hours=1)).isoformat()),
        StoredErrors((ErrorTable.FHIR,)),
    ],
)
def test_no_study_is_written_by_halves_where_a_slice_ends(monkeypatch, target, size):
    """Four studies of three instances, of which FHIR has none: whatever the slices, what fits into one is one write.

    A study that is larger than a slice is written in several; nothing is left out, or done twice.
    """
    monkeypatch.setattr(replays, "LEAST_ENTRIES", size)
    monkeypatch.setattr(replays, "MOST_ENTRIES", size)
    fakes = world(MINUTELY)
    fakes.feed.page = 1
    for one in MINUTELY:
        failed(fakes, one.sequence)
    assert counts(run(fakes, target)) == (12, 12, 12, 0, 0)
    studies = held(fakes, "ImagingStudy")
    assert [study["numberOfInstances"] for study in studies] == [3, 3, 3, 3]
    versions = {study["meta"]["versionId"] for study in studies}
    assert (versions == {"1"}) == (size >= 3)


def test_a_cancelled_replay_ends_after_its_slice(monkeypatch):
    """What it wrote stays."""
    monkeypatch.setattr(replays, "LEAST_ENTRIES", 2)
    fakes = world(FEED)
    fakes.replays.cancelled.add("1")
    replay = run(fakes, SequenceRange(1, 7))
    assert (replay.state, replay.progress.done) == (ReplayState.CANCELLED, 1)


def test_an_outage_holds_a_replay():
    """It says what it waits for, records nothing, and goes on when the server is back."""

    class Down(FakeFhir):
        is_down = True

        def search(self, resource_type, query):
            if self.is_down:
                raise OutageError("FHIR server", "not reachable")
            return super().search(resource_type, query)

    fakes = world(FEED, fhir=Down())
    replay = run(fakes, SequenceRange(1, 7))
    assert (replay.state, replay.progress.done) == (ReplayState.RUNNING, 0)
    assert replay.waiting_for == "FHIR server: not reachable"
    assert fakes.errors.rows == []
    fakes.fhir.is_down = False
    replay = run(fakes, SequenceRange(1, 7))
    assert (replay.state, replay.waiting_for, replay.progress.done) == (ReplayState.DONE, None, 7)


def test_a_study_that_fails_for_too_long_is_given_up():
    """As for the feed: after TotalRetryDuration it is recorded, and the replay goes on."""

    class Bad(FakeFhir):
        def transact(self, bundle):
            if "1.1.9" in repr(bundle):
                raise TransientError("status 503")
            return super().transact(bundle)

    fakes = world(FEED, fhir=Bad())
    for _ in range(20):
        replay = run(fakes, SequenceRange(1, 7))
        if not replay.is_under_way:
            break
        assert replay.waiting_for == "status 503"
        fakes.sleep(10)
    assert (replay.state, replay.progress.failed) == (ReplayState.DONE, 2)
    assert {(row.table, row.sequence) for row in fakes.errors.rows} == {
        (ErrorTable.TRANSIENT_FAILURE, 1),
        (ErrorTable.TRANSIENT_FAILURE, 7),
    }
    assert fakes.errors.retries == {}, "what waits stays with the replay"


def test_a_feed_that_cannot_be_read_ends_it():
    """Torn, or no change feed: it says why."""
    fakes = world(FEED)
    fakes.feed.entries = lambda _: (_ for _ in ()).throw(FeedError("https://d/v1/changefeed: entry 3: torn"))
    replay = run(fakes, SequenceRange(1, 7))
    assert (replay.state, replay.errors[-1].message) == (ReplayState.FAILED, "https://d/v1/changefeed: entry 3: torn")


def test_a_lost_lease_stops_it():
    """Another host goes on with it."""
    fakes = world(FEED, lease=FakeLease(checks=0))
    with pytest.raises(LeaseLostError):
        run(fakes, SequenceRange(1, 7))
    assert fakes.fhir.bundles == []


def test_a_delete_is_replayed_too():
    """Of an instance that is gone still."""
    fakes = world([entry(1)])
    run(fakes, SequenceRange(1, 1))
    fakes.feed.held = [entry(1, state=State.DELETED), entry(2, Action.DELETE, state=State.DELETED)]
    run(fakes, SequenceRange(1, 2))
    assert held(fakes, "ImagingStudy") == []


def test_replays_take_turns_by_age():
    """The oldest first; one that waits does not hold up the next."""

    class Down(FakeArchive):
        def instances(self, study_instance_uid, *where):
            if study_instance_uid == "1.2.3":
                raise OutageError("DICOM service", "503")
            return super().instances(study_instance_uid, *where)

    by_study = {
        study: [one for one in FEED if one.study_instance_uid == study] for study in ("1.0.9", "1.1.9", "1.2.9")
    }
    fakes = world(FEED, archive=Down(by_study))
    first = fakes.replays.create(ReplayRequest(StudyRebuild("1.2.3")))
    second = run(fakes, SequenceRange(1, 3))
    assert fakes.replays.read(first.id).waiting_for.endswith("cannot be read: DICOM service: 503")
    assert second.state is ReplayState.DONE


def carried(fakes, *numbers, **others):
    for number in numbers:
        failed(fakes, number, ErrorTable.TRANSIENT_RETRY, exception="TransientError", **others)


@pytest.mark.parametrize("end", ["given up", "cancelled"])
def test_a_rebuild_that_comes_to_nothing_leaves_the_feed_what_it_carries(end):
    """The study is not in FHIR: its rows stay open, and the feed tries it again."""
    fakes = ports([entry(1)], archive=FakeArchive(), fhir=FakeFhir(faults=[TransientError("status 503")] * 200))
    run_batch(fakes, OPTIONS)
    assert set(fakes.errors.retries) == {1}
    fakes.archive.studies["1.2.3"] = [entry()]
    replay = run(fakes, StudyRebuild("1.2.3"))
    while replay.is_under_way:
        fakes.sleep(10)
        if end == "cancelled":
            fakes.replays.cancelled.add(replay.id)
        replay = run(fakes, StudyRebuild("1.2.3"))
    assert fakes.errors.resolved == []
    assert set(fakes.errors.retries) == {1}
    fakes.fhir.faults.clear()
    fakes.sleep(600)
    run_batch(fakes, OPTIONS)
    assert len(held(fakes, "ImagingStudy")) == 1
    assert (fakes.errors.resolved, fakes.watermarks.watermark.sequence) == ([1], 1)


def test_a_rebuild_resolves_what_it_has_synced():
    """And what is gone; not what failed in it, nor the same SOPInstanceUID in another series, partition or study."""
    bad = entry(series="1.2.5", instance="1.2.9", t00080060=None)
    feed = [
        entry(1, instance="1.2.1"),
        entry(2, series="1.2.5", instance="1.2.9"),
        entry(3, series="1.2.4", instance="1.2.9"),
        entry(4, instance="1.2.8"),
        replace(entry(5, instance="1.2.1"), partition="north"),
        entry(6, study="1.9", instance="1.2.1"),
    ]
    fakes = world(feed, archive=FakeArchive())
    for one in feed:
        failed(fakes, one.sequence)
    carried(fakes, *range(1, 7))
    fakes.archive.studies["1.2.3"] = [entry(instance="1.2.1"), bad, entry(series="1.2.4", instance="1.2.9")]
    run(fakes, StudyRebuild("1.2.3"))
    assert fakes.errors.resolved == [1, 3, 4]
    assert set(fakes.errors.retries) == {2, 5, 6}


class Unreadable(FakeArchive):
    """Cannot tell of one study while it is `ill`."""

    ill: Exception | None = None

    def instances(self, study_instance_uid, *where):
        if self.ill and study_instance_uid == "1.2.3":
            raise self.ill
        return super().instances(study_instance_uid, *where)


UNREADABLE = [OutageError("DICOM service", "500"), FeedError("status 406"), TransientError("status 503")]


def until_it_ends(fakes, target):
    for _ in range(20):
        replay = run(fakes, target)
        if not replay.is_under_way:
            return replay
        assert replay.waiting_for
        fakes.sleep(10)
    raise AssertionError("it never ends")


def given_up(fakes):
    return [(row.table, *row.key) for row in fakes.errors.open_()]


GIVEN_UP = (ErrorTable.TRANSIENT_FAILURE, "TransientError", "00000000000000000000-1.2.3")


@pytest.mark.parametrize("ill", UNREADABLE, ids=[type(one).__name__ for one in UNREADABLE])
def test_a_rebuild_of_what_cannot_be_read_is_given_up(ill):
    """After TotalRetryDuration, with a row of the study; others wait for nothing. A later rebuild closes it."""
    fakes = world(FEED, archive=Unreadable({"1.2.3": [entry()], "1.2.4": [entry(study="1.2.4")]}))
    fakes.archive.ill = ill if not isinstance(ill, TransientError) else None
    fakes.fhir.faults[:] = [ill] * 200 if isinstance(ill, TransientError) else []
    replay = until_it_ends(fakes, StudyRebuild("1.2.3"))
    (error,) = replay.errors
    assert (error.sequence, error.sop_instance_uid, str(ill).split(": ")[-1] in error.message) == (None, "", True)
    assert given_up(fakes) == [GIVEN_UP]
    assert fakes.errors.rows[0].instance == ("Microsoft.Default", "1.2.3", "", "")
    fakes.archive.ill = None
    fakes.fhir.faults.clear()
    assert run(fakes, StudyRebuild("1.2.4")).state is ReplayState.DONE
    assert given_up(fakes) == [GIVEN_UP]
    assert run(fakes, StudyRebuild("1.2.3")).state is ReplayState.DONE
    assert given_up(fakes) == []


def test_a_rebuild_of_a_study_that_is_gone_is_given_up_too():
    """It has no instance that could be told: DICOM has it no more, and FHIR fails to let it go."""
    fakes = world([entry(1)], archive=FakeArchive({"1.2.3": [entry(1)]}))
    run(fakes, SequenceRange(1, 1))
    fakes.archive.studies.clear()
    fakes.fhir.faults[:] = [TransientError("status 503")] * 200
    replay = until_it_ends(fakes, StudyRebuild("1.2.3"))
    assert (replay.progress.failed, len(replay.errors), given_up(fakes)) == (1, 1, [GIVEN_UP])


def test_a_dry_run_of_what_cannot_be_read_has_no_row():
    """It is told, and nothing is written."""
    fakes = world(FEED, archive=Unreadable({"1.2.3": [entry()]}))
    fakes.archive.ill = FeedError("status 406")
    for _ in range(20):
        replay = run(fakes, StudyRebuild("1.2.3"), dry_run=True)
        fakes.sleep(10)
        if not replay.is_under_way:
            break
    assert (replay.state, len(replay.errors), given_up(fakes)) == (ReplayState.FAILED, 1, [])


def test_studies_of_one_uid_in_two_partitions_have_a_row_each():
    """They are two studies."""
    fakes = world(FEED, archive=Unreadable({"1.2.3": [entry()]}))
    fakes.archive.ill = FeedError("status 406")
    for partition in ("Microsoft.Default", "north"):
        until_it_ends(fakes, StudyRebuild("1.2.3", partition))
    assert given_up(fakes) == [GIVEN_UP, (*GIVEN_UP[:2], GIVEN_UP[2] + "-north")]


def test_rows_of_studies_are_rebuilt_with_the_stored_errors(monkeypatch):
    """Each by itself, before and behind rows of entries; what cannot be read still is told, and its row stays."""
    monkeypatch.setattr(replays, "LEAST_ENTRIES", 2)
    held = [*FEED, entry(), entry(study="1.9", instance="1.2.9")]
    fakes = world(FEED, archive=Unreadable({uid: [one for one in held if one.study_instance_uid == uid] for uid in {one.study_instance_uid for one in held}}))  # fmt: skip
    whole = replace(FailedEntry.of(entry(0, series="", instance=""), *GIVEN_UP[:2], "x"), sequence=0)
    fakes.errors.record([whole, replace(whole, study_instance_uid="1.9"), replace(whole, exception="Other")])
    for number in (1, 2, 3):
        failed(fakes, number, ErrorTable.TRANSIENT_FAILURE, exception="TransientError")
    fakes.archive.ill = FeedError("status 406")
    replay = run(fakes, StoredErrors(tuple(ErrorTable)))
    assert (replay.state, replay.progress.done, replay.progress.failed) == (ReplayState.DONE, 6, 2)
    assert given_up(fakes) == [GIVEN_UP, (GIVEN_UP[0], "Other", GIVEN_UP[2])]
    fakes.archive.ill = None
    replay = run(fakes, StoredErrors((GIVEN_UP[0],)))
    assert (replay.state, replay.errors, given_up(fakes)) == (ReplayState.DONE, (), [])


def test_rows_of_before_are_resolved_by_a_replay_of_the_errors():
    """Whatever their sequences."""
    fakes = ports([entry(9)])
    failed(fakes, 9)
    run(fakes, StoredErrors((ErrorTable.FHIR,)))
    assert fakes.errors.resolved == [9]


def test_a_slice_takes_no_more_than_the_replays_share_of_the_tick():
    """What is new in the feed must not wait: studies that are not begun within it are left to the next tick."""

    class Slow(FakeFhir):
        def transact(self, bundle):
            fakes.sleep(20)
            return super().transact(bundle)

    many = [entry(n, study=f"1.{n}.9", instance=f"1.2.{n}") for n in range(1, 21)]  # of one patient: one by one
    fakes = world(many, fhir=Slow(), concurrency=ConcurrencyLimit(1))
    began, replay = fakes.now(), run(fakes, SequenceRange(1, 20), seconds=30)
    assert (fakes.now() - began).total_seconds() <= 30 + 20
    assert replay.is_under_way
    assert replay.progress.done
    while replay.is_under_way:
        replay = run(fakes, SequenceRange(1, 20), seconds=30)
    assert counts(replay) == (20, 20, 20, 0, 0)


def test_what_took_the_whole_share_to_be_read_is_worked_on_all_the_same():
    """A study that the archive takes long to tell of would be read again and again, and never written."""

    class Slow(FakeArchive):
        def instances(self, study_instance_uid, *where):
            fakes.sleep(40)
            return super().instances(study_instance_uid, *where)

    fakes = world(FEED, archive=Slow({"1.0.9": [one for one in FEED if one.study_instance_uid == "1.0.9"]}))
    assert run(fakes, StudyRebuild("1.0.9"), seconds=30).state is ReplayState.DONE


class Arriving(FakeFhir):
    """With each transaction of a replay something new comes into the feed, `until` so many have."""

    def __init__(self, until=1):
        super().__init__()
        self.feed, self.left = None, until

    def transact(self, bundle):
        if self.feed and self.left:
            self.left -= 1
            self.feed.held = [*self.feed.held, entry(100 + len(self.feed.held), study="1.99", instance="1.2.99")]
        return super().transact(bundle)


def test_what_is_new_in_the_feed_ends_the_replays_of_a_tick():
    """After the slice at hand, so that the next tick begins with it; each tick gets one slice done all the same."""
    many = [entry(n, study=f"1.{n}.9", instance=f"1.2.{n}") for n in range(1, 101)]
    fhir = Arriving(until=100)
    fakes = world(many, fhir=fhir)
    fhir.feed = fakes.feed
    replay = run(fakes, SequenceRange(1, 100))
    assert replay.state is ReplayState.RUNNING
    assert 0 < replay.progress.done <= replays.LEAST_ENTRIES
    fhir.left = 0
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    assert counts(fakes.replays.read(replay.id)) == (100, 100, 100, 0, 0)


def test_a_feed_that_cannot_be_asked_ends_no_replay():
    """Whether anything is new is asked besides: the replay itself tells what it cannot read."""

    class Silent(FakeFeed):
        def latest(self):
            raise OutageError("DICOM service", "down")

    fakes = world(FEED, feed=Silent(FEED))
    assert run(fakes, StoredErrors((ErrorTable.FHIR,))).state is ReplayState.DONE
