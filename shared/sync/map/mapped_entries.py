"""The entries of one study, mapped: the changes that they make, the dose reports among them, and what is at fault."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from shared.errors import (
    EntryError,
    FhirRefusedError,
    InvalidDicomTagError,
    UnforeseenError,
    UnforeseenMappingError,
    UnversionedResourceError,
)
from shared.mapping.converters import MappingOptions
from shared.mapping.dose.mapped_report import MappedReport, map_dose_report
from shared.mapping.dose.report import is_dose_report
from shared.mapping.dose.structured_report import ContentHeld, content_held
from shared.mapping.merge_study import RemovedInstance, counted_series
from shared.mapping.orders import OrderNumber
from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.mapping.resources import MappedInstance, StudyMapper
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.failures import ErrorTable, FailedEntry, InvalidTag
from shared.model.fhir import Resource
from shared.sync.bulkhead import bulkhead, tell
from shared.sync.ports import Archive
from shared.sync.read.plan import ChangedInstance

Change = MappedInstance | RemovedInstance


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done to one study.

    `reports` are the dose reports among the changes. `only_creates`: so are all entries of the study in this batch; no
    instance had another life in it. `is_doubtful`: what the feed calls current may have got other UIDs, those of
    `updated` or others. `has_deletes`: an entry of the batch deletes an instance of the study. `is_whole`: the changes
    are all that the archive holds of the study, but for the `unsynced`, which cannot be mapped. `left_out`: instances
    that are to be left as FHIR has them, as the whole of it was refused. `counts_only`: its instances are to be
    counted, not listed. `orders`: nothing is to be done but to look up these numbers, which the study has.
    """

    study_instance_uid: str
    changes: Sequence[Change]
    reports: Mapping[InstanceKey, MappedReport]
    only_creates: bool = False
    is_doubtful: bool = False
    updated: frozenset[ChangedInstance] = frozenset()
    has_deletes: bool = False
    is_whole: bool = False
    unsynced: frozenset[InstanceKey] = frozenset()
    left_out: frozenset[InstanceKey] = frozenset()
    counts_only: bool = False
    orders: Mapping[OrderNumber, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def entries(self) -> list[ChangeFeedEntry]:
        """The entries that make the changes."""
        return [change.entry for change in self.changes]

    @property
    def keys(self) -> frozenset[InstanceKey]:
        """The instances that the changes are about."""
        return frozenset(key_of(change.entry) for change in self.changes)

    def halves(self) -> tuple["Changes", "Changes"]:
        """Two parts, in the feed's order."""
        half = len(self.changes) // 2
        first, second = replace(self, changes=self.changes[:half]), replace(self, changes=self.changes[half:])
        return (
            replace(first, left_out=self.left_out | second.keys),
            replace(second, left_out=self.left_out | first.keys),
        )


def map_entries(
    entries: Sequence[ChangeFeedEntry], options: MappingOptions, archive: Archive
) -> tuple[list[Change], dict[InstanceKey, MappedReport], list[FailedEntry]]:
    """The changes that the entries make, one per instance, in the feed's order; dose reports; what is to be recorded.

    Metadata is always the instance's current one, so that of several entries of one instance only the last matters.
    A create whose instance is gone has nothing to map; a delete whose instance was stored again must not take it out.
    """
    last = {key_of(entry): position for position, entry in enumerate(entries)}
    mapper = StudyMapper(options)
    changes: list[Change] = []
    reports: dict[InstanceKey, MappedReport] = {}
    failures: list[FailedEntry] = []
    for position, entry in enumerate(entries):
        if last[key_of(entry)] != position:
            continue
        if entry.action is Action.DELETE and (entry.state is State.DELETED or entry.metadata is None):
            changes.append(RemovedInstance(entry))
        elif entry.state is not State.DELETED:
            try:
                with bulkhead(UnforeseenMappingError):
                    change = mapper.map(entry)
                    report = _report(entry, options, archive)
            except (InvalidDicomTagError, UnforeseenMappingError) as error:
                failures.append(failed(entry, error))
            else:
                changes.append(change)
                failures += _left_out(entry, (*change.faults, *(report.faults if report else ())))
                if report:
                    reports[key_of(entry)] = report
    return changes, reports, failures


def key_of(entry: ChangeFeedEntry) -> InstanceKey:
    """What tells the instance from the others of its study."""
    return entry.series_instance_uid, entry.sop_instance_uid


def _report(entry: ChangeFeedEntry, options: MappingOptions, archive: Archive) -> MappedReport | None:
    """The entry's dose report; its content is asked for where the feed does not have it. Raises OutageError."""
    metadata = entry.metadata or {}
    if not options.generate_observations or not is_dose_report(metadata):
        return None
    if content_held(metadata) is ContentHeld.ELSEWHERE:
        metadata = archive.metadata(entry) or metadata
    return map_dose_report(metadata, options)


def gone(study: Resource | None, wanted: Changes, read: StudyRead | None) -> list[Change]:
    """What takes out the instances that FHIR lists and that are out, where no change speaks of them."""
    if study is None or read is None:
        return []
    uid, told = wanted.study_instance_uid, wanted.keys
    return [
        RemovedInstance(ChangeFeedEntry(0, uid, *key, Action.DELETE, State.DELETED, timestamp=""))
        for key in listed(study)
        if key not in told and read.is_out(*key)
    ]


def listed(study: Resource | None) -> list[InstanceKey]:
    """The instances that an ImagingStudy lists."""
    return [
        (series["uid"], instance["uid"])
        for series in (study or {}).get("series", ())
        for instance in series.get("instance", ())
    ]


def there(wanted: Changes, read: StudyRead) -> Changes:
    """The changes without the instances that the archive does not have under these UIDs."""
    held = {key_of(one.entry) for one in read.instances}
    changes = [
        change
        for change in wanted.changes
        if isinstance(change, RemovedInstance)
        or change.entry.series_instance_uid not in read.whole
        or key_of(change.entry) in held
    ]
    return wanted if len(changes) == len(wanted.changes) else replace(wanted, changes=changes)


def newcomers(wanted: Changes, study: Resource | None) -> list[ChangedInstance]:
    """The study's updated instances that FHIR does not list: it may know them by UIDs that no change names.

    One that it lists may be another, which the batch has deleted before the update gave its UIDs away.
    """
    updated = [one for one in wanted.updated if one[1] == wanted.study_instance_uid]
    if study is None or wanted.has_deletes:
        return updated
    counted, known = counted_series(study), set(listed(study))
    return [one for one in updated if one[2] not in counted and one[2:] not in known]


def failed(entry: ChangeFeedEntry, error: EntryError) -> FailedEntry:
    """The row that says why the entry was not synced; where it is the app that fell, an ERROR line too."""
    if not isinstance(error, UnforeseenError):
        failure = FailedEntry.of(entry, error.table, type(error).__name__, str(error))
        return replace(failure, may_befall_all=True) if _may_befall_all(error) else failure
    tell(
        error, Sequence=entry.sequence, StudyInstanceUID=entry.study_instance_uid, SOPInstanceUID=entry.sop_instance_uid
    )
    return replace(FailedEntry.of(entry, error.table, error.name, str(error)), is_unforeseen=True)


def _may_befall_all(error: EntryError) -> bool:
    """A server that forbids, or tells no versions, does so to one study or to every one."""
    is_forbidden = isinstance(error, FhirRefusedError) and error.status == HTTPStatus.FORBIDDEN
    return is_forbidden or isinstance(error, UnversionedResourceError)


def _left_out(entry: ChangeFeedEntry, faults: Sequence[InvalidTag]) -> list[FailedEntry]:
    """A row for each tag: the content of a report may be at fault in several places."""
    by_tag: dict[str, list[str]] = {}
    for fault in dict.fromkeys(faults):
        by_tag.setdefault(fault.tag, []).append(str(fault))
    name = InvalidDicomTagError.__name__
    return [FailedEntry.of(entry, ErrorTable.INVALID_TAG, name, "; ".join(told)) for told in by_tag.values()]
