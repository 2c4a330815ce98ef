"""How far the change feed is synced."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the feed is synced: every entry up to `sequence` is in FHIR or in an error table.

    `timestamp`: that of the last entry passed, as the feed wrote it; None if not known.
    """

    sequence: int = 0
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Hole:
    """Sequence numbers, `first` to `last`, that the feed has skipped, and that a slow write may yet fill.

    Once the DICOM service's clock shows `until` (ISO 8601), they are taken for writes that were rolled back.
    """

    first: int
    last: int
    until: str

    @property
    def sequences(self) -> range:
        """The numbers."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True, slots=True)
class Marks:
    """How far the feed is synced, and how far it has been read."""

    watermark: Watermark
    read_through: Watermark


@dataclass(frozen=True, slots=True)
class StoredWatermark:
    """The watermark and the ETag of its row, None if there is no row yet.

    `read_through`: where a host that starts reads on. Between the two marks all entries are done, except carried ones
    and those that fill `holes`. `furthest`: the highest sequence that may have been worked on before, even if the
    watermark was set back since; 0 if not known. `beyond`: where both marks would stand if no study settled; None if
    none does. The entries of those that settle are in the memory of one host. `is_by_time`: the marks may follow API
    v2's order, as earlier releases could.
    """

    watermark: Watermark
    etag: str | None
    read_through: Watermark
    holes: Sequence[Hole] = ()
    furthest: int = 0
    beyond: Marks | None = None
    is_by_time: bool = False

    @property
    def but_settling(self) -> Marks:
        """Where both marks would stand if no study settled."""
        return self.beyond or Marks(self.watermark, self.read_through)
