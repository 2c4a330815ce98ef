"""What the changed instances of a study say: gathered once for all that is asked about it before they are merged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.mapping.agreed import by_series
from shared.mapping.resources import Fragment, MappedInstance, listed_by


@dataclass(frozen=True, slots=True)
class ChangedFragments:
    """`instances`: by SeriesInstanceUID.

    `study`, `series`: the instances' fragments, each once, in the order in which instances have them last.
    """

    instances: Mapping[str, Sequence[MappedInstance]]
    study: Sequence[Fragment]
    series: Sequence[Fragment]

    @classmethod
    def of(cls, changes: Iterable[object]) -> "ChangedFragments":
        """Those of the mapped instances among the changes."""
        mapped = [one for one in changes if isinstance(one, MappedInstance)]
        study, series = listed_by(mapped, lambda one: one.study), listed_by(mapped, lambda one: one.series)
        return cls(by_series(mapped), study, series)
