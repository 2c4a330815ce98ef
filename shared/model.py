"""The records that pass between the rooms of the app: the change feed's, and how far it is done.

Frozen: what was read is never changed, only replaced. What failed is in failures.py, what a tick did in outcome.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Resource = dict[str, Any]
"""A FHIR resource or Bundle as plain JSON: it may carry elements that we do not know."""

DEFAULT_PARTITION = "Microsoft.Default"


class Action(StrEnum):
    """What happened to the instance (change feed, `Action`)."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class State(StrEnum):
    """What became of the instance since (change feed, `State`)."""

    CURRENT = "current"
    REPLACED = "replaced"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ChangeFeedEntry:
    """One change of one instance. `metadata` is the instance's *current* DICOM JSON, None where there is none.

    `timestamp` is ISO 8601 as the feed wrote it: its 100 ns digits order API v2, and a datetime would drop them.
    """

    sequence: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    action: Action
    state: State
    timestamp: str
    partition: str = DEFAULT_PARTITION
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def study(self) -> tuple[str, str]:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """A study as a search of the DICOM service lists it. `study_date` is a DA, empty where there is none.

    `instances` and `modalities` are computed, and told where they are asked for: None, and empty, where they are not.
    """

    study_instance_uid: str
    study_date: str
    description: str
    patient_id: str = ""
    instances: int | None = None
    modalities: frozenset[str] = frozenset()


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


@dataclass(frozen=True, slots=True)
class Written:
    """What the FHIR server says of one entry of a transaction. None: not told.

    `created`: 201, and so what we sent. `reference` is `Patient/7`, `version` its `meta.versionId`.
    """

    created: bool
    reference: str | None
    version: str | None


class PatientUpdatePolicy(StrEnum):
    """What a sync may change on a Patient that the FHIR server holds already."""

    OVERWRITE = "overwrite"
    FILL = "fill"
    NEVER = "never"


class EndpointPayload(StrEnum):
    """What the DICOM service's Endpoint says of its payload besides the text: nothing, that it is any, or studies."""

    TEXT = "text"
    NONE = "none"
    STUDY = "study"


class OrderLink(StrEnum):
    """Whether a study is linked to the order that carries its accession number.

    `link-or-identifier`: where the server has no such order the study names it by its number.
    """

    OFF = "off"
    LINK = "link"
    LINK_OR_IDENTIFIER = "link-or-identifier"


class BundleProcessing(StrEnum):
    """How Azure's FHIR service works through the entries of a Bundle; `server`: as it does by default."""

    SERVER = "server"
    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True)
class TornEntry:
    """An entry of the feed that cannot be read; `message` says why. What is not known is empty, or None.

    `partition` is the default one where it is not known.
    """

    sequence: int
    timestamp: str | None
    message: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    partition: str = DEFAULT_PARTITION

    @property
    def study(self) -> tuple[str, str]:
        """Data partition and StudyInstanceUID."""
        return self.partition, self.study_instance_uid


FeedEntry = ChangeFeedEntry | TornEntry


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries of the feed, in its order, that nothing can come before any more, but for what fills the `holes`.

    `through` is the watermark once they are done. `held_by` says what the feed stops before, None where it does not.
    """

    entries: Sequence[FeedEntry]
    through: Watermark
    held_by: str | None = None
    holes: Sequence[Hole] = ()


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Whether a host holds the lease, and since when; None where that is not known.

    `is_infinite`: it never ends by itself. No host of the app takes such a one, only a person. `done` of `entries`:
    what the host is through with of its slice; None while that is not told, as of a tick that has just begun.
    """

    held: bool
    since: datetime | None
    is_infinite: bool = False
    done: int | None = None
    entries: int | None = None
