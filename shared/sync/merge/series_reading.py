"""What the archive holds of one study, read by WADO-RS and mapped, series by series."""

from collections.abc import Collection
from dataclasses import replace

from shared.errors import InvalidDicomTagError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.reconcile import InstanceKey
from shared.mapping.resources import MappedInstance, StudyMapper
from shared.model.change_feed import ChangeFeedEntry
from shared.sync.map.mapped_entries import Change, Changes, key_of
from shared.sync.ports import Archive


class SeriesReading:
    """`series`: the instances read so far, by SeriesInstanceUID. `whole`: the series of which all instances were read.

    `unsynced`: instances that the archive holds and that cannot be mapped. Each method that reads raises FeedError and
    OutageError.
    """

    def __init__(self, archive: Archive, partition: str, options: MappingOptions, wanted: Changes) -> None:
        self._archive = archive
        self._place = wanted.study_instance_uid, partition
        self._mapper = StudyMapper(options)
        self._left_out = wanted.left_out
        self.series: dict[str, list[MappedInstance]] = {}
        self.whole: set[str] = set()
        self.unsynced: set[InstanceKey] = set(wanted.unsynced)

    @property
    def keys(self) -> set[InstanceKey]:
        """The instances that the archive holds, as far as they were read."""
        return {key_of(one.entry) for instances in self.series.values() for one in instances} | self.unsynced

    def listed(self) -> Collection[str]:
        """The SeriesInstanceUIDs that QIDO-RS finds."""
        return dict.fromkeys(self._archive.series(*self._place))

    def take(self, changes: Collection[Change]) -> None:
        """Takes over what was read and mapped already."""
        for change in changes:
            if isinstance(change, MappedInstance):
                self.series.setdefault(change.entry.series_instance_uid, []).append(change)

    def read_study(self) -> None:
        """Reads all instances of the study."""
        for entry in self._archive.instances(*self._place):
            self._put(entry)

    def read_whole(self, series: str) -> None:
        """Reads all instances of the series."""
        for entry in self._archive.instances(*self._place, series):
            self._put(entry)
        self.whole.add(series)
        self.series.setdefault(series, [])

    def read_fragments(self, series: str) -> None:
        """Reads all instances of a series that is only counted, and keeps one for each different study fragment."""
        kept: set[int] = set()
        for entry in self._archive.instances(*self._place, series):
            if mapped := self._put(entry):
                if id(mapped.study) in kept:
                    self.series[series].pop()
                kept.add(id(mapped.study))

    def read_one(self, series: str) -> None:
        """Reads any one instance of the series."""
        if entry := self._archive.one_of(self._place[0], series, self._place[1]):
            self._put(entry)

    def _put(self, entry: ChangeFeedEntry) -> MappedInstance | None:
        key = key_of(entry)
        if key in self._left_out:
            return None
        try:
            mapped = self._mapper.map(entry)
        except InvalidDicomTagError:  # recorded when its own entry of the feed is synced
            self.unsynced.add(key)
            return None
        mapped = replace(mapped, entry=replace(entry, metadata=None))  # so that 40,000 instances fit into memory
        self.series.setdefault(entry.series_instance_uid, []).append(mapped)
        return mapped
