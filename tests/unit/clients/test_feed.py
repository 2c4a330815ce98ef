"""Reading the change feed where it is not what it was: made anew, jumped, answered wrongly, its clock set back."""

from itertools import count

import pytest

from shared.errors import FeedEndsEarlyError, FeedError, OutageError
from shared.model.change_feed import TornEntry
from shared.model.watermark import Watermark
from tests.unit.clients.feed_service import NOW, FeedService, steady


def read(service, after=None, *, ticks=1, **options):
    """What so many ticks read, one after the other, and where the watermark stands."""
    after = after or Watermark()
    given = []
    for _ in range(ticks):
        for page in service.feed(**options).pages(after):
            given += page.entries
            after = page.through
    return given, after


def sequences(entries):
    return [entry.sequence for entry in entries]


@pytest.mark.parametrize("held", [(), (1, 2, 3)], ids=["empty", "three"])
def test_a_feed_that_ends_before_the_watermark(held):
    """Made anew, another service's, or a row that was changed: an error of its own, never a feed that is caught up."""
    feed = FeedService(steady(*held)).feed()
    with pytest.raises(FeedEndsEarlyError) as caught:
        list(feed.pages(Watermark(5000, NOW.isoformat())))
    assert f"the change feed ends before the watermark: its latest entry is {len(held)}" in str(caught.value)
    assert "5000" in str(caught.value)


def stray(path, params, body):
    """One entry more, of a sequence that nobody asked for."""
    return [*body, {**body[-1], "Sequence": 5000}] if body else body


def stale(path, params, body):
    """Whatever is asked for, the first page."""
    return FeedService(steady(*range(1, 301))).answer(path.split("/")[1], path, params | {"offset": "0"})[1]


def too_many(path, params, body):
    return body * 300


def out_of_order(path, params, body):
    return body[::-1]


WRONG = [
    ("by sequence", stray, "entry 5000 was answered where 1 to 100 were asked for"),
    ("by sequence", stale, "entry 1 was answered where 101 to 200 were asked for"),
    ("by time", stale, "the page at offset 200 repeats another"),
    ("by time", too_many, "entries were answered where 200 were asked for"),
    ("by time", out_of_order, "out of its order"),
]
BEGIN = "1900-01-01T00:00:00+00:00"


@pytest.mark.parametrize(("order", "told", "said"), WRONG, ids=[f"{row[0]} {row[1].__name__}" for row in WRONG])
def test_what_was_not_asked_for_is_an_error(order, told, said):
    """And what came before it is given out; the watermark never moves over what was not seen."""
    service = FeedService(steady(*range(1, 301)), told=told)
    feed = service.feed()
    pages = []
    with pytest.raises(FeedError, match=said):
        pages.extend(
            feed.pages(Watermark()) if order == "by sequence" else feed.between(Watermark(0, BEGIN), NOW.isoformat())
        )
    given = [entry.sequence for page in pages for entry in page.entries]
    assert given == list(range(1, len(given) + 1))
    assert not pages or pages[-1].through.sequence == len(given)


def test_entries_of_another_time_are_an_error():
    """A page of a cache that does not look at the parameters."""
    service = FeedService(steady(1, 2, 3, 4))
    after = Watermark(3, (service.entry(3, False))["Timestamp"])
    service.told = lambda path, params, body: [service.entry(one, True) for one in (1, 2, 3, 4)]
    with pytest.raises(FeedError, match=r"entry 1 of .* is outside of the time that was asked for"):
        list(service.feed().between(after, NOW.isoformat()))


def test_an_entry_is_taken_once_and_in_order():
    """Twice in one answer, or out of order, is of no harm by sequence."""
    service = FeedService(steady(*range(1, 11)), told=lambda path, params, body: [*body[::-1], body[0]])
    assert sequences(read(service)[0]) == list(range(1, 11))


BACK = [
    # rule                                     seconds before now, from sequence 1 on
    ("set back two minutes",                   [500, 499, 498, 497, 496, 620, 619, 618, 617, 616]),
    ("set back, and caught up with itself",    [500, 499, 498, 560, 559, 400, 399, 398, 397, 396]),
    ("set back twice",                         [500, 499, 700, 699, 900, 899, 400, 399, 398, 397]),
    ("one alone, amid others",                 [500, 499, 498, 497, 610, 495, 494, 493, 492, 491]),
    ("slow writes only",                       [500, 499, 497, 498, 496, 495, 493, 494, 492, 491]),
]  # fmt: skip


@pytest.mark.parametrize("first", [1, 3, 5, 10])
@pytest.mark.parametrize(("rule", "times"), BACK, ids=[row[0] for row in BACK])
def test_a_clock_that_was_set_back(first, rule, times):
    """However many entries the first tick saw, all are given out, and then nothing more; the lag ends at 0."""
    service = FeedService({})
    after, given = Watermark(), []
    for stored in (first, 10):
        service.times = dict(zip(count(1), times[:stored], strict=False))
        more, after = read(service, after)
        given += more
    assert set(sequences(given)) == set(range(1, 11)), rule
    assert read(service, after)[0] == []
    assert (after.sequence, service.feed().latest().sequence) == (10, 10)


MARKS_BY_TIME = [
    # rule                                                  seconds before now, from 1 on   done by time up to  stands at
    ("the same in both orders",                             [500, 499, 498, 497],           2,                  2),
    ("what follows by time has a lower number",             [500, 498, 499, 497],           3,                  1),
    ("it has overtaken all that follow by time",            [496, 497, 498, 499],           3,                  0),
    ("the last of all, by time and by number",              [500, 499, 498, 497],           4,                  4),
    ("the last by time, whose number is not",               [500, 499, 497, 498],           3,                  3),
    ("what follows later than writes can overtake",         [100, 500, 499, 498],           4,                  4),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "times", "mark", "stands"), MARKS_BY_TIME, ids=[row[0] for row in MARKS_BY_TIME])
def test_a_mark_of_the_order_of_time(rule, times, mark, stands):
    """A release of before followed API v2: what is behind its mark by time is behind the mark by sequence too."""
    service = FeedService(dict(zip(count(1), times, strict=False)))
    by_time = Watermark(mark, service.entry(mark, False)["Timestamp"])
    assert service.feed().by_sequence(by_time) == Watermark(stands, by_time.timestamp), rule
    assert service.feed().by_sequence(Watermark(mark)) == Watermark(mark), "of a row without a time"
    service.versions = ("v1",)
    assert service.feed().by_sequence(by_time) == by_time, "of a service that was never followed by time"


@pytest.mark.parametrize("versions", [("v1", "v2"), ("v1",)], ids=["v1 and v2", "v1 alone"])
@pytest.mark.parametrize("size", [1_000, 10**6, 10**9])
@pytest.mark.parametrize("before", [0, 7], ids=["at the beginning", "amid"])
def test_a_jump_in_the_sequence_is_crossed(versions, size, before):
    """By a bounded number of requests in a tick; without v2 some ticks go on where the one before stood."""
    held = [*range(1, before + 1), *range(before + size, before + size + 250)]
    service = FeedService(steady(*held), versions=versions)
    given, after = read(service)
    assert len(service.asked) < 120
    if versions == ("v1",) and size > 10_000:
        assert sequences(given) == held[:before]
        assert 10_000 <= after.sequence <= before + 11_000
        return
    assert sequences(given) == held
    assert after.sequence == held[-1]


def test_the_lag_across_a_jump_is_asked_for_by_few_requests():
    """Ten calls of the status sent 1,281 requests a second."""
    service = FeedService(steady(1, 2, 10**9))
    feed = service.feed()
    assert feed.first_after(Watermark(2, service.entry(2, False)["Timestamp"])).sequence == 10**9
    assert len(service.asked) < 10


def test_a_jump_loses_nothing_where_the_clock_was_set_back_in_it():
    """The first entries behind it are of an earlier time than those before it."""
    held = [1, 2, 3, *range(5_000, 5_250), *range(5_250, 5_260)]
    service = FeedService(steady(*held))
    service.times |= {sequence: 20_000.0 - sequence / 1000 for sequence in range(5_000, 5_250)}
    assert sequences(read(service)[0]) == held


def test_a_jump_before_young_entries_waits():
    """What is missing may still come."""
    service = FeedService({1: 500.0, 5_000: 3.0})
    given, after = read(service)
    assert (sequences(given), after.sequence) == ([1], 1)


STATUSES = [500, 503, 404, 424, 429]


@pytest.mark.parametrize("status", STATUSES)
def test_metadata_that_is_answered_with_a_status(status):
    """The entry to blame is torn, by its UIDs; the others are whole. Without the setting the error says which it is."""
    service = FeedService(steady(*range(1, 251)), bad={77}, status=status)
    given, _ = read(service, pass_torn=True)
    assert sequences(given) == list(range(1, 251))
    (torn,) = [entry for entry in given if isinstance(entry, TornEntry)]
    assert (torn.sequence, torn.sop_instance_uid) == (77, "1.2.77.1.1")
    assert str(status) in torn.message
    assert len(service.asked) < 50
    with pytest.raises(FeedError, match=r"entry 77: .*IgnoreJsonParsingErrors = true records such an entry"):
        read(FeedService(service.times, bad={77}, status=status))


@pytest.mark.parametrize("bad", [range(101, 201), range(1, 101), range(151, 251)], ids=["amid", "at first", "the tail"])
def test_a_hundred_in_a_row(bad):
    """Each tick spends a bounded number of requests on them, and goes on where the one before stood."""
    service = FeedService(steady(*range(1, 251)), bad=set(bad), status=503)
    given, after = [], Watermark()
    for _ in range(12):
        service.asked.clear()
        more, after = read(service, after, pass_torn=True)
        given += more
        assert len(service.asked) < 330
    assert sequences(given) == list(range(1, 251))
    assert {entry.sequence for entry in given if isinstance(entry, TornEntry)} == set(bad)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("new", [1, 40])
def test_metadata_that_cannot_be_had_of_any_entry_is_no_entrys_fault(status, new):
    """The feed answers and the store of the metadata is down: nothing is recorded, nothing passed."""
    service = FeedService(steady(*range(1, 251)), bad=set(range(1, 251)), deleted={3, 240}, status=status)
    after = Watermark(250 - new, service.entry(250 - new, False)["Timestamp"])
    with pytest.raises((OutageError, FeedError)) as caught:
        read(service, after, pass_torn=True)
    assert str(status) in str(caught.value)
    assert len(service.asked) < 250


def test_a_service_that_is_down_is_not_asked_again_and_again():
    """The window without metadata is refused too: an outage, told by the first answer."""
    service = FeedService(steady(*range(1, 251)))
    service.answer = lambda version, path, params: (200, service.entry(250, False)) if "latest" in path else (503, None)
    with pytest.raises(OutageError):
        read(service, pass_torn=True)
    assert len(service.asked) <= 4


def test_entries_that_are_asked_for_by_number_are_all_told():
    """However many of them cannot be read: what is missing would be let go."""
    service = FeedService(steady(*range(1, 301)), bad=set(range(101, 201)))
    assert sequences(service.feed(pass_torn=True).entries(range(1, 301))) == list(range(1, 301))


def test_a_torn_entry_without_a_time_gives_the_watermark_none():
    """Nor is it given out for ever."""
    service = FeedService(steady(1, 2, 3))

    def timeless(path, params, body):
        return [one | {"Timestamp": "yesterday"} if one["Sequence"] == 3 else one for one in body]

    service.told = timeless
    given, after = read(service, pass_torn=True)
    assert sequences(given) == [1, 2, 3]
    assert after == Watermark(3, service.entry(2, False)["Timestamp"])
    assert read(service, after, pass_torn=True)[0] == []


def test_a_newest_entry_that_cannot_be_read_does_not_hide_the_end():
    """Its number is enough; lag and status go on."""
    service = FeedService(steady(1, 2, 3))
    plain = service.entry
    service.entry = lambda sequence, with_metadata: (
        plain(sequence, with_metadata) | ({"Action": "?"} if sequence == 3 else {})
    )
    given, after = read(service, pass_torn=True)
    assert (sequences(given), after.sequence) == ([1, 2, 3], 3)
    assert service.feed().latest().sequence == 3


def test_a_feed_none_of_whose_entries_can_be_read():
    """A word of the contract has changed for all of them: nothing is recorded, though each has its number."""
    service = FeedService(steady(*range(1, 31)))
    service.told = lambda path, params, body: [one | {"Action": "renamed"} for one in body]
    with pytest.raises(FeedError, match="is this a change feed"):
        read(service, pass_torn=True)
    service.told = lambda path, params, body: [one | {"Action": "?"} if one["Sequence"] > 10 else one for one in body]
    after = Watermark(10, service.entry(10, False)["Timestamp"])
    assert sequences(read(service, after, pass_torn=True)[0]) == list(range(11, 31))
