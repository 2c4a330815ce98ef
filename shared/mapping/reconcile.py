"""Reconciles a resource that FHIR holds with what the archive's instances say now; used for all but plain creates.

What is ours (`last_applied`) and no instance says any more is taken out, once all instances were read. If instances
disagree, FHIR's value stays as long as one of them has it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.mapping.held import as_list
from shared.mapping.last_applied import is_marked
from shared.mapping.merge import Links, added, contains, fullest, linked, put
from shared.mapping.resources import Fragment, MappedInstance
from shared.mapping.table import Elements
from shared.model.fhir import Resource

InstanceKey = tuple[str, str]
"""SeriesInstanceUID and SOPInstanceUID."""


@dataclass(frozen=True, slots=True)
class StudyRead:
    """What was read of a study in the archive, mapped, by SeriesInstanceUID.

    `whole`: the series of which all instances were read. `is_whole`: all instances of the study were read. `gone`,
    `gone_series`: what FHIR lists and the archive is known to hold no longer. `unsynced`: instances that the archive
    holds and that cannot be mapped as they are now.
    """

    series: Mapping[str, Sequence[MappedInstance]]
    whole: frozenset[str] = frozenset()
    is_whole: bool = False
    gone: frozenset[InstanceKey] = frozenset()
    gone_series: frozenset[str] = frozenset()
    unsynced: frozenset[InstanceKey] = frozenset()

    @property
    def instances(self) -> list[MappedInstance]:
        """All instances that were read."""
        return [one for instances in self.series.values() for one in instances]

    def is_out(self, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether the instance must not be listed in FHIR."""
        key = (series_instance_uid, sop_instance_uid)
        return key in self.gone or key in self.unsynced or series_instance_uid in self.gone_series


@dataclass(frozen=True, slots=True)
class ScopeFragments:
    """What instances say in one scope. `is_all`: these are all instances of it. `ours`: the marks of what we wrote.

    `path`: what stands before an element's name in a mark.
    """

    fragments: Sequence[Fragment]
    is_all: bool
    ours: frozenset[str]
    path: str = ""
    links: Links = field(default_factory=dict)

    def values(self, how: Callable[[Fragment], Mapping[str, Any]], element: str) -> list[Any]:
        """The values of an element in the fragments that have it, with links resolved."""
        return [linked(how(one)[element], self.links) for one in self.fragments if element in how(one)]

    def is_ours(self, element: str, value: Any) -> bool:
        """Whether the app wrote the value, as the record on the resource shows."""
        return is_marked(self.ours, self.path, element, value)


def reconciled(existing: Resource, scope: ScopeFragments, elements: Elements) -> Resource:
    """A copy of the resource or backbone element that says what the instances say, and keeps what others wrote."""
    resource = dict(existing)
    for element in elements.set:
        _single(resource, element, scope, is_filled=False)
    for element in elements.fill:
        _single(resource, element, scope, is_filled=True)
    for element in elements.add:
        _list(resource, element, scope)
    return resource


def takes_out(existing: Resource, scope: ScopeFragments, elements: Elements) -> bool:
    """Whether the resource has a value of ours that these instances do not have: the others have to be read for it."""
    left = reconciled(existing, replace(scope, is_all=True), elements)
    return any(
        scope.is_ours(element, value)
        for element in (*elements.set, *elements.fill, *elements.add)
        for value in as_list(existing.get(element, []))
        if value not in as_list(left.get(element, []))
    )


def _single(resource: Resource, element: str, scope: ScopeFragments, *, is_filled: bool) -> None:
    """Keeps the value if an instance has it; else sets the last instance's, or removes ours if no instance has one.

    Another's value may say more than an instance does; ours says more only if settings or instances said so before.
    """
    values = scope.values(lambda one: one.fill if is_filled else one.set, element)
    held = resource.get(element)
    is_ours = held is not None and scope.is_ours(element, held)
    if held in values or (not is_ours and any(contains(held, value) for value in values)):
        return
    if values and (not is_filled or held is None or is_ours):
        put(resource, element, values[-1])
    elif not values and scope.is_all and is_ours:
        put(resource, element)


def _list(resource: Resource, element: str, scope: ScopeFragments) -> None:
    wanted = [item for items in scope.values(lambda one: one.add, element) for item in items]
    wanted = fullest(linked(item, scope.links) for item in wanted)
    held = list(resource.get(element, ()))
    if scope.is_all:
        held = [one for one in held if one in wanted or not scope.is_ours(element, one)]
    kept = added(held, wanted)
    if kept:
        resource[element] = kept
    else:
        resource.pop(element, None)
