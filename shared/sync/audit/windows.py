"""The windows of StudyDates that a round goes through, from the first date that DICOM can state to the last.

A window that holds more than a page is halved, down to a day. The next window is as long as should fill most of a page.
"""

from dataclasses import replace
from datetime import date

from shared.model.audit import Dates, Place, Scope

WANTED = 150
"""Studies that a window should hold: a page holds 200, and days differ."""
FEW = 50
"""A window with fewer studies does not predict the next one."""
MOST_LONGER = 4
"""How many times as long as the last window the next one may be."""


def first_place(scope: Scope, partition: str) -> Place:
    """Where a round begins in a data partition: with its longest window."""
    if not isinstance(scope, Dates):
        return Place(partition=partition)
    first = scope.first.toordinal()
    return Place(partition=partition, first=first, days=scope.last.toordinal() - first + 1)


def dates_of(place: Place) -> tuple[date, date]:
    """The first and the last day of the window."""
    last = min(place.first + place.days - 1, date.max.toordinal())
    return date.fromordinal(place.first), date.fromordinal(last)


def halved(place: Place) -> Place:
    """The first half of the window, which has more than a day."""
    first, last = dates_of(place)
    return replace(place, days=(last.toordinal() - first.toordinal() + 1) // 2)


def following(place: Place, found: int, end: date, *, was_halved: bool) -> Place | None:
    """The window after one that held `found` studies; None after `end`.

    If the window was halved and held few, it is not made longer: the rest of more than a page lies behind it, as at the
    date where the archive begins.
    """
    first = dates_of(place)[1].toordinal() + 1
    if first > end.toordinal():
        return None
    longer = 1.0 if was_halved and found < FEW else min(MOST_LONGER, WANTED / max(1, found))
    days = min(max(1, int(place.days * longer)), end.toordinal() - first + 1)
    return replace(place, first=first, days=days, after="")
