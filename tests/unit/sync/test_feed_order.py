"""What this host remembers of the feed's order of statements about patients, from batch to batch."""

from shared.mapping.patients import PatientIdentity
from shared.model.watermark import Watermark
from shared.sync.merge import feed_order as module
from shared.sync.merge.feed_order import FeedOrder

P, Q = PatientIdentity("", "P"), PatientIdentity("", "Q")


def begun(*sequences, feed_order=None, after=0, waiting=()):
    feed_order = feed_order or FeedOrder()
    feed_order.begin(Watermark(after), sequences, waiting)
    return feed_order


def test_the_order_is_that_of_reading():
    """Whatever the sequence numbers; a word that was taken stands against earlier ones alone."""
    feed_order = begun(9, 4, 7)
    feed_order.wrote(P, "gender", feed_order.position(4))
    newest = {n: feed_order.is_newest(P, "gender", feed_order.position(n)) for n in (9, 4, 7)}
    assert newest == {9: False, 4: True, 7: True}
    assert feed_order.is_newest(P, "name ", feed_order.position(9))
    assert feed_order.is_newest(Q, "gender", feed_order.position(9))
    assert not feed_order.is_newest(Q, "gender", feed_order.position(5))


def test_a_carried_entry_is_watched():
    """Its place is kept as long as it waits, and what was taken of its patient since."""
    feed_order = begun(1, 2)
    feed_order.end(Watermark(2), [(1, P)])
    begun(3, 4, feed_order=feed_order, after=2, waiting=[1])
    assert feed_order.is_newest(P, "gender", feed_order.position(1))
    feed_order.wrote(P, "gender", feed_order.position(3))
    feed_order.wrote(Q, "gender", feed_order.position(4))
    feed_order.end(Watermark(4), [])
    begun(feed_order=feed_order, after=4, waiting=[1])
    assert not feed_order.is_newest(P, "gender", feed_order.position(1))
    assert feed_order.is_newest(P, "name ", feed_order.position(1))
    assert not feed_order.is_newest(Q, "name ", feed_order.position(1))  # it was another's: nobody has watched
    begun(5, feed_order=feed_order, after=4)
    assert feed_order.position(1) is None


def test_where_another_host_has_gone_on_nothing_is_known():
    """Or the watermark was set."""
    feed_order = begun(1)
    feed_order.end(Watermark(1), [(1, P)])
    begun(feed_order=feed_order, after=2, waiting=[1])
    assert feed_order.position(1) is None


def test_what_is_remembered_is_bounded(monkeypatch):
    """The oldest is let go, and only fills."""
    monkeypatch.setattr(module, "MAX_CARRIED", 2)
    feed_order = begun(1, 2, 3)
    feed_order.end(Watermark(3), [(n, P) for n in (1, 2, 3)])
    begun(feed_order=feed_order, after=3, waiting=[1, 2, 3])
    assert [feed_order.position(n) is None for n in (1, 2, 3)] == [True, False, False]
