"""A row is open exactly as long as what it says is true, whichever entry, tick or replay told that it is no more."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.app import App
from shared.errors import FhirRefusedError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import Action, State
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.replay import ReplayRequest, SequenceRange, StoredErrors, StudyRebuild
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.record.resolving import after_rebuild, after_sync
from shared.sync.replay.replay import run_replays
from tests.fakes import NOW, FakeArchive, FakeErrors, FakeFhir, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100, total_retry_seconds=60)
INVALID, DICOM, FHIR, RETRY, GIVEN_UP = ErrorTable
SEX, BIRTH = "(0010,0040) PatientSex (CS): x", "(0010,0030) PatientBirthDate (DA): x"
GONE = {"state": State.DELETED}


def row(table, sequence, exception="FhirRefusedError", message="", **others):
    others.setdefault("partition", "Microsoft.Default")
    partition = others.pop("partition")
    return replace(FailedEntry.of(entry(sequence, **others), table, exception, message), partition=partition)


CASES = [
    # name, the row that is open, entries that are synced, their failures, is it of the past
    ("the same entry", row(FHIR, 1), [entry(1)], [], True),
    ("another entry of the instance", row(FHIR, 1), [entry(5)], [], True),
    ("an older entry, replayed", row(FHIR, 5), [entry(1)], [], True),
    ("given up, then synced", row(GIVEN_UP, 1), [entry(5)], [], True),
    ("carried, and synced by another", row(RETRY, 1), [entry(5)], [], True),
    ("synced but for a tag", row(RETRY, 1), [entry(1)], [row(INVALID, 1, "I", SEX)], True),
    ("refused at last", row(RETRY, 1), [entry(1)], [row(FHIR, 1)], True),
    ("refused, and another is still tried", row(RETRY, 1), [entry(5)], [row(FHIR, 5)], False),
    ("the same failure", row(FHIR, 1), [entry(1)], [row(FHIR, 1)], False),
    ("the same failure of another entry", row(FHIR, 1), [entry(5)], [row(FHIR, 5)], True),
    ("refused, and now it cannot be mapped", row(FHIR, 1), [entry(5)], [row(DICOM, 5)], False),
    ("given up, and now it cannot be mapped", row(GIVEN_UP, 1), [entry(5)], [row(DICOM, 5)], False),
    ("refused, and its delete is done", row(FHIR, 1), [entry(4, Action.DELETE), entry(5)], [row(DICOM, 5)], True),
    ("could not be mapped, and cannot now", row(DICOM, 1), [entry(5)], [row(DICOM, 5)], True),
    ("another failure", row(DICOM, 1), [entry(1)], [row(FHIR, 1)], True),
    ("a tag that is right now", row(INVALID, 1, "I", SEX), [entry(1)], [row(INVALID, 1, "I", BIRTH)], True),
    ("a tag that is wrong still", row(INVALID, 1, "I", SEX), [entry(1)], [row(INVALID, 1, "I", SEX)], False),
    ("deleted", row(FHIR, 1), [entry(5, Action.DELETE, **GONE)], [], True),
    ("a create of what is gone", row(FHIR, 1), [entry(1, **GONE)], [], True),
    ("a create of what is gone, its delete waits", row(RETRY, 5), [entry(1, **GONE)], [], False),
    ("another instance", row(FHIR, 1, instance="1.9"), [entry(5)], [], False),
    ("the same UID in another series", row(FHIR, 1, series="1.9"), [entry(5)], [], False),
    ("the same UIDs in another partition", row(FHIR, 1, partition="north"), [entry(5)], [], False),
    ("of the study, not looked for", row(INVALID, 1, "SeveralPatients", "x"), [entry(1)], [], False),
    ("of the study, told anew", row(INVALID, 1, "SeveralPatients", "x"), [entry(5, instance="1.9")], [row(INVALID, 5, "SeveralPatients", "x", instance="1.9")], True),
]  # fmt: skip


@pytest.mark.parametrize(("open_", "entries", "failures", "is_past"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])  # fmt: skip
def test_what_is_of_the_past_after_a_sync(open_, entries, failures, is_past):
    errors = FakeErrors()
    errors.record([open_])
    assert bool(after_sync(errors.open_(), entries, failures, ())) is is_past


def test_what_was_looked_for_and_is_not_so_is_of_the_past():
    """Rows of the whole study: whichever entry they hang on."""
    errors = FakeErrors()
    errors.record([row(INVALID, 1, name, "x") for name in ("SeveralPatients", "DoubledPatient")])
    (past,) = after_sync(errors.open_(), [entry(9, instance="1.9")], [], {"SeveralPatients"})
    assert past.key[0] == "SeveralPatients"


@pytest.mark.parametrize(
    ("failures", "past"),
    [
        ([], [1, 2, 3, 5]),
        ([row(FHIR, 0)], [3, 5]),
        ([row(INVALID, 0, "I", SEX)], [1, 3, 5]),
        ([row(INVALID, 0, "SeveralPatients", "x", instance="1.9")], [1, 2, 3]),
        ([row(INVALID, 0, "DoubledPatient", "x")], [1, 2, 3, 5]),
        ([row(FHIR, 0, series="", instance="")], []),
    ],
)
def test_a_rebuild_closes_all_of_its_study_but_what_fails_again(failures, past):
    """What it fails on has no rows of its own, so that those of before say it."""
    errors = FakeErrors()
    errors.record(
        [
            row(FHIR, 1),
            row(INVALID, 2, "I", SEX),
            row(FHIR, 3, instance="1.9"),
            row(FHIR, 4, partition="n"),
            row(INVALID, 5, "SeveralPatients", "x", instance="1.7"),
        ]
    )
    found = after_rebuild(errors.open_rows([("Microsoft.Default", "1.2.3")], ()), failures)
    assert [one.sequence for one in found] == past


class Sick(FakeFhir):
    """Fails each transaction while it is `ill`."""

    ill: Exception | None = None

    def transact(self, bundle):
        if self.ill and bundle["entry"][0]["request"]["url"] != "Endpoint":
            raise self.ill
        return super().transact(bundle)


def open_rows(fakes):
    return sorted((one.table, one.sequence) for one in fakes.errors.open_())


def test_corrected_in_the_archive_and_synced_again_it_has_no_open_row():
    """The old row was of another entry, and stayed open for ever."""
    fakes = ports([entry(1, t00100020=None)])
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == [(DICOM, 1)]
    fakes.feed.held = [entry(1, state=State.DELETED), entry(2)]
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == []


def test_each_entry_is_tried_for_as_long_as_any():
    """One that came later to a study is not given up with the first; and what is given up is carried no more."""
    fakes = ports([entry(1)], fhir=Sick())
    fakes.fhir.ill = TransientError("FHIR server: status 503", status=503)
    seen = []
    for tick in range(12):
        run_batch(fakes, OPTIONS)
        seen.append(open_rows(fakes))
        fakes.sleep(30)
        if tick == 1:
            fakes.feed.held = [entry(1), entry(2, instance="1.9")]
    assert [(GIVEN_UP, 1), (RETRY, 2)] in seen
    assert seen[-1] == [(GIVEN_UP, 1), (GIVEN_UP, 2)]
    assert fakes.watermarks.watermark.sequence == 2


def test_what_was_given_up_and_is_tried_anew_is_in_one_table():
    """Never in both."""
    fakes = ports([entry(1)], fhir=Sick())
    fakes.errors.record([row(GIVEN_UP, 1, "TransientError")])
    fakes.fhir.ill = TransientError("FHIR server: status 503", status=503)
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == [(RETRY, 1)]


def test_a_replay_that_gives_up_leaves_the_feed_what_it_carries():
    """That is tried by its own back-off, for all its time."""
    fakes = ports([entry(1)], fhir=Sick())
    fakes.fhir.ill = TransientError("FHIR server: status 503", status=503)
    run_batch(fakes, replace(OPTIONS, total_retry_seconds=100_000))
    replay = fakes.replays.create(ReplayRequest(SequenceRange(1, 1)))
    while fakes.replays.read(replay.id).is_under_way:
        run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
        fakes.sleep(60)
    assert open_rows(fakes) == [(RETRY, 1)]
    fakes.fhir.ill = None
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == []


def test_a_rebuild_that_is_refused_leaves_the_rows():
    """And one that succeeds closes them, also those of entries that it has not read."""
    fakes = ports([entry(1), entry(2, instance="1.9")], fhir=Sick())
    fakes.fhir.ill = FhirRefusedError("status 422")
    run_batch(fakes, OPTIONS)
    for ill, rows in ((fakes.fhir.ill, [(FHIR, 1), (FHIR, 2)]), (None, [])):
        fakes.fhir.ill = ill
        replay = fakes.replays.create(ReplayRequest(StudyRebuild("1.2.3")))
        run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
        assert not fakes.replays.read(replay.id).is_under_way
        assert open_rows(fakes) == rows


@pytest.mark.parametrize("target", [StoredErrors((DICOM,)), StoredErrors((DICOM, FHIR)), StoredErrors((FHIR,))])
@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_delete_that_fhir_refused_is_made_up_for_though_what_came_then_cannot_be_synced(target, is_at_once):
    """The create behind it closed its row, so that nothing remembered the delete, and FHIR kept what it was about."""
    fakes = ports([entry(1), entry(2, instance="1.9")], fhir=Sick())
    run_batch(fakes, OPTIONS)
    broken = entry(4, t00100020=None)
    gone, again = entry(3, Action.DELETE, **GONE), replace(broken, sequence=3, action=Action.DELETE)
    fakes.fhir.ill = FhirRefusedError("status 422")
    for feed in ([again, broken],) if is_at_once else ([gone], [again, broken]):
        fakes.feed.held = [entry(1), entry(2, instance="1.9"), *feed]
        run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == [(DICOM, 4), (FHIR, 3)]
    fakes.fhir.ill = None
    fakes.replays.create(ReplayRequest(SequenceRange(4, 4)))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    assert open_rows(fakes) == [(DICOM, 4), (FHIR, 3)]
    replay = fakes.replays.create(ReplayRequest(target))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    assert not fakes.replays.read(replay.id).is_under_way
    assert open_rows(fakes) == [(DICOM, 4)]
    (study,) = [one for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert [one["uid"] for series in study["series"] for one in series["instance"]] == ["1.9"]


FORMER, LATTER = ({"study": study, "series": "1.8.1", "instance": "1.8.9"} for study in ("1.8", "1.9"))
LONG_BEFORE = (NOW - timedelta(minutes=5)).isoformat()


def since_long(*entries):
    return [replace(one, timestamp=LONG_BEFORE) for one in entries]


@pytest.mark.parametrize(
    ("update", "following"),
    [
        (entry(2, Action.UPDATE, **LATTER, **GONE), entry(3, Action.DELETE, **LATTER, **GONE)),
        (entry(2, Action.UPDATE, **LATTER, t00100020=None), entry(3, **LATTER)),
        (entry(2, Action.UPDATE, **LATTER), entry(3, **LATTER)),
        (entry(2, Action.UPDATE, **LATTER), entry(3, Action.DELETE, **LATTER, **GONE)),
    ],
    ids=["deleted", "corrected", "stored again", "deleted later"],
)
@pytest.mark.parametrize("road", ["at once", "deletes refused", "replay"])
def test_former_uids_go_though_fhir_refused_the_update_that_took_them_away(update, following, road):
    """The entry behind the update closed its row, and says nothing of the former UIDs."""
    fakes = ports(since_long(entry(1, **FORMER)), fhir=Sick(), archive=FakeArchive())
    run_batch(fakes, OPTIONS)
    fakes.fhir.ill = FhirRefusedError("status 422")
    (_, *held), (last,) = since_long(entry(1, **FORMER), update), since_long(following)
    fakes.feed.held, fakes.archive.studies = (
        since_long(entry(1, **FORMER), update),
        {"1.9": [replace(held[0], sequence=0)]},
    )
    run_batch(fakes, OPTIONS)
    assert FHIR in {table for table, _ in open_rows(fakes)}
    latest = replace(last, sequence=2, action=Action.UPDATE)
    fakes.feed.held = [*since_long(entry(1, **FORMER)), latest, last]
    fakes.archive.studies = {} if last.action is Action.DELETE else {"1.9": [replace(last, sequence=0)]}
    if road != "deletes refused" or last.action is not Action.DELETE:
        fakes.fhir.ill = None
    if road != "replay":
        run_batch(fakes, OPTIONS)
    fakes.fhir.ill = None
    fakes.replays.create(ReplayRequest(StoredErrors(tuple(ErrorTable)) if road != "replay" else SequenceRange(3, 3)))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    studies = [one["identifier"][0]["value"] for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"]
    assert studies == ([] if last.action is Action.DELETE else ["urn:oid:1.9"])


def test_a_replay_of_creates_that_fhir_refused_makes_no_more_calls_than_their_first_sync():
    """Each search for former UIDs would be one more for each of thousands of studies."""
    created = since_long(*(entry(n, study=f"1.{n}", series=f"1.{n}.1", instance=f"1.{n}.2") for n in range(1, 6)))
    held = {one.study_instance_uid: [replace(one, sequence=0)] for one in created}
    fakes = ports(created, fhir=Sick(), archive=FakeArchive(held))
    fakes.fhir.ill = FhirRefusedError("status 422")
    run_batch(fakes, OPTIONS)
    assert len(open_rows(fakes)) == 5
    fakes.fhir.ill, before = None, fakes.fhir.calls
    fakes.replays.create(ReplayRequest(StoredErrors((FHIR,))))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    assert open_rows(fakes) == []
    replayed = fakes.fhir.calls - before
    fresh = ports(created, archive=FakeArchive(held))
    run_batch(fresh, OPTIONS)
    assert replayed <= fresh.fhir.calls


OLD = {"study": "1.8", "series": "1.8.1", "instance": "1.8.9"}
NEW = [{**OLD, "study": "1.9"}, {**OLD, "series": "1.8.2"}, {**OLD, "instance": "1.8.8"}]
LONG_AGO = (NOW - timedelta(minutes=5)).isoformat()


def updated_world(new, sex="F", *, is_seen=False):
    """Of an instance that got other UIDs; `is_seen`: the app came by before that."""
    old, now = entry(1, **OLD, t00100040="X"), entry(2, Action.UPDATE, **new, t00100040=sex)
    fakes = ports([replace(one, timestamp=LONG_AGO) for one in (old, now)], archive=FakeArchive())
    if is_seen:
        fakes.feed.held = fakes.feed.held[:1]
        run_batch(fakes, OPTIONS)
        fakes.feed.held = [*fakes.feed.held, replace(now, timestamp=LONG_AGO)]
    fakes.archive.studies = {new["study"]: [replace(now, sequence=0)]}
    return fakes


@pytest.mark.parametrize("is_seen", [False, True])
@pytest.mark.parametrize("new", NEW)
def test_a_row_goes_with_the_uids_that_an_update_has_taken_away(new, is_seen):
    """The entry under them still says `current`; its tag is left out, and so it is under the new UIDs."""
    fakes = updated_world(new, "X", is_seen=is_seen)
    assert open_rows(fakes) == ([(INVALID, 1)] if is_seen else [])
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == [(INVALID, 2)]
    fakes.replays.create(ReplayRequest(SequenceRange(1, 2)))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    assert open_rows(fakes) == [(INVALID, 2)]


@pytest.mark.parametrize("new", NEW)
def test_a_row_that_a_killed_host_left_under_uids_of_before_is_closed_by_a_replay(new):
    """FHIR was written, the row not: nothing there leads to the UIDs of before any more."""
    fakes = updated_world(new)
    run_batch(fakes, OPTIONS)
    fakes.errors.record([row(INVALID, 1, "InvalidDicomTagError", SEX, **OLD)])
    fakes.replays.create(ReplayRequest(StoredErrors((INVALID,))))
    run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
    assert open_rows(fakes) == []


OF_STUDY_ROWS = [
    row(INVALID, 1, name, "x", **OLD) for name in ("SeveralPatients", "DoubledPatient", "StudyTooLargeError")
]


@pytest.mark.parametrize(
    ("others", "left"),
    [
        (OF_STUDY_ROWS, []),
        ([row(DICOM, 1, "InvalidDicomTagError", **{**OLD, "instance": "1.8.7"})], []),  # what FHIR never had
        ([row(RETRY, 5, "TransientError", **OLD)], [(RETRY, 5)]),  # its own back-off comes to it
        ([row(INVALID, 5, "I", SEX, **OLD, partition="north")], [(INVALID, 5)]),
        ([row(INVALID, 5, "I", SEX, study="1.7", series="1.8.1", instance="1.8.9")], [(INVALID, 5)]),
    ],
)
def test_of_a_study_that_got_another_uid_all_rows_go(others, left):
    """But those of what is carried; and none of another study, or partition."""
    fakes = updated_world(NEW[0], is_seen=True)
    fakes.errors.record(others)
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == left


@pytest.mark.parametrize("left", [{}, {"t00080060": None}])
def test_of_a_study_that_has_something_left_no_other_rows_go(left):
    """Whether that can be synced or not."""
    fakes = updated_world(NEW[0], is_seen=True)
    other = {**OLD, "instance": "1.8.7"}
    fakes.archive.studies[OLD["study"]] = [entry(0, **other, **left)]
    fakes.errors.record([row(DICOM, 5, "InvalidDicomTagError", **other)])
    run_batch(fakes, OPTIONS)
    assert open_rows(fakes) == [(DICOM, 5)]


def test_a_tag_that_instances_share_is_told_of_one_that_is_there():
    """It was told of the first, which has other UIDs now; what that one alone said is told no more."""
    first = entry(1, **OLD, t00100040="X", t00180015="head")
    now = entry(2, Action.UPDATE, **NEW[1], t00100040="X")
    third = entry(3, study="1.8", series="1.8.3", instance="1.8.3.1", t00100040="X", t00180015="head")
    feed = [replace(one, timestamp=LONG_AGO) for one in (first, now, third)]
    fakes = ports(feed, archive=FakeArchive({"1.8": [replace(one, sequence=0) for one in (now, third)]}))
    run_batch(fakes, OPTIONS)
    assert sorted(one.key for one in fakes.errors.open_()) == [
        ("InvalidDicomTagError", f"{2:020d}-0010,0040"),
        ("InvalidDicomTagError", f"{3:020d}-0018,0015"),
    ]


def test_rows_of_the_whole_study_go_with_its_last_instance():
    """Of a study that is nowhere nothing can be said; while an instance is left it may be true still."""
    both = [entry(1), entry(2, instance="1.9")]
    fakes = ports(both, archive=FakeArchive())
    run_batch(fakes, OPTIONS)
    fakes.errors.record([row(INVALID, 1, "StudyTooLargeError", "x")])
    for sequence, left, rows in ((3, both[1:], [(INVALID, 1)]), (4, [], [])):
        fakes.archive.studies = {both[0].study_instance_uid: left}
        gone = {} if sequence == 3 else {"instance": "1.9"}
        fakes.feed.held = [*fakes.feed.held, entry(sequence, Action.DELETE, **GONE, **gone)]
        run_batch(fakes, OPTIONS)
        assert open_rows(fakes) == rows


def torn_row(fakes, **others):
    fakes.errors.record([replace(row(DICOM, 1, "TornEntryError"), **others)])


NAMELESS = {"study_instance_uid": "", "series_instance_uid": "", "sop_instance_uid": ""}


def test_a_torn_entry_without_uids_is_closed_by_a_replay_of_its_sequence():
    """Once the feed gives it; nothing else that is synced knows of it."""
    fakes = ports([entry(1), entry(2)])
    torn_row(fakes, **NAMELESS)
    for first, rows in ((2, [(DICOM, 1)]), (1, [])):
        replay = fakes.replays.create(ReplayRequest(SequenceRange(first, first)))
        run_replays(fakes, OPTIONS, fakes.now() + timedelta(seconds=30))
        assert not fakes.replays.read(replay.id).is_under_way
        assert open_rows(fakes) == rows


def test_a_person_closes_the_row_of_a_torn_entry_without_uids_and_no_other():
    """All others close by themselves: one that was closed by hand would say that its instance is in FHIR."""
    fakes = ports([entry(1)])
    app = App(fakes, fakes, OPTIONS, outages=None, settings={}, health_max_age=timedelta(1), questions=None)
    torn_row(fakes)
    assert not app.close_torn(DICOM, 1)
    torn_row(fakes, **NAMELESS)
    assert not app.close_torn(FHIR, 1)
    assert not app.close_torn(DICOM, 2)
    assert app.close_torn(DICOM, 1)
    assert open_rows(fakes) == []


class Counted(FakeErrors):
    """Notes how many rows are recorded, and closed, at once."""

    def __init__(self):
        super().__init__()
        self.recorded_at_once, self.closed_at_once = [], []

    def record(self, failures):
        self.recorded_at_once.append(len(failures))
        super().record(failures)

    def close(self, rows):
        self.closed_at_once.append(len(rows))
        super().close(rows)


def test_rows_are_written_for_a_hundred_studies_at_once():
    """And closed: one row after another an archive full of an invalid tag would wait for storage alone."""
    invalid = [entry(n, study=f"1.{n}", instance=f"1.{n}.1", t00100020=f"P{n}", t00100040="X") for n in range(1, 251)]
    errors = Counted()
    fakes = ports(invalid, errors=errors)
    options = BatchOptions(OPTIONS.mapping, size=1000)
    run_batch(fakes, options)
    assert sum(errors.recorded_at_once) == 250
    assert len(errors.recorded_at_once) <= 3
    assert len(errors.open_()) == 250
    mended = [entry(n, study=f"1.{n}", instance=f"1.{n}.1", t00100020=f"P{n}") for n in range(1, 251)]
    run_batch(ports(mended, errors=errors, fhir=fakes.fhir), options)
    assert errors.open_() == []
    assert len(errors.closed_at_once) <= 3


def test_what_storage_does_not_take_is_done_again():
    """Studies whose rows could not be written are not passed by the watermark."""
    invalid = [entry(n, study=f"1.{n}", instance=f"1.{n}.1", t00100040="X") for n in range(1, 4)]
    fakes = ports(invalid, errors=FakeErrors(faults=[OutageError("storage", "down")] * 2))
    with pytest.raises(OutageError):
        run_batch(fakes, OPTIONS)
    assert fakes.watermarks.read().watermark.sequence == 0
    run_batch(fakes, OPTIONS)
    assert (fakes.watermarks.read().watermark.sequence, len(fakes.errors.open_())) == (3, 3)
