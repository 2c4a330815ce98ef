"""One reading of one study: which of its series are read, and how much of each; and what of it is gone."""

from collections.abc import Callable, Collection

from shared.mapping.merge_study import counted_series
from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.mapping.resources import MappedInstance
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, newcomers
from shared.sync.merge.missing_instances import MissingInstances
from shared.sync.merge.series_reading import SeriesReading


class StudyReading:
    """`held`: the ImagingStudy in FHIR; only the series `own` of it are this archive's.

    Each method raises FeedError, OutageError and UnreadStudyError.
    """

    def __init__(
        self, read: SeriesReading, missing: MissingInstances, held: Resource, wanted: Changes, own: Collection[str]
    ) -> None:
        self._read = read
        self._missing = missing
        self._wanted = wanted
        self._held = {
            one["uid"]: {instance["uid"] for instance in one.get("instance", ())}
            for one in held.get("series", ())
            if one["uid"] in own
        }
        self._is_renumbered = bool(newcomers(wanted, held))
        self._counted = counted_series(held)
        self._to_count = self._held.keys() if wanted.counts_only else self._counted
        """The series whose instances are to be counted, not listed, unless the study is rebuilt."""

    def of_touched(self) -> StudyRead:
        """All instances of the series that the changes touch, and one of each other series."""
        return self._of(self._read_touched)

    def of_all(self) -> StudyRead:
        """All instances of all series."""
        return self._of(self._read_all)

    def of_changes(self) -> StudyRead:
        """All instances of the series that the changes touch, for a study that FHIR does not have."""
        if self._wanted.is_whole:
            self._take_changes()
        elif not self._wanted.counts_only:
            spoken = (change.entry for change in self._wanted.changes if isinstance(change, MappedInstance))
            for series in dict.fromkeys(entry.series_instance_uid for entry in spoken):
                self._read.read_whole(series)
        self._missing.ensure_current()
        return StudyRead(self._read.series, frozenset(self._read.whole), unsynced=self._unsynced)

    def _of(self, read: Callable[[Collection[str], Collection[str]], bool]) -> StudyRead:
        """`read` reads the series, touched and listed ones, and tells whether that was all."""
        if self._wanted.is_whole:
            return self._of_rebuild()
        listed = self._read.listed()
        touched = self._touched(listed)
        if not listed:
            return self._of_unlisted(touched)
        return self._result(listed, is_whole=read(touched, listed))

    def _read_touched(self, touched: Collection[str], listed: Collection[str]) -> bool:
        for series in dict.fromkeys([*touched, *listed]):
            if series in touched and series not in self._to_count:
                self._read.read_whole(series)
            elif series in listed:
                self._read.read_one(series)
        return set(listed) <= self._read.whole

    def _read_all(self, touched: Collection[str], listed: Collection[str]) -> bool:
        for series in dict.fromkeys([*touched, *listed]):
            if series in self._to_count:
                self._read.read_fragments(series)
            else:
                self._read.read_whole(series)
        return True

    def _of_rebuild(self) -> StudyRead:
        """The changes are all that the archive holds."""
        self._take_changes()
        is_explained = self._held.keys() <= {series for series, _ in self._read.unsynced} | self._read.series.keys()
        return self._result(self._read.series if is_explained else self._read.listed(), is_whole=True)

    def _of_unlisted(self, touched: Collection[str]) -> StudyRead:
        """QIDO-RS lists no series: all that WADO-RS has is read, unless the feed has deleted every instance."""
        held = {(series, uid) for series, uids in self._held.items() for uid in uids}
        if self._counted or not held | self._wanted.keys <= self._missing.deleted:
            self._read.read_study()
        found = set(self._read.series)
        for series in touched:
            self._read.series.setdefault(series, [])
        self._read.whole |= self._read.series.keys() - self._counted
        return self._result(found, is_whole=True)

    def _take_changes(self) -> None:
        self._read.take(self._wanted.changes)
        if not self._wanted.counts_only:
            self._read.whole |= self._read.series.keys()

    def _touched(self, listed: Collection[str]) -> set[str]:
        """The series that the changes touch, and those that only FHIR or only the archive lists."""
        touched = {change.entry.series_instance_uid for change in self._wanted.changes}
        touched |= self._held.keys() ^ set(listed)
        return touched | self._held.keys() if self._is_renumbered else touched

    def _result(self, listed: Collection[str], *, is_whole: bool) -> StudyRead:
        """What was read, and what is gone. `listed`: the series that the archive has. `is_whole`: all was read."""
        self._missing.ensure_current()
        own = {series: uids for series, uids in self._held.items() if series not in self._counted}
        gone = {series: self._missing.gone_of(series, uids, listed) for series, uids in own.items()}
        return StudyRead(
            self._read.series,
            frozenset(self._read.whole),
            is_whole=is_whole,
            gone=frozenset((series, uid) for series, uids in gone.items() for uid in uids or ()),
            gone_series=frozenset(series for series, uids in gone.items() if uids is None),
            unsynced=self._unsynced,
        )

    @property
    def _unsynced(self) -> frozenset[InstanceKey]:
        return frozenset(self._read.unsynced - self._wanted.left_out)
