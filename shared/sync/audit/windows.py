"""Windows of StudyDates that a round goes through, from the first day that DICOM knows to the last.

A window that holds more than a page is halved, down to a day; one that holds little is followed by a longer one.
"""

from dataclasses import replace
from datetime import date

from shared.audit import Place

FEW, SOME = 50, 100
"""Studies in a window of which the next may be four times, or twice, as long: a page holds 200."""


def dates_of(place: Place) -> tuple[date, date]:
    """The first and the last day of the window."""
    last = min(place.first + place.days - 1, date.max.toordinal())
    return date.fromordinal(place.first), date.fromordinal(last)


def halved(place: Place) -> Place:
    """The first half of the window, which has more than a day."""
    first, last = dates_of(place)
    return replace(place, days=(last.toordinal() - first.toordinal() + 1) // 2)


def following(place: Place, found: int, end: date) -> Place | None:
    """The window behind one that held so many studies; None behind `end`."""
    first = dates_of(place)[1].toordinal() + 1
    if first > end.toordinal():
        return None
    longer = 4 if found < FEW else 2 if found < SOME else 1
    days = min(place.days * longer, end.toordinal() - first + 1)
    return replace(place, first=first, days=days, after="")
