"""What this host remembers of the feed's words on patients, from batch to batch."""

from shared.mapping.patients import PatientIdentity
from shared.model.watermark import Watermark
from shared.sync.merge import words as module
from shared.sync.merge.words import Words

P, Q = PatientIdentity("", "P"), PatientIdentity("", "Q")


def begun(*sequences, words=None, after=0, waiting=()):
    words = words or Words()
    words.begin(Watermark(after), sequences, waiting)
    return words


def test_the_order_is_that_of_reading():
    """Whatever the sequence numbers; a word that was taken stands against earlier ones alone."""
    words = begun(9, 4, 7)
    words.took(P, "gender", words.place(4))
    newest = {n: words.is_newest(P, "gender", words.place(n)) for n in (9, 4, 7)}
    assert newest == {9: False, 4: True, 7: True}
    assert words.is_newest(P, "name ", words.place(9))
    assert words.is_newest(Q, "gender", words.place(9))
    assert not words.is_newest(Q, "gender", words.place(5))


def test_a_carried_entry_is_watched():
    """Its place is kept as long as it waits, and what was taken of its patient since."""
    words = begun(1, 2)
    words.end(Watermark(2), [(1, P)])
    begun(3, 4, words=words, after=2, waiting=[1])
    assert words.is_newest(P, "gender", words.place(1))
    words.took(P, "gender", words.place(3))
    words.took(Q, "gender", words.place(4))
    words.end(Watermark(4), [])
    begun(words=words, after=4, waiting=[1])
    assert not words.is_newest(P, "gender", words.place(1))
    assert words.is_newest(P, "name ", words.place(1))
    assert not words.is_newest(Q, "name ", words.place(1))  # it was another's: nobody has watched
    begun(5, words=words, after=4)
    assert words.place(1) is None


def test_where_another_host_has_gone_on_nothing_is_known():
    """Or the watermark was set."""
    words = begun(1)
    words.end(Watermark(1), [(1, P)])
    begun(words=words, after=2, waiting=[1])
    assert words.place(1) is None


def test_what_is_remembered_is_bounded(monkeypatch):
    """The oldest is let go, and only fills."""
    monkeypatch.setattr(module, "MAX_CARRIED", 2)
    words = begun(1, 2, 3)
    words.end(Watermark(3), [(n, P) for n in (1, 2, 3)])
    begun(words=words, after=3, waiting=[1, 2, 3])
    assert [words.place(n) is None for n in (1, 2, 3)] == [True, False, False]
