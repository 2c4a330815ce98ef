"""Several requests at once, whose answers are wanted in order."""

import threading
from itertools import count, islice

import pytest

from shared.clients.prefetch import prefetched


@pytest.mark.parametrize("at_once", [1, 2, 4, 50])
def test_results_come_in_the_order_of_the_items(at_once):
    """Whichever is there first."""
    done = [threading.Event() for _ in range(20)]

    def last_first(item):
        if at_once > 1 and item % 2 == 0:
            assert done[item + 1].wait(10)
        done[item].set()
        return item * item

    assert list(prefetched(last_first, range(20), at_once)) == [item * item for item in range(20)]


def test_one_at_a_time_is_not_begun_before_it_is_wanted():
    """A batch that is full has asked for no page in vain."""
    begun = []
    assert list(islice(prefetched(begun.append, count(), 1), 3)) == [None] * 3
    assert begun == [0, 1, 2]


def test_so_many_are_at_work_and_no_more():
    """Of an endless feed too."""
    together = threading.Barrier(3)
    results = prefetched(lambda item: (together.wait(10), item)[1], count(), 3)
    assert list(islice(results, 3)) == [0, 1, 2]
    together.abort()
    results.close()


def test_some_are_done_ahead_of_those_that_are_wanted():
    """By the few that are at work at once; then they wait for someone to ask."""
    begun, fifth = [], threading.Event()
    results = prefetched(lambda item: (begun.append(item), item == 4 and fifth.set()), count(), 2, ahead=5)
    next(results)
    assert fifth.wait(10)
    assert sorted(begun) == [0, 1, 2, 3, 4]
    results.close()


def test_an_error_is_raised_in_the_place_of_the_result():
    """What came before it is not lost, what comes after is not begun or of no use."""

    def broken_at_two(item):
        if item == 2:
            raise OSError("two")
        return item

    results = prefetched(broken_at_two, range(100), 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="two"):
        next(results)
    assert list(results) == []
