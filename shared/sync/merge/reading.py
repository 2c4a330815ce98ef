"""Reads what the archive holds of one study now: the series that changes touch, or all of it if that is not enough.

An instance counts as gone only if an entry of the feed says so, or if neither WADO-RS nor QIDO-RS has it.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from shared.errors import FeedError, InvalidDicomTagError, OutageError, UnreadStudyError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import RemovedInstance, counted_series
from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.mapping.resources import MappedInstance, StudyMapper
from shared.model.change_feed import ChangeFeedEntry
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, key_of, map_entries, newcomers
from shared.sync.ports import Archive, Feed, Ports

LAG_SECONDS = 120
"""How long an archive may lag behind its own change feed."""


class StudyReader:
    """Reads the studies of one data partition. Threads may share it."""

    def __init__(self, ports: Ports, options: MappingOptions, partition: str) -> None:
        self._archive = ports.archive
        self._feed = ports.feed
        self._now = ports.now
        self._options = options
        self._partition = partition

    def read(self, held: Resource, wanted: Changes, own: Collection[str], *, is_all: bool = False) -> StudyRead:
        """All instances of the series that the changes touch, and one of each other series; with `is_all`, all of all.

        `held`: the ImagingStudy in FHIR; only the series `own` of it are this archive's. Raises UnreadStudyError, and
        OutageError if the feed cannot be read either.
        """
        with of_one_study(self._feed):
            return _Reading(self._archive, self._partition, self._options, held, wanted, own, self._now()).run(
                is_all=is_all
            )

    def read_changes(self, wanted: Changes) -> StudyRead:
        """All instances of the series that the changes touch, for a study that FHIR does not have.

        Raises as `read` does.
        """
        with of_one_study(self._feed):
            return _Reading(self._archive, self._partition, self._options, {}, wanted, (), self._now()).of_changes()

    def with_the_rest(self, wanted: Changes) -> Changes:
        """The changes, and all else that the archive holds of the study: somebody has deleted it from FHIR."""
        with of_one_study(self._feed):
            held = self._archive.instances(wanted.study_instance_uid, self._partition)
            others = [one for one in held if key_of(one) not in wanted.keys | wanted.left_out]
            changes, reports, _ = map_entries(others, self._options, self._archive)
        return replace(wanted, changes=[*changes, *wanted.changes], reports={**reports, **wanted.reports})


def is_gone(archive: Archive, entry: ChangeFeedEntry, now: datetime) -> bool:
    """Whether neither WADO-RS nor QIDO-RS has the instance under these UIDs. Raises FeedError, OutageError."""
    if _may_lag(entry, now) or archive.metadata(entry) is not None:
        return False
    return entry.sop_instance_uid not in archive.listed(
        entry.study_instance_uid, entry.series_instance_uid, entry.partition
    )


def _may_lag(entry: ChangeFeedEntry, now: datetime) -> bool:
    return (now - datetime.fromisoformat(entry.timestamp)).total_seconds() <= LAG_SECONDS


@contextmanager
def of_one_study(feed: Feed) -> Iterator[None]:
    """If reading a study fails while the feed can be read, only that study is at fault.

    Raises UnreadStudyError, or OutageError if the feed cannot be read either.
    """
    try:
        yield
    except (FeedError, OutageError) as error:
        try:
            feed.latest()
        except FeedError as feeds:
            raise OutageError("DICOM service", str(feeds)) from feeds
        raise UnreadStudyError(f"the archive's account of the study cannot be read: {error}") from error


class _Reading:
    """One reading of one study, built up series by series."""

    def __init__(
        self,
        archive: Archive,
        partition: str,
        options: MappingOptions,
        held: Resource,
        wanted: Changes,
        own: Collection[str],
        now: datetime,
    ) -> None:
        self._now = now
        self._archive = archive
        self._place = wanted.study_instance_uid, partition
        self._mapper = StudyMapper(options)
        self._wanted = wanted
        self._deleted = {key_of(one.entry) for one in wanted.changes if isinstance(one, RemovedInstance)}
        self._counted = counted_series(held)
        self._is_renumbered = bool(newcomers(wanted, held))
        self._held = {
            one["uid"]: {instance["uid"] for instance in one.get("instance", ())}
            for one in held.get("series", ())
            if one["uid"] in own
        }
        self._series: dict[str, list[MappedInstance]] = {}
        self._whole: set[str] = set()
        self._found: dict[str, frozenset[str]] = {}
        self._unsynced: set[InstanceKey] = set(wanted.unsynced)
        self._is_all_read = False

    def run(self, *, is_all: bool) -> StudyRead:
        self._is_all_read = is_all or self._wanted.is_whole
        listed = self._take_all_changes() if self._wanted.is_whole else self._read_series(is_all=is_all)
        self._ensure_current()
        gone = {series: self._gone_of(series, listed) for series in self._held if series not in self._counted}
        return StudyRead(
            self._series,
            frozenset(self._whole),
            is_whole=self._is_all_read or set(listed) <= self._whole,
            gone=frozenset((series, uid) for series, uids in gone.items() for uid in uids or ()),
            gone_series=frozenset(series for series, uids in gone.items() if uids is None),
            unsynced=frozenset(self._unsynced - self._wanted.left_out),
        )

    def of_changes(self) -> StudyRead:
        if self._wanted.is_whole:
            self._take_all_changes()
        elif not self._wanted.counts_only:
            spoken = (change.entry for change in self._wanted.changes if isinstance(change, MappedInstance))
            for series in dict.fromkeys(entry.series_instance_uid for entry in spoken):
                self._read_whole(series, is_counted=False)
        self._ensure_current()
        unsynced = frozenset(self._unsynced - self._wanted.left_out)
        return StudyRead(self._series, frozenset(self._whole), unsynced=unsynced)

    def _take_all_changes(self) -> Collection[str]:
        """Takes over what a rebuild has read already; returns the SeriesInstanceUIDs that the archive lists."""
        for change in self._wanted.changes:
            if isinstance(change, MappedInstance):
                self._series.setdefault(change.entry.series_instance_uid, []).append(change)
        self._whole |= self._series.keys() - self._counted_only()
        is_explained = self._held.keys() <= {series for series, _ in self._unsynced} | self._series.keys()
        return self._series if is_explained else self._listed()

    def _read_series(self, *, is_all: bool) -> Collection[str]:
        listed = self._listed()
        touched = {change.entry.series_instance_uid for change in self._wanted.changes}
        touched |= self._held.keys() ^ set(listed)  # series that only FHIR or only the archive lists
        if self._is_renumbered:
            touched |= self._held.keys()
        if not listed:
            return self._read_unlisted(touched)
        for series in dict.fromkeys([*touched, *listed]):
            is_counted = series in self._counted_only()
            if is_all or (series in touched and not is_counted):
                self._read_whole(series, is_counted=is_counted)
            elif series in listed and (one := self._archive.one_of(self._place[0], series, self._place[1])):
                self._put(one)
        return listed

    def _read_whole(self, series: str, *, is_counted: bool) -> None:
        """Reads all instances. Of a series that is only counted, one is kept for each different study fragment."""
        kept: set[int] = set()
        for entry in self._archive.instances(*self._place, series):
            mapped = self._put(entry)
            if is_counted and mapped is not None:
                if id(mapped.study) in kept:
                    self._series[series].pop()
                kept.add(id(mapped.study))
        if not is_counted:
            self._whole.add(series)
            self._series.setdefault(series, [])

    def _put(self, entry: ChangeFeedEntry) -> MappedInstance | None:
        key = key_of(entry)
        if key in self._wanted.left_out:
            return None
        try:
            mapped = self._mapper.map(entry)
        except InvalidDicomTagError:  # recorded when its own entry of the feed is synced
            self._unsynced.add(key)
            return None
        mapped = replace(mapped, entry=replace(entry, metadata=None))  # so that 40,000 instances fit into memory
        self._series.setdefault(entry.series_instance_uid, []).append(mapped)
        return mapped

    def _ensure_current(self) -> None:
        """Raises UnreadStudyError if an instance that the feed calls current is missing: the archive may lag behind."""
        there = {key_of(one.entry) for instances in self._series.values() for one in instances} | self._unsynced
        for change in self._wanted.changes:
            series, uid = key_of(change.entry)
            if not isinstance(change, MappedInstance) or series not in self._whole or (series, uid) in there:
                continue
            if self._wanted.is_doubtful and self._may_be_moved(change.entry) and uid not in self._listed_of(series):
                continue  # neither WADO-RS nor QIDO-RS has it under these UIDs
            raise UnreadStudyError(f"the feed calls the instance {uid} current, and the archive does not have it")

    def _may_be_moved(self, entry: ChangeFeedEntry) -> bool:
        """Whether an update may have given it other UIDs: one of this batch, or any if the archive cannot just lag."""
        updates = (one for one in self._wanted.updated if one[3] == entry.sop_instance_uid)
        return any(one != entry.instance for one in updates) or not _may_lag(entry, self._now)

    def _read_unlisted(self, touched: set[str]) -> Collection[str]:
        """QIDO-RS lists no series: all that WADO-RS has is read, unless the feed has deleted every instance."""
        held = {(series, uid) for series, uids in self._held.items() for uid in uids}
        if self._counted or not held | self._wanted.keys <= self._deleted:
            for entry in self._archive.instances(*self._place):
                self._put(entry)
        found = set(self._series)
        self._series |= {series: [] for series in touched - found}
        self._whole |= self._series.keys() - self._counted
        self._is_all_read = True
        return found

    def _gone_of(self, series: str, listed: Collection[str]) -> set[str] | None:
        """The instances of a series of ours in FHIR that the archive has no more; None if the whole series is gone."""
        if series in listed and series not in self._whole and not self._wanted.is_whole:
            return set()
        there = {one.entry.sop_instance_uid for one in self._series.get(series, ())}
        there |= {uid for parent, uid in self._unsynced | self._wanted.left_out if parent == series}
        missing = self._held[series] - there
        unconfirmed = {uid for uid in missing if (series, uid) not in self._deleted}
        if there:
            return missing - unconfirmed | (unconfirmed and unconfirmed - self._listed_of(series))
        if series in listed and unconfirmed:
            raise UnreadStudyError(f"QIDO-RS lists the series {series}, and WADO-RS has none of it")
        if series not in self._whole and unconfirmed and any(self._archive.instances(*self._place, series)):
            raise UnreadStudyError(f"WADO-RS has the series {series}, and QIDO-RS does not list it")
        return None

    def _listed(self) -> Collection[str]:
        return dict.fromkeys(self._archive.series(*self._place))

    def _listed_of(self, series: str) -> frozenset[str]:
        """The SOPInstanceUIDs that QIDO-RS finds in the series; searched for once."""
        if series not in self._found:
            self._found[series] = self._archive.listed(self._place[0], series, self._place[1])
        return self._found[series]

    def _counted_only(self) -> set[str]:
        """The series whose instances are to be counted, not listed."""
        if self._wanted.counts_only:
            return self._held.keys() | self._series.keys()
        return set() if self._wanted.is_whole else self._counted
