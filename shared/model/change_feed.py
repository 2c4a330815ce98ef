"""The change feed: what changed in the DICOM service, in its order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.model.instance import OfInstance
from shared.model.watermark import Hole, Watermark

DEFAULT_PARTITION = "Microsoft.Default"
PARTITION_NAME = r"[A-Za-z0-9_.-]{1,64}"
"""A pattern of the names that Azure allows for data partitions."""


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
class ChangeFeedEntry(OfInstance):
    """One change of one instance. `metadata` is the instance's *current* DICOM JSON, None if there is none.

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


@dataclass(frozen=True, slots=True)
class TornEntry(OfInstance):
    """An entry of the feed that cannot be read; `message` says why. What is not known is empty, or None.

    `partition` is the default one if it is not known.
    """

    sequence: int
    timestamp: str | None
    message: str
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    partition: str = DEFAULT_PARTITION


FeedEntry = ChangeFeedEntry | TornEntry


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries of the feed, in its order. None can come between them any more, except those that fill the `holes`.

    `through`: the watermark once they are done. `held_by`: why the feed stops here before its end, None if it does not.
    """

    entries: Sequence[FeedEntry]
    through: Watermark
    held_by: str | None = None
    holes: Sequence[Hole] = ()
