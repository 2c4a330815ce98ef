"""What is learned of a FHIR server: limits of its transactions, what it refuses, and how long that counts."""

import threading

import pytest

from shared.clients.fhir.answers import CapabilityStatement
from shared.clients.fhir.capabilities import (
    FORGOTTEN_AFTER_SECONDS,
    MAX_ENTRIES,
    LearnedCapabilities,
    Limit,
    capability_texts,
)

STATEMENT = CapabilityStatement("4.0.1", "HAPI 8.8", "http://inner/fhir", transactions=True, batches=None)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def learned(clock):
    return LearnedCapabilities(clock)


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        (Limit(), MAX_ENTRIES),
        (Limit(taken=30), MAX_ENTRIES),
        (Limit(taken=8, refused=9), 8),
        (Limit(taken=4, refused=9), 4),  # what lies between has not been tried
        (Limit(taken=0, refused=9), 1),
        (Limit(taken=0, refused=1), 1),
        (Limit(taken=30, refused=9), 8),
    ],
)
def test_the_most_entries_of_a_transaction(limit, most):
    """No more than was taken once something was refused; always one."""
    assert limit.most == most


def test_limits_are_learned_by_kind(learned):
    """The largest that was taken, the smallest that was refused; updates have a limit of their own."""
    for size in (4, 8, 6):
        learned.learn_taken(size, conditional=True)
    for size in (40, 12, 20):
        learned.learn_too_many(size, conditional=True)
    learned.learn_taken(50, conditional=False)
    assert learned.known.conditional == Limit(taken=8, refused=12)
    assert learned.known.plain == Limit(taken=50)


def test_a_limit_is_forgotten_after_an_hour(learned, clock):
    """And what was taken is not; a second refusal counts from then on."""
    learned.learn_taken(8, conditional=True)
    learned.learn_too_many(20, conditional=True)
    clock.seconds = FORGOTTEN_AFTER_SECONDS
    assert learned.known.conditional.most == 8
    learned.learn_too_many(12, conditional=True)
    clock.seconds += FORGOTTEN_AFTER_SECONDS
    assert learned.known.conditional == Limit(taken=8, refused=12)
    clock.seconds += 1
    assert learned.known.conditional == Limit(taken=8)
    learned.learn_too_many(30, conditional=True)
    assert learned.known.conditional == Limit(taken=8, refused=30)


@pytest.mark.parametrize("name", ["batches", "post_searches"])
def test_what_was_refused_is_tried_again_after_an_hour(learned, clock, name):
    """What was taken, and what reading back has shown, stays."""
    learned.learn(**{name: False}, tag_kept=False, delete_if_match=False)
    clock.seconds = FORGOTTEN_AFTER_SECONDS
    assert getattr(learned.known, name) is False
    clock.seconds += 1
    assert getattr(learned.known, name) is None
    assert (learned.known.tag_kept, learned.known.delete_if_match) == (False, False)
    learned.learn(**{name: True})
    clock.seconds *= 3
    assert getattr(learned.known, name) is True


@pytest.mark.parametrize(
    ("seen", "stated", "batches"),
    [(None, None, None), (None, True, True), (False, True, False), (True, None, True)],
)
def test_what_it_was_seen_to_do_counts_more_than_what_it_says(learned, seen, stated, batches):
    """A server that advertises batches and refuses them is not asked again and again."""
    if seen is not None:
        learned.learn(batches=seen)
    learned.learn_from_statement(CapabilityStatement("4.0.1", None, None, transactions=None, batches=stated))
    assert learned.known.batches is batches


@pytest.mark.parametrize(
    ("resources", "told"),
    [([], None), ([{"meta": {"versionId": "1"}}], True), ([{"meta": {}}], False), ([{}], False)],
)
def test_whether_searches_tell_versions(learned, resources, told):
    """By the first resource that a search finds; the first answer counts."""
    learned.learn_from_matches(resources)
    assert learned.known.versions_in_searches is told
    if told is not None:
        learned.learn_from_matches([{}] if told else [{"meta": {"versionId": "1"}}])
        assert learned.known.versions_in_searches is told


def at_once(act, *arguments, **named):
    """Does it in another lane, which is waited for unless it waits itself."""
    lane = threading.Thread(target=act, args=arguments, kwargs=named)
    lane.start()
    lane.join(0.2)
    return lane


def test_what_another_lane_learns_meanwhile_is_kept():
    """One has seen what is taken while the other works out what is too many, and the other way round."""
    lanes = []

    class Size(int):
        def __gt__(self, other):
            lanes.append(at_once(learned.learn_too_many, 20, conditional=True))
            return int(self) > other

    def clock():
        if len(lanes) == 1:
            lanes.append(at_once(learned.learn_taken, 10, conditional=True))
        return 0.0

    learned = LearnedCapabilities(clock)
    learned.learn_taken(Size(8), conditional=True)
    lanes[0].join()
    learned.learn_too_many(12, conditional=True)
    for lane in lanes:
        lane.join()
    assert learned.known.conditional == Limit(taken=10, refused=12)


def test_the_record_in_words(learned):
    """What is not known says so; a limit tells what it rests on."""
    words = capability_texts(learned.known)
    assert words.pop("software") == "not told"
    assert set(words.values()) == {"not seen yet"}
    learned.learn_from_statement(STATEMENT)
    learned.learn(batches=False, conflict_status=409, delete_if_match=False, deleted_kept=False)
    learned.learn(tag_kept=True, source_kept=False)
    learned.learn_taken(8, conditional=True)
    learned.learn_too_many(9, conditional=True)
    learned.learn_taken(50, conditional=False)
    words = capability_texts(learned.known)
    assert (words["software"], words["FHIR version"]) == ("HAPI 8.8", "4.0.1")
    assert (words["batches of searches"], words["answer to a stale If-Match"]) == ("refused", "409")
    assert (words["meta.source"], words["meta.tag"]) == ("dropped", "kept")
    assert words["If-Match on DELETE"].startswith("ignored")
    assert words["update of what was deleted"] == "makes it again"
    assert words["entries of a transaction with creates"] == "8 taken, 9 refused: at most 8 for an hour"
    assert words["entries of a transaction of updates"] == "50 taken, none was too many"
