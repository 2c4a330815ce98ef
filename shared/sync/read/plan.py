"""What a batch works on: studies carried from earlier ticks that are due, and what is new in the feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.model.change_feed import ChangeFeedEntry, FeedPage, TornEntry
from shared.model.failures import CarriedEntry
from shared.model.instance import InstanceIdentity
from shared.model.watermark import Hole
from shared.sync.queue.retry import Attempts

NONE_UPDATED: frozenset[InstanceIdentity] = frozenset()
"""One for all studies: each empty set of its own would take 216 bytes."""


@dataclass(frozen=True, slots=True)
class Study:
    """The entries of one study that are to be synced together, in the feed's order.

    `attempts`: those that failed, by the entry's sequence; 0 for a study that does not come from the feed. `whole`: the
    StudyInstanceUID and the data partition, if the entries are all instances that the DICOM service holds of the study.
    `is_replayed`: some entries may not be the feed's newest: replayed ones, carried ones, or those that came late.
    `updated`: instances that `update` entries of the batch are about, and that share a series or an instance with the
    study; and those of which FHIR has not taken an earlier entry (`with_not_taken`). In each case the DICOM service may
    no longer hold an entry's instance under these UIDs, or FHIR may have it under others.
    """

    entries: Sequence[ChangeFeedEntry]
    attempts: Mapping[int, Attempts] = field(default_factory=dict)
    whole: tuple[str, str] | None = None
    is_replayed: bool = False
    updated: frozenset[InstanceIdentity] = NONE_UPDATED

    @property
    def study_instance_uid(self) -> str:
        """The StudyInstanceUID."""
        return self.whole[0] if self.whole else self.entries[0].study_instance_uid

    @property
    def sequences(self) -> set[int]:
        """Those of its entries; 0 if it has none, as the DICOM service no longer holds it."""
        return {entry.sequence for entry in self.entries} or {0}

    def is_over(self, sequence: int, now: datetime, total_seconds: float) -> bool:
        """Whether that entry is to be given up: attempts were made for long enough, and often enough."""
        attempts = self.attempts.get(sequence)
        return attempts is not None and attempts.is_over(now, total_seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """`due` is to be synced now; `not_due` are new entries of carried studies whose next attempt is not due yet.

    `left_carried`: the entries of earlier ticks of such studies. `leaves_carried`: whether there are any, or more than
    one batch takes. `torn` entries cannot be read, and are to be recorded; `gone` are carried ones that the feed no
    longer has. `holes` may still fill: the earlier ones, then the new ones of `read`. `is_last`: the feed had nothing
    behind what was read.
    """

    read: FeedPage
    torn: Sequence[TornEntry]
    due: Sequence[Study]
    not_due: Sequence[Study]
    leaves_carried: bool
    left_carried: Sequence[CarriedEntry] = ()
    gone: Sequence[CarriedEntry] = ()
    holes: Sequence[Hole] = ()
    is_last: bool = True

    @property
    def has_entries(self) -> bool:
        """Whether there is anything to sync or to record."""
        return bool(self.due or self.not_due or self.torn or self.gone)
