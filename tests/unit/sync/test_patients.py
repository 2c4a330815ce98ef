"""The later entry of the feed has the word on a Patient, across studies, lanes, batches, carried entries and replays."""

import random
import threading
import time
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import FhirRefusedError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION, Action, State, TornEntry
from shared.model.failures import ErrorTable
from shared.model.options import PatientUpdatePolicy
from shared.model.replay import ReplayRequest, SequenceRange, StoredErrors, StudyRebuild
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.merge.feed_order import FeedOrder
from shared.sync.queue.concurrency import ConcurrencyLimit
from shared.sync.read import earlier_statements
from shared.sync.replay.replay import run_replays
from tests.fakes import FakeArchive, FakeClock, FakeErrors, FakeFeed, FakeFhir, entry, ports

MAPPING = MappingOptions("https://dicom.example.org")
OPTIONS = BatchOptions(MAPPING, size=100, total_retry_seconds=100_000)
FILL, NEVER, OVERWRITE = PatientUpdatePolicy.FILL, PatientUpdatePolicy.NEVER, PatientUpdatePolicy.OVERWRITE


def said(sequence, study, sex=None, *, patient="P-1", name=None, born=None, **others):
    """An entry of a study that says this of its patient."""
    tags = {"t00100020": patient, "t00100040": sex, "t00100030": born}
    tags |= {"t00100010": {"vr": "PN", "Value": [name]} if name else None}
    return entry(sequence, study=uid(study), **{"instance": f"{uid(study)}.{sequence}"} | tags | others)


def uid(study):
    """Of the study `A`, or of `2.1`."""
    return "1." + study.translate({ord(letter): str(n) for n, letter in enumerate("ABCD", 1)})


def patients(fhir):
    """By PatientID."""
    return {one["identifier"][0]["value"]: one for one in fhir.resources if one["resourceType"] == "Patient"}


def gender(fakes):
    (patient,) = patients(fakes.fhir).values()
    return patient.get("gender")


def gender_of(fakes, patient):
    return patients(fakes.fhir)[patient].get("gender")


def versions(fakes):
    return [one["meta"]["versionId"] for one in fakes.fhir.resources]


def world(*entries, page=100, **others):
    clock = FakeClock()
    fakes = {"errors": FakeErrors(clock.now), "now": clock.now, "sleep": clock.sleep}
    return ports(**{"feed": FakeFeed(list(entries), page=page)} | fakes | others)


def sync(fakes, size=100, mapping=MAPPING):
    """One batch, ten seconds after the one before."""
    fakes.sleep(10)
    return run_batch(fakes, replace(OPTIONS, mapping=mapping, size=size))


def replay(fakes, target, mapping=MAPPING, *, is_asked=False):
    fakes.replays.create(ReplayRequest(target, patients=is_asked))
    run_replays(fakes, replace(OPTIONS, mapping=mapping), fakes.now() + timedelta(seconds=30))
    assert not fakes.replays.under_way()


ABA = [said(1, "A", "M"), said(2, "B", "F"), said(3, "A", "M")]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_last_entry_of_the_feed_says_what_a_patient_is(size):
    """Two studies take turns: however it is cut into batches, the last word stays; and once it is true, it stays true."""
    fakes = world(*ABA, page=1)
    for _ in range(4):
        sync(fakes, size)
    assert gender(fakes) == "male"


OLD = {"Alphabetic": "Old^Ann"}
OLDER_FIRST = [
    ("female", [said(1, "A", "F"), said(2, "B", "M"), said(3, "C", "F"), said(4, "D")]),
    ("male", [said(1, "A", "F", name=OLD), said(2, "B", "F"), said(3, "C", "M"), said(4, "D", name=OLD)]),
    ("female", [said(1, "A", "M", name=OLD), said(2, "B", "F")]),  # A has the newest name, and B the newest sex
]


@pytest.mark.parametrize(("newest", "entries"), OLDER_FIRST)
def test_what_is_true_is_not_written_again(newest, entries):
    """A second run over the same batch, where an older word comes first."""
    fakes = world(*entries)
    sync(fakes)
    before = versions(fakes)
    fakes.watermarks.rewind()
    sync(fakes)
    assert (gender(fakes), versions(fakes)) == (newest, before)


MOVED = {"series": "1.8.1", "instance": "1.8.9"}
LEFT = said(4, "B", "M", name=OLD, **MOVED)
"""What an entry still calls current under the UIDs that an update of its batch has taken away; of another patient now."""
UPDATED = said(5, "B", patient="P-2", action=Action.UPDATE, **MOVED | {"series": "1.8.2"})


@pytest.mark.parametrize("others", [[], [said(2, "B", patient="P-2")]])  # FHIR knows the study, or not
@pytest.mark.parametrize(("sex", "expected"), [("F", "female"), (None, None)])
def test_the_word_of_an_instance_that_the_archive_has_no_more_is_none(others, sex, expected):
    """Nor is it told that the study is of several patients; and a replay writes nothing."""
    before = [said(1, "A", sex and "M"), *others]
    held = {uid("A"): [before[0], said(3, "A", sex)], uid("B"): [*others, UPDATED]}
    fakes = world(*before, *held[uid("A")][1:], LEFT, UPDATED, page=1, archive=FakeArchive(held))
    sync(fakes, len(before))
    sync(fakes)
    assert patients(fakes.fhir)["P-1"].get("gender") == expected
    assert patients(fakes.fhir)["P-1"].get("name") is None
    assert fakes.errors.rows == []
    told = versions(fakes)
    replay(fakes, SequenceRange(1, 5))
    assert versions(fakes) == told


def test_an_instance_that_the_archive_has_no_more_puts_no_study_first():
    """A second run over the same batch: the older word would be written, and the newest again."""
    held = {uid("A"): [said(1, "A", "F")], uid("C"): [said(2, "C", "M")], uid("B"): [UPDATED]}
    fakes = world(*held[uid("A")], *held[uid("C")], LEFT, UPDATED, archive=FakeArchive(held))
    sync(fakes)
    told = versions(fakes)
    fakes.watermarks.rewind()
    sync(fakes)
    assert (patients(fakes.fhir)["P-1"]["gender"], versions(fakes)) == ("male", told)


def test_an_instance_that_may_be_gone_is_behind_the_newest_word_too():
    """An update in another study is of the same SOPInstanceUID: which of them the archive has is not known yet."""
    held = {uid("A"): [said(1, "A", "M", **MOVED)], uid("B"): [UPDATED], uid("C"): [said(6, "C", "F")]}
    fakes = world(*held[uid("A")], UPDATED, *held[uid("C")], archive=FakeArchive(held))
    sync(fakes)
    told = versions(fakes)
    fakes.watermarks.rewind()
    sync(fakes)
    assert (patients(fakes.fhir)["P-1"]["gender"], versions(fakes)) == ("female", told)


def test_words_are_told_apart():
    """Who speaks last of a name need not speak of the gender; nor of a name in another script."""
    fakes = world(
        said(1, "A", "M", name={"Alphabetic": "Yamada", "Ideographic": "山田"}, born="19700101"),
        said(2, "B", "F", name={"Alphabetic": "Yamada^Taro"}),
        said(3, "C", name={"Alphabetic": "Yamada^Hanako"}, born="19990101"),
        said(4, "C"),
    )
    sync(fakes)
    (patient,) = patients(fakes.fhir).values()
    assert [(one["family"], one.get("given")) for one in patient["name"]] == [("Yamada", ["Hanako"]), ("山田", None)]
    assert (patient["gender"], patient["birthDate"][:2]) == ("female", "19")


def test_the_order_is_the_feeds_not_that_of_sequence_numbers():
    """API v2 orders by time."""
    fakes = world(said(9, "A", "M"), said(4, "B", "F"))
    sync(fakes)
    assert gender(fakes) == "female"


@pytest.mark.parametrize("bad", [{"t00080060": None}, {"t00100040": "X"}])
def test_a_word_that_is_not_taken_is_none(bad):
    """The newest entry is not synced, or its sex is left out: the one before has the word."""
    fakes = world(said(1, "A", "M"))
    sync(fakes)
    fakes.feed.held += [said(2, "B", "F"), replace(said(3, "C", "M"), metadata=said(3, "C", "M", **bad).metadata)]
    sync(fakes)
    assert gender(fakes) == "female"


def test_a_word_that_the_server_refuses_is_none():
    """The study's rows say so; the older word is written."""
    fakes = world(said(1, "A", "M"))
    sync(fakes)
    fakes.feed.held += [said(2, "B", "F"), said(3, "C", "O")]
    fakes.fhir.faults = [FhirRefusedError("status 422")]
    sync(fakes)
    assert gender(fakes) == "female"
    assert [row.sequence for row in fakes.errors.rows] == [3]


class Jittery(FakeFhir):
    """Answers after times that differ, and sees which Patients are at work at once. Lanes may share it."""

    def __init__(self):
        super().__init__()
        self.lock, self.random, self.here, self.clashes = threading.RLock(), random.Random(7), [], 0

    def _late(self, work, *args):
        time.sleep(self.random.random() / 100)
        with self.lock:
            return work(*args)

    def search(self, *args):
        return self._late(super().search, *args)

    def search_many(self, searches):
        return self._late(super().search_many, searches)

    def transact(self, bundle):
        sent = {one["resource"]["identifier"][0]["value"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient"}  # fmt: skip
        with self.lock:
            self.clashes += any(sent & one for one in self.here)
            self.here.append(sent)
        try:
            return self._late(super().transact, bundle)
        finally:
            self.here.remove(sent)


def test_pairs_on_several_lanes():
    """Two studies of one patient, with another issuer each: the later name wins, the birth date stays."""
    entries = []
    for pair in range(60):
        issued = [{"patient": f"P-{pair}", "t00100021": f"I-{n}"} for n in (1, 2)]
        entries.append(
            said(2 * pair + 1, f"{pair + 1}.1", "M", born="19700101", name={"Alphabetic": "Old"}, **issued[0])
        )
        entries.append(said(2 * pair + 2, f"{pair + 1}.2", "F", name={"Alphabetic": "New"}, **issued[1]))
    fakes = world(*entries, fhir=Jittery(), concurrency=ConcurrencyLimit(8))
    sync(fakes, size=1_000)
    held = [(one["gender"], one["birthDate"], one["name"][0]["family"]) for one in patients(fakes.fhir).values()]
    assert held == [("female", "1970-01-01", "New")] * 60
    assert fakes.fhir.clashes == 0


def test_mixed_studies_on_several_lanes():
    """Each is of its own patient and the next one's: all are done, and no Patient is at work twice."""
    entries = []
    for number in range(60):
        entries += [said(2 * number + n, f"{number + 1}", "M", patient=f"P-{(number + n) % 60}") for n in (1, 2)]
        entries.append(said(1_000 + number, f"{number + 1}.1", "F", patient=f"P-{number}"))
    entries = random.Random(5).sample(entries, len(entries))
    fakes = world(*entries, fhir=Jittery(), concurrency=ConcurrencyLimit(8))
    assert sync(fakes, size=1_000).written == len(entries)
    assert (len(patients(fakes.fhir)), fakes.fhir.clashes) == (60, 0)


def test_a_carried_entrys_word_is_the_newest_where_nothing_newer_was_taken():
    """It is tried again while other patients' studies have come: this host has seen that they say nothing of this one."""
    fakes = world(said(1, "A", "M"))
    sync(fakes)
    fakes.feed.held += [said(2, "B", "F")]
    fakes.fhir.faults = [TransientError("status 503")] * 4
    sync(fakes)
    assert sorted(fakes.errors.retries) == [2]
    fakes.feed.held += [said(3, "C", "O", patient="P-2")]
    sync(fakes)
    sync(fakes)
    assert {name: one["gender"] for name, one in patients(fakes.fhir).items()} == {"P-1": "female", "P-2": "other"}
    assert not fakes.errors.retries


@pytest.mark.parametrize("later", [{"sex": "O"}, {"sex": None, "name": {"Alphabetic": "B"}}])
def test_a_carried_entry_does_not_overrule_what_came_since(later):
    """Word by word: who has spoken of the name alone since has not spoken of the gender."""
    fakes = world(said(1, "A", "M", name={"Alphabetic": "A"}))
    sync(fakes)
    fakes.feed.held += [said(2, "B", "F", name={"Alphabetic": "C"}, born="19700101")]
    fakes.fhir.faults = [TransientError("status 503")] * 4
    sync(fakes)
    fakes.feed.held += [said(3, "C", **later)]
    for _ in range(3):
        sync(fakes)
    assert not fakes.errors.retries
    (patient,) = patients(fakes.fhir).values()
    assert patient["gender"] == ("other" if later["sex"] else "female")
    assert patient["name"][0]["family"] == ("B" if "name" in later else "C")
    assert patient["birthDate"] == "1970-01-01"  # filled


class Sick(FakeFhir):
    """Fails or refuses each transaction that speaks of a study that is in `faults`."""

    def __init__(self):
        super().__init__()
        self.of = {}

    def transact(self, bundle):
        for study, fault in self.of.items():
            if f"urn:oid:{uid(study)}'" in repr(bundle):
                raise fault
        return super().transact(bundle)


BUSY, REFUSED = TransientError("status 503"), FhirRefusedError("status 422")
CAME = [
    # what came while an entry of F was carried; what the Patient says in the end
    ([], "female"),
    ([said(3, "C", "O")], "other"),
    ([said(3, "C", "O"), said(4, "A", "M")], "male"),
    ([said(3, "C", name=OLD)], "female"),  # speaks of the name alone
    ([said(3, "C", "O", patient="P-2")], "female"),
    ([said(3, "C", "X")], "female"),  # an invalid tag
    ([said(3, "C", "O", t00080060=None)], "female"),  # cannot be mapped
    ([said(3, "C", "M"), said(4, "B", "O")], "other"),  # is carried too
]
HOSTS = ["one", "restarted", "another", "there and back"]


def carried_over(came, hosts, then=()):
    """What the Patient says after an entry was carried while others came, and which `hosts` worked.

    What study D says is refused: at once, or in the end if `then` that is what becomes of it.
    """
    fakes = world(said(1, "A", "M"), fhir=Sick())
    sync(fakes)
    fakes.fhir.of = {"B": BUSY, "D": BUSY if then else REFUSED}
    fakes.feed.held += [said(2, "B", "F", born="19700101")]
    sync(fakes)
    other = replace(fakes, feed_order=FeedOrder())
    fakes.feed.held += came
    sync(other if hosts in ("another", "there and back") else fakes)
    assert 2 in fakes.errors.retries
    fakes.fhir.of = dict(then)
    fakes.sleep(60)  # it is due
    sync({"restarted": replace(fakes, feed_order=FeedOrder()), "another": other}.get(hosts, fakes))
    assert not fakes.errors.retries
    patient = patients(fakes.fhir)["P-1"]
    assert patient["birthDate"] == "1970-01-01"
    return patient["gender"]


@pytest.mark.parametrize("hosts", HOSTS)
@pytest.mark.parametrize(("came", "expected"), CAME)
def test_a_carried_entrys_word_does_not_depend_on_the_host(came, expected, hosts):
    """A host that was started since, or that finds another to have worked, knows from the feed what came since."""
    assert carried_over(came, hosts) == expected


@pytest.mark.parametrize("hosts", HOSTS)
@pytest.mark.parametrize("then", [{}, {"D": REFUSED}])
def test_nor_does_it_if_a_later_word_is_refused(then, hosts):
    """At once, or after it was carried too."""
    assert carried_over([said(3, "D", "O")], hosts, then) == "female"


def test_a_word_of_what_was_deleted_does_not_stand_against_a_carried_entry():
    """Once a host was started: the archive says it no more, and neither does the feed."""
    fakes = world(said(1, "A", "M"), fhir=Sick())
    fakes.fhir.of = {"B": TransientError("status 503")}
    fakes.feed.held += [said(2, "B", "F"), gone := said(3, "C", "O")]
    sync(fakes)
    deleted = said(4, "C", instance=gone.sop_instance_uid, action=Action.DELETE)
    fakes.feed.held[2:] = [replace(one, state=State.DELETED, metadata=None) for one in (gone, deleted)]
    sync(fakes)
    fakes.fhir.of = {}
    fakes.sleep(60)  # it is due
    sync(replace(fakes, feed_order=FeedOrder()))
    assert (gender(fakes), fakes.errors.retries) == ("female", {})


@pytest.mark.parametrize(
    ("unread", "expected"),
    [
        (replace(said(3, "C"), metadata=None), "male"),
        (TornEntry(3, None, "not JSON"), "male"),
        (replace(said(3, "C"), metadata=None, state=State.REPLACED), "female"),  # another entry has what it says now
    ],
)
def test_a_carried_entry_before_one_that_cannot_be_read_any_more_only_fills(unread, expected):
    """What that said may be newer, and in FHIR; unless it could not be read at first either, and has a row."""
    for first in (said(3, "C", patient="P-2"), unread):
        fakes = world(said(1, "A", "M"), fhir=Sick())
        sync(fakes)
        fakes.fhir.of = {"B": BUSY}
        fakes.feed.held += [said(2, "B", "F"), first, said(4, "D", patient="P-2")]
        sync(fakes)
        fakes.feed.held[2] = unread
        fakes.fhir.of = {}
        fakes.sleep(60)  # it is due
        sync(replace(fakes, feed_order=FeedOrder()))
        assert (gender_of(fakes, "P-1"), fakes.errors.retries) == ("female" if first is unread else expected, {})


@pytest.mark.parametrize(("late", "behind", "expected"), [("F", "O", "other"), ("F", None, "female")])
def test_what_fills_a_hole_has_its_place_after_a_restart(late, behind, expected):
    fakes = world(said(1, "A", "M"), said(3, "C", behind))
    fakes.feed.young = [2]
    sync(fakes)
    fakes.feed.held.insert(1, said(2, "B", late))
    sync(replace(fakes, feed_order=FeedOrder()))
    assert gender(fakes) == expected


class Slow(FakeFeed):
    """Notes which ranges of sequences were asked for; each takes so many seconds."""

    asked, seconds, sleep = (), 0, None

    def entries(self, sequences):
        if isinstance(sequences, range):
            self.asked = [*self.asked, sequences]
            self.sleep(self.seconds)
        return super().entries(sequences)


BOUNDS = [
    # the most sequences, seconds for each request; which were read again, what the Patient says in the end
    (10, 0, [range(3, 5), range(2, 3)], "female"),
    (3, 0, [range(3, 5), range(2, 3)], "female"),
    (2, 0, [range(3, 5)], "male"),
    (10, 1000, [range(3, 5)], "male"),
]


@pytest.mark.parametrize(("most", "seconds", "asked", "expected"), BOUNDS)
def test_what_is_read_again_is_bounded(most, seconds, asked, expected, monkeypatch):
    """In number and in time. A carried entry before it only fills; and nothing is read again if nothing is carried."""
    monkeypatch.setattr(earlier_statements, "MOST_SEQUENCES", most)
    monkeypatch.setattr(earlier_statements, "AT_ONCE", 2)
    fakes = world(fhir=Sick(), feed=(feed := Slow([said(1, "A", "M")])))
    feed.seconds, feed.sleep = seconds, fakes.sleep
    sync(fakes)
    fakes.fhir.of = {"B": TransientError("status 503")}
    feed.held += [said(2, "B", "F"), said(3, "C", patient="P-2"), said(4, "D", patient="P-2")]
    sync(fakes)
    assert feed.asked == ()
    fakes = replace(fakes, feed_order=FeedOrder())
    sync(fakes)
    fakes.fhir.of = {}
    fakes.sleep(60)  # it is due
    sync(fakes)
    assert (feed.asked, gender_of(fakes, "P-1"), fakes.errors.retries) == (asked, expected, {})


RANGES = [(1, 1), (1, 2), (2, 2), (1, 3), (3, 3)]


@pytest.mark.parametrize("first_last", RANGES)
def test_a_replay_turns_no_patient_back(first_last):
    """Of any range, it writes nothing where FHIR is true."""
    fakes = world(*ABA)
    sync(fakes)
    before = versions(fakes)
    replay(fakes, SequenceRange(*first_last))
    assert (gender(fakes), versions(fakes)) == ("male", before)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (SequenceRange(1, 2), "female"),
        (SequenceRange(1, 3), "male"),
        (SequenceRange(3, 3), "male"),
        (StudyRebuild(uid("B"), DEFAULT_PARTITION), "female"),
        (StudyRebuild(uid("A"), DEFAULT_PARTITION), "male"),
    ],
)
@pytest.mark.parametrize("is_asked", [False, True])
def test_a_replay_overwrites_patients_where_it_is_asked_to(target, expected, is_asked):
    """With the newest word among what is replayed; else it fills what is missing."""
    fakes = world(*ABA, archive=FakeArchive({uid("A"): [ABA[0], ABA[2]], uid("B"): [ABA[1]]}))
    sync(fakes)
    (patient,) = patients(fakes.fhir).values()
    patient["gender"] = "unknown"
    replay(fakes, target, is_asked=is_asked)
    assert gender(fakes) == (expected if is_asked else "unknown")


def test_a_replay_fills_what_is_missing_and_makes_a_patient_whole():
    """As a study that comes late; a stored failure too."""
    fakes = world(said(1, "A", "M", born="19700101"), said(2, "B", "F", patient="P-2", t00080060=None))
    sync(fakes)
    (patient,) = patients(fakes.fhir).values()
    del patient["gender"], patient["birthDate"]
    fakes.feed.held[1] = said(2, "B", "F", patient="P-2")
    replay(fakes, SequenceRange(1, 1))
    replay(fakes, StoredErrors((ErrorTable.DICOM,)))
    told = {name: (one["gender"], one.get("birthDate")) for name, one in patients(fakes.fhir).items()}
    assert told == {"P-1": ("male", "1970-01-01"), "P-2": ("female", None)}


@pytest.mark.parametrize(("policy", "expected"), [(NEVER, "unknown"), (FILL, "unknown"), (OVERWRITE, "male")])
def test_a_replay_that_is_asked_to_keeps_the_policy(policy, expected):
    """`patients` gives it the newest word, no other right."""
    mapping = replace(MAPPING, patient_update_policy=policy)
    fakes = world(*ABA)
    sync(fakes, mapping=mapping)
    (patient,) = patients(fakes.fhir).values()
    patient["gender"] = "unknown"
    replay(fakes, SequenceRange(1, 3), mapping, is_asked=True)
    assert gender(fakes) == expected


def test_a_mixed_study_is_told():
    """A danger to patients: how many they are, never which."""
    fakes = world(said(1, "A"), said(2, "A", patient="P-2 "), said(3, "A", patient="P-2"), said(4, "B"))
    sync(fakes)
    (row,) = fakes.errors.rows
    assert (row.table, row.exception, row.sequence) == (ErrorTable.INVALID_TAG, "SeveralPatients", 3)
    assert row.message.startswith("(0010,0020) PatientID (LO): instances of the study carry 2 PatientIDs: ")
    assert "P-" not in row.message


SAID = st.fixed_dictionaries(
    {
        "study": st.sampled_from("ABCD"),
        "sex": st.sampled_from([None, "M", "F", "O", "X"]),
        "name": st.sampled_from(
            [None, {"Alphabetic": "A"}, *({"Alphabetic": "B", "Ideographic": one} for one in "山川")]
        ),
        "born": st.sampled_from([None, "19700101", "19990101"]),
    }
)
OWNERS = st.fixed_dictionaries({study: st.sampled_from(["P-1", "P-1 ", "P-2"]) for study in "ABCD"})


@dataclass
class Run:
    """How the feed is cut, how many lanes there are, and which transactions fail in passing."""

    sizes: list
    lanes: int
    faults: list


RUNS = st.builds(
    Run,
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.sampled_from([1, 3]),
    st.lists(st.sampled_from([[None], [None], ["status 503"] * 4]), max_size=6),
)
GENDERS = {"M": "male", "F": "female", "O": "other"}


def told_of(entries):
    """What the feed says of each patient, word by word, the last at the end."""
    told = {}
    for one in entries:
        words = told.setdefault(one.metadata["00100020"]["Value"][0].strip(), {})
        sex = one.metadata.get("00100040", {"Value": [None]})["Value"][0]
        groups = one.metadata.get("00100010", {"Value": [{}]})["Value"][0]
        born = one.metadata.get("00100030", {"Value": [None]})["Value"][0]
        found = {"gender": GENDERS.get(sex), "birthDate": born and f"{born[:4]}-{born[4:6]}-{born[6:]}", **groups}
        for word, value in found.items():
            words.setdefault(word, []).extend([value] if value else [])
    return {patient: {word: values for word, values in words.items() if values} for patient, words in told.items()}


def held_of(fhir):
    """What FHIR says of each patient."""
    held = {}
    for name, patient in patients(fhir).items():
        names = {
            ("Ideographic" if one.get("extension") else "Alphabetic"): one["family"] for one in patient.get("name", [])
        }
        held[name] = {word: patient[word] for word in ("gender", "birthDate") if word in patient} | names
    return held


def settle(fakes, run, mapping):
    """Batches, as they are cut, until nothing is new and nothing waits."""
    fakes.fhir.faults = [one and TransientError(one) for several in run.faults for one in several]
    for size in [*run.sizes, *[4] * 60]:
        fakes.sleep(60)
        try:
            result = sync(fakes, size, mapping)
        except OutageError:
            continue
        stored = fakes.watermarks.stored
        if not result.entries and stored.watermark == stored.read_through:
            return
    raise AssertionError("it does not settle")


@given(st.lists(SAID, min_size=1, max_size=10), OWNERS, RUNS, st.sampled_from(PatientUpdatePolicy), st.data())
def test_the_patient_says_what_the_feed_says_at_last(all_said, owners, run, policy, data):
    """Under each policy, however it is cut, with lanes and passing faults; a replay of anything then writes nothing."""
    mapping = replace(MAPPING, patient_update_policy=policy)
    entries = [said(n, patient=owners[one["study"]], **one) for n, one in enumerate(all_said, 1)]
    fakes = world(*entries, page=1, concurrency=ConcurrencyLimit(run.lanes))
    settle(fakes, run, mapping)

    told, held = told_of(entries), held_of(fakes.fhir)
    for patient, words in told.items():
        for word, values in words.items():
            if policy is OVERWRITE and word != "birthDate":
                assert held[patient][word] == values[-1], (patient, word)
            elif policy is not NEVER and word != "Ideographic":  # a name is filled as a whole
                assert held[patient][word] in values, (patient, word)
    if policy is NEVER:
        assert all(words.items() <= {(w, v) for w, v in words.items() if v in told[p][w]} for p, words in held.items())

    fakes.fhir.faults, before = [], versions(fakes)
    first = data.draw(st.integers(1, len(entries)))
    replay(fakes, SequenceRange(first, data.draw(st.integers(first, len(entries)))), mapping)
    assert versions(fakes) == before
    replay(fakes, SequenceRange(1, len(entries)), mapping, is_asked=True)
    assert held_of(fakes.fhir) == held
