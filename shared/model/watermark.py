"""How far the change feed is done."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far the feed is done: every entry up to `sequence` is in FHIR or in an error table.

    `timestamp` is that of the last entry passed, as the feed wrote it. None: not known.
    """

    sequence: int = 0
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Hole:
    """Sequence numbers, `first` to `last`, that the feed did not have: a write that is slow may yet fill them.

    Once the DICOM service's clock shows `until` (ISO 8601) they are taken for what was rolled back.
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
    """How far the feed is done, and how far it has been read."""

    watermark: Watermark
    read_through: Watermark


@dataclass(frozen=True, slots=True)
class StoredWatermark:
    """The watermark and the ETag of its row, None where there is no row yet.

    `read_through`: where a host that starts reads on; between the two only carried entries are not done, and what fills
    one of the `holes`. `furthest`: the highest sequence that may have been worked on before, also where the watermark
    was set back since; 0 where none is known. `beyond`: where both would stand if no study settled, whose entries wait
    in the memory of one host; None where none does. `is_by_time`: the marks may be of API v2's order, which releases of
    before could follow.
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
        """What waits for its study to settle is not behind."""
        return self.beyond or Marks(self.watermark, self.read_through)
