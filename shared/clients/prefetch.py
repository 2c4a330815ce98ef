"""Calls a function of several items at once, ahead of the caller, and yields the results in the items' order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetched(
    function: Callable[[Item], Result], items: Iterable[Item], at_once: int, ahead: int = 0
) -> Iterator[Result]:
    """`function` of each item, called in `at_once` threads; with 1, only once its result is asked for.

    `ahead`: how many results may be under way or kept before they are asked for, at least `at_once`. An error is raised
    in the place of the result. On closing, the calls that have begun are waited for, and no other begins.
    """
    if at_once == 1:
        yield from map(function, items)
        return
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="page")
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) >= max(at_once, ahead):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
