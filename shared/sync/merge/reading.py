"""Reads what the archive holds of one study now: the series that changes touch, or all of it if that is not enough."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from shared.errors import FeedError, OutageError, UnreadStudyError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.reconcile import StudyRead
from shared.model.change_feed import ChangeFeedEntry
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Changes, key_of, map_entries
from shared.sync.merge.missing_instances import MissingInstances, may_lag
from shared.sync.merge.series_reading import SeriesReading
from shared.sync.merge.study_reading import StudyReading
from shared.sync.ports import Archive, Feed, Ports


class StudyReader:
    """Reads the studies of one data partition. Threads may share it.

    Each method raises UnreadStudyError, and OutageError if the feed cannot be read either.
    """

    def __init__(self, ports: Ports, options: MappingOptions, partition: str) -> None:
        self._archive = ports.archive
        self._feed = ports.feed
        self._now = ports.now
        self._options = options
        self._partition = partition

    def read(self, held: Resource, wanted: Changes, own: Collection[str]) -> StudyRead:
        """All instances of the series that the changes touch, and one of each other series.

        `held`: the ImagingStudy in FHIR; only the series `own` of it are this archive's.
        """
        with of_one_study(self._feed):
            return self._reading(held, wanted, own).of_touched()

    def read_all(self, held: Resource, wanted: Changes, own: Collection[str]) -> StudyRead:
        """As `read`, with all instances of all series."""
        with of_one_study(self._feed):
            return self._reading(held, wanted, own).of_all()

    def read_changes(self, wanted: Changes) -> StudyRead:
        """All instances of the series that the changes touch, for a study that FHIR does not have."""
        with of_one_study(self._feed):
            return self._reading({}, wanted, ()).of_changes()

    def with_the_rest(self, wanted: Changes) -> Changes:
        """The changes, and all else that the archive holds of the study: somebody has deleted it from FHIR."""
        with of_one_study(self._feed):
            held = self._archive.instances(wanted.study_instance_uid, self._partition)
            others = [one for one in held if key_of(one) not in wanted.keys | wanted.left_out]
            changes, reports, _ = map_entries(others, self._options, self._archive)
        return replace(wanted, changes=[*changes, *wanted.changes], reports={**reports, **wanted.reports})

    def _reading(self, held: Resource, wanted: Changes, own: Collection[str]) -> StudyReading:
        read = SeriesReading(self._archive, self._partition, self._options, wanted)
        missing = MissingInstances(self._archive, self._partition, wanted, read, self._now())
        return StudyReading(read, missing, held, wanted, own)


def is_gone(archive: Archive, entry: ChangeFeedEntry, now: datetime) -> bool:
    """Whether neither WADO-RS nor QIDO-RS has the instance under these UIDs. Raises FeedError, OutageError."""
    if may_lag(entry, now) or archive.metadata(entry) is not None:
        return False
    return entry.sop_instance_uid not in archive.listed(
        entry.study_instance_uid, entry.series_instance_uid, entry.partition
    )


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
