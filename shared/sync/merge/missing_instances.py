"""Instances that FHIR or the feed names and that were not read: whether the archive holds them no longer.

An instance counts as gone only if an entry of the feed says so, or if neither WADO-RS nor QIDO-RS has it.
"""

from collections.abc import Collection
from datetime import datetime

from shared.errors import UnreadStudyError
from shared.mapping.merge_study import RemovedInstance
from shared.mapping.resources import MappedInstance
from shared.model.change_feed import ChangeFeedEntry
from shared.sync.map.mapped_entries import Changes, key_of
from shared.sync.merge.series_reading import SeriesReading
from shared.sync.ports import Archive

LAG_SECONDS = 120
"""How long an archive may lag behind its own change feed."""


class MissingInstances:
    """Those of one study, of which `read` is what was read."""

    def __init__(self, archive: Archive, partition: str, wanted: Changes, read: SeriesReading, now: datetime) -> None:
        self._archive = archive
        self._place = wanted.study_instance_uid, partition
        self._wanted = wanted
        self._read = read
        self._now = now
        self.deleted = {key_of(one.entry) for one in wanted.changes if isinstance(one, RemovedInstance)}
        self._found: dict[str, frozenset[str]] = {}

    def ensure_current(self) -> None:
        """Raises UnreadStudyError if an instance that the feed calls current is missing: the archive may lag behind."""
        there = self._read.keys
        for change in self._wanted.changes:
            series, uid = key_of(change.entry)
            if not isinstance(change, MappedInstance) or series not in self._read.whole or (series, uid) in there:
                continue
            if self._wanted.is_doubtful and self._may_be_moved(change.entry) and uid not in self._listed_of(series):
                continue  # neither WADO-RS nor QIDO-RS has it under these UIDs
            raise UnreadStudyError(f"the feed calls the instance {uid} current, and the archive does not have it")

    def gone_of(self, series: str, held: Collection[str], listed: Collection[str]) -> set[str] | None:
        """The instances of a series of ours in FHIR that the archive has no more; None if the whole series is gone.

        `held`: those that FHIR lists. `listed`: the series that the archive lists. Raises UnreadStudyError if WADO-RS
        and QIDO-RS contradict each other.
        """
        if series in listed and series not in self._read.whole and not self._wanted.is_whole:
            return set()
        there = {one.entry.sop_instance_uid for one in self._read.series.get(series, ())}
        there |= {uid for parent, uid in self._read.unsynced | self._wanted.left_out if parent == series}
        missing = set(held) - there
        unconfirmed = {uid for uid in missing if (series, uid) not in self.deleted}
        if there:
            return missing - unconfirmed | (unconfirmed and unconfirmed - self._listed_of(series))
        if series in listed and unconfirmed:
            raise UnreadStudyError(f"QIDO-RS lists the series {series}, and WADO-RS has none of it")
        if series not in self._read.whole and unconfirmed and any(self._archive.instances(*self._place, series)):
            raise UnreadStudyError(f"WADO-RS has the series {series}, and QIDO-RS does not list it")
        return None

    def _may_be_moved(self, entry: ChangeFeedEntry) -> bool:
        """Whether an update may have given it other UIDs: one of this batch, or any if the archive cannot just lag."""
        updates = (one for one in self._wanted.updated if one[3] == entry.sop_instance_uid)
        return any(one != entry.instance for one in updates) or not may_lag(entry, self._now)

    def _listed_of(self, series: str) -> frozenset[str]:
        """The SOPInstanceUIDs that QIDO-RS finds in the series; searched for once."""
        if series not in self._found:
            self._found[series] = self._archive.listed(self._place[0], series, self._place[1])
        return self._found[series]


def may_lag(entry: ChangeFeedEntry, now: datetime) -> bool:
    """Whether the entry is so young that the archive may not show yet what it says."""
    return (now - datetime.fromisoformat(entry.timestamp)).total_seconds() <= LAG_SECONDS
