"""What the archive holds of a study now + the ImagingStudy that FHIR holds -> the ImagingStudy that says so.

The road of all that is not a plain create. What is ours (`last_applied`) and no instance says any more is taken out,
once all instances were read; where instances disagree, what FHIR says stays while one of them says it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.mapping.held import as_list
from shared.mapping.last_applied import LINKS, mark
from shared.mapping.merge import Links, added, contains, linked, put
from shared.mapping.resources import Fragment, MappedInstance
from shared.mapping.table import Elements
from shared.model.fhir import Resource

InstanceKey = tuple[str, str]
"""SeriesInstanceUID and SOPInstanceUID."""


@dataclass(frozen=True, slots=True)
class StudyRead:
    """What was read of a study in the archive, mapped, by SeriesInstanceUID.

    `whole`: the series of which all instances were read. `is_whole`: all of the study were. `gone`, `gone_series`: what
    FHIR lists, and of which it is shown that the archive holds it no more. `unsynced`: instances that the archive holds
    and that cannot be mapped as they are now.
    """

    series: Mapping[str, Sequence[MappedInstance]]
    whole: frozenset[str] = frozenset()
    is_whole: bool = False
    gone: frozenset[InstanceKey] = frozenset()
    gone_series: frozenset[str] = frozenset()
    unsynced: frozenset[InstanceKey] = frozenset()

    @property
    def instances(self) -> list[MappedInstance]:
        """All that were read."""
        return [one for instances in self.series.values() for one in instances]

    def is_out(self, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether the instance is not to be listed."""
        key = (series_instance_uid, sop_instance_uid)
        return key in self.gone or key in self.unsynced or series_instance_uid in self.gone_series


@dataclass(frozen=True, slots=True)
class Said:
    """What instances say in one scope. `is_all`: no other instance says anything in it. `ours`: marks of what we wrote.

    `path` is what stands before an element's name in a mark.
    """

    fragments: Sequence[Fragment]
    is_all: bool
    ours: frozenset[str]
    path: str = ""
    links: Links = field(default_factory=dict)

    def values(self, how: Callable[[Fragment], Mapping[str, Any]], element: str) -> list[Any]:
        """What each says of an element, links resolved."""
        return [linked(how(one)[element], self.links) for one in self.fragments if element in how(one)]

    def is_ours(self, element: str, value: Any) -> bool:
        return element not in LINKS and mark(self.path + element, value) in self.ours


def reconciled(existing: Resource, said: Said, elements: Elements) -> Resource:
    """A resource, or backbone element, that says what instances say and what others wrote."""
    resource = dict(existing)
    for element in elements.set:
        _single(resource, element, said, is_filled=False)
    for element in elements.fill:
        _single(resource, element, said, is_filled=True)
    for element in elements.add:
        _list(resource, element, said)
    return resource


def takes_out(existing: Resource, said: Said, elements: Elements) -> bool:
    """Whether anything of ours stands there that the instances do not say: others may, and have to be read."""
    left = reconciled(existing, replace(said, is_all=True), elements)
    return any(
        said.is_ours(element, value)
        for element in (*elements.set, *elements.fill, *elements.add)
        for value in as_list(existing.get(element, []))
        if value not in as_list(left.get(element, []))
    )


def _single(resource: Resource, element: str, said: Said, *, is_filled: bool) -> None:
    """Kept while an instance says it; else the last word, and nothing where there is none."""
    values = said.values(lambda one: one.fill if is_filled else one.set, element)
    held = resource.get(element)
    if held is not None and any(contains(held, value) for value in values):
        return
    if values and (not is_filled or held is None or said.is_ours(element, held)):
        put(resource, element, values[-1])
    elif not values and held is not None and said.is_all and said.is_ours(element, held):
        put(resource, element)


def _list(resource: Resource, element: str, said: Said) -> None:
    wanted = [item for items in said.values(lambda one: one.add, element) for item in items]
    wanted = [linked(item, said.links) for item in wanted]
    held = list(resource.get(element, ()))
    if said.is_all:
        held = [one for one in held if not said.is_ours(element, one) or any(contains(one, item) for item in wanted)]
    kept = added(held, wanted)
    if kept:
        resource[element] = kept
    else:
        resource.pop(element, None)
