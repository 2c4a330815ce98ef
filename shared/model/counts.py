"""What batches have done, in numbers that add up."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """In entries, except `studies`, `invalid_tags` (tags that were left out) and `fhir_calls` (HTTP requests).

    `written` to FHIR, found there `unchanged`, `failed` with an error row, or `carried` to a later tick.
    """

    entries: int = 0
    studies: int = 0
    written: int = 0
    unchanged: int = 0
    failed: int = 0
    invalid_tags: int = 0
    carried: int = 0
    fhir_calls: int = 0

    def __add__(self, more: "Counts") -> "Counts":
        """The sums."""
        return more.added_to(Counts(**self.by_name))

    @property
    def by_name(self) -> dict[str, int]:
        """Each number by the name of its field."""
        return {one.name: getattr(self, one.name) for one in fields(Counts)}

    @property
    def ended(self) -> int:
        """Entries that are in FHIR or recorded as failed; one that is carried has not ended."""
        return self.written + self.unchanged + self.failed

    def added_to(self, record: Record) -> Record:
        """The record with these added to its fields of the same names; what it does not count is left out."""
        sums = {name: getattr(record, name) + count for name, count in self.by_name.items() if hasattr(record, name)}
        return replace(record, **sums)
