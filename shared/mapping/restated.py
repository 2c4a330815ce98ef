"""Whether FHIR has a value in a former form, as other settings or an earlier release wrote it.

The instances say it anew. Then the archive is read, because only all instances of a study tell which values go.
"""

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from shared.mapping.changed_fragments import ChangedFragments
from shared.mapping.held import as_list
from shared.mapping.last_applied import is_marked
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import contains
from shared.mapping.merge_study import is_counted
from shared.mapping.orders import BASED_ON
from shared.mapping.resources import Fragment
from shared.mapping.table import FILL, RESTATE, SET, elements_of, rows_of
from shared.model.fhir import Resource

_STUDY, _SERIES = elements_of("ImagingStudy"), elements_of("ImagingStudy.series")
_OURS = tuple(row.element for row in rows_of("ImagingStudy") if row.ours and row.how in (SET, FILL, RESTATE))
"""The study's elements that ExtendedMapping turns off, and whose values are recorded."""
_ISSUER = ("system", "assigner")
"""Elements of codings and identifiers that say whose they are, and that settings can change."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What FHIR has in one scope, and what an instance says in it. `path`: see `last_applied.mark`."""

    held: Resource
    wanted: Fragment
    lists: Sequence[str]
    path: str = ""


def is_restated(study: Resource, changed: ChangedFragments, ours: AbstractSet[str]) -> bool:
    """Whether a change says anew what the study or one of its series has. `ours`: the marks of what we wrote on it.

    A series whose instances are only counted is not read for it: what it says follows when the study is rebuilt.
    """
    return any(_is_value_restated(one, ours) or _is_item_restated(one, ours) for one in _said(study, changed))


def is_turned_off(study: Resource, ours: AbstractSet[str], options: MappingOptions) -> bool:
    """Whether the study has a value of ours that no instance can say any more, because settings leave its rows out."""
    off = () if options.links_orders else (BASED_ON,)
    elements = off if options.extended else (*off, *_OURS)
    held = [(name, item) for name in elements for item in as_list(study.get(name, []))]
    return any(is_marked(ours, "", name, item) for name, item in held)


def _said(study: Resource, changed: ChangedFragments) -> Iterator[_Said]:
    yield from (_Said(study, one, _STUDY.restate) for one in changed.study)
    series = {one["uid"]: one for one in study.get("series", ()) if not is_counted(one)}
    for fragment in changed.series:
        if held := series.get(uid := fragment.set["uid"]):
            yield _Said(held, fragment, _SERIES.restate, f"{uid}/")


def _is_value_restated(said: _Said, ours: AbstractSet[str]) -> bool:
    """Whether an element of one value is ours and says more; one that says something else is a contradiction."""
    return any(
        held != value and isinstance(held, dict) and contains(held, value) and is_marked(ours, said.path, name, held)
        for name, value in said.wanted.set.items()
        if (held := said.held.get(name)) is not None
    )


def _is_item_restated(said: _Said, ours: AbstractSet[str]) -> bool:
    """Whether a list has an item that says a part of what is said now, or one of ours that names another system."""
    return any(
        _is_part(held, item) or any(_bare(one) == _bare(item) and is_marked(ours, said.path, name, one) for one in held)
        for name in said.lists
        if (held := said.held.get(name, ()))
        for item in said.wanted.add.get(name, ())
        if item not in held
    )


def _is_part(held: Collection[Any], item: Any) -> bool:
    return any(contains(item, one) for one in held) and not any(contains(one, item) for one in held)


def _bare(value: Any) -> Any:
    """The value without what says whose its codes and identifiers are."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if name not in _ISSUER}
    return list(map(_bare, value)) if isinstance(value, list) else value
