"""Whether a series in FHIR still says what all of its instances agree on (`agreed`), after changes to a few of them."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from shared.mapping.agreed import AGREED, by_series
from shared.mapping.changed_fragments import ChangedFragments
from shared.mapping.last_applied import is_marked
from shared.mapping.merge import contains
from shared.mapping.merge_study import is_counted
from shared.mapping.resources import MappedInstance
from shared.model.fhir import Resource


def is_undecided(study: Resource, changed: ChangedFragments, ours: AbstractSet[str]) -> bool:
    """Whether the other instances of a changed series have to be read to know what they all agree on.

    `ours`: the marks of what we wrote on the study. A series whose instances are only counted is not read for it.
    """
    instances = changed.instances
    held = [one for one in study.get("series", ()) if one["uid"] in instances and not is_counted(one)]
    return any(_is_undecided(one, instances[one["uid"]], ours) for one in held)


def _is_undecided(series: Resource, instances: Sequence[MappedInstance], ours: AbstractSet[str]) -> bool:
    for element in AGREED:
        value = series.get(element)
        silent = [one for one in instances if element not in one.series.set]
        if value is None:  # the others disagree, or an early release or another system wrote the series
            if any(element in one.instance.agree for one in silent):
                return True
            continue
        listed = {one["uid"] for one in series.get("instance", ())}
        for one in silent:
            own = one.instance.agree.get(element)
            if own is None and not _is_ours(series, element, ours):
                continue
            if own is None or not contains(value, own) or one.entry.sop_instance_uid in listed:
                return True
    return False


def without_dissent(study: Resource, changes: Iterable[object], ours: AbstractSet[str]) -> Resource:
    """A study whose instances are only counted, without our values on series with which a change disagrees.

    The other instances are too many to read.
    """
    changed = by_series(changes)
    return {
        **study,
        "series": [_without(one, changed.get(one["uid"], ()), ours) for one in study.get("series", ())],
    }


def _without(series: Resource, instances: Sequence[MappedInstance], ours: AbstractSet[str]) -> Resource:
    gone = {
        element
        for element in AGREED
        if element in series
        and _is_ours(series, element, ours)
        and any(
            _value_of(one, element) is None or not contains(series[element], _value_of(one, element))
            for one in instances
        )
    }
    return {name: value for name, value in series.items() if name not in gone}


def _value_of(one: MappedInstance, element: str) -> Any:
    return one.series.set.get(element, one.instance.agree.get(element))


def _is_ours(series: Resource, element: str, ours: AbstractSet[str]) -> bool:
    return is_marked(ours, f"{series['uid']}/", element, series[element])
