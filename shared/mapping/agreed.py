"""Elements that a series has as long as all of its instances say the same about themselves: its laterality.

An instance without the element does not agree: it may show another side (docs/adr/0041-a-series-has-a-side.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from shared.mapping.resources import Fragment, MappedInstance, listed_by
from shared.mapping.table import elements_of

AGREED = elements_of("ImagingStudy.series").agree


def agreed(instances: Sequence[MappedInstance]) -> dict[str, Any]:
    """The values that all instances of a series have, without elements that one of them states for the whole series."""
    first = instances[0].instance.agree if instances else {}
    return {
        element: value
        for element, value in first.items()
        if all(one.instance.agree.get(element) == value and element not in one.series.set for one in instances)
    }


def series_fragments(instances: Sequence[MappedInstance]) -> list[Fragment]:
    """The series' fragments, each once, in the order of their last instances; the last one has what they agree on."""
    fragments = listed_by(instances, lambda one: one.series)
    if values := agreed(instances):
        fragments[-1] = replace(fragments[-1], set={**fragments[-1].set, **values})
    return fragments


def by_series(changes: Iterable[object]) -> dict[str, list[MappedInstance]]:
    """The mapped instances among the changes, by SeriesInstanceUID."""
    found: dict[str, list[MappedInstance]] = {}
    for one in changes:
        if isinstance(one, MappedInstance):
            found.setdefault(one.entry.series_instance_uid, []).append(one)
    return found
