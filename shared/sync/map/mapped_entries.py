"""The entries of one study, mapped: the changes that they make, the dose reports among them, and the failures."""

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
from shared.mapping.dose.mapped_report import MappedReport, map_dose_report
from shared.mapping.dose.report import is_dose_report
from shared.mapping.dose.structured_report import ContentHeld, content_held
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge_study import RemovedInstance, counted_series
from shared.mapping.orders import OrderNumber
from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.mapping.resources import MappedInstance, StudyMapper
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.failures import ErrorTable, FailedEntry, InvalidTag
from shared.model.fhir import Resource
from shared.model.instance import InstanceIdentity
from shared.sync.bulkhead import Bulkhead, log_unforeseen
from shared.sync.ports import Archive

Change = MappedInstance | RemovedInstance


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that entries of the feed, or a rebuild, make to one study.

    `reports`: the dose reports among the changes. `only_creates`: every entry of the study in this batch creates an
    instance that no other entry of the batch names. `is_doubtful`: instances that the feed calls current may have other
    UIDs by now, those of `updated` or others. `has_deletes`: an entry of the batch deletes an instance of the study.
    `is_whole`: the changes are all that the archive holds of the study, except the `unsynced`, which cannot be mapped.
    `left_out`: instances that stay as FHIR has them, because the study with all of them was refused. `counts_only`: its
    instances are to be counted, not listed. `orders`: only these order numbers of the study are to be looked up.
    """

    study_instance_uid: str
    changes: Sequence[Change]
    reports: Mapping[InstanceKey, MappedReport]
    only_creates: bool = False
    is_doubtful: bool = False
    updated: frozenset[InstanceIdentity] = frozenset()
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
        """The instances that are changed."""
        return frozenset(key_of(change.entry) for change in self.changes)

    def halves(self) -> tuple["Changes", "Changes"]:
        """Two parts in the feed's order, each of which leaves out the instances of the other."""
        half = len(self.changes) // 2
        first, second = replace(self, changes=self.changes[:half]), replace(self, changes=self.changes[half:])
        return (
            replace(first, left_out=self.left_out | second.keys),
            replace(second, left_out=self.left_out | first.keys),
        )


def map_entries(
    entries: Sequence[ChangeFeedEntry], options: MappingOptions, archive: Archive
) -> tuple[list[Change], dict[InstanceKey, MappedReport], list[FailedEntry]]:
    """The changes that the entries make, one per instance, in the feed's order; the dose reports; the failures.

    The feed gives each entry the instance's current metadata, so only the last of several entries of one instance
    matters. A create whose instance is gone has nothing to map; an update of such an instance takes it out, as FHIR may
    have it under former UIDs. A delete is ignored if its instance was stored again, unless what was stored cannot be
    mapped: what FHIR has of it was deleted, whether or not a batch ended in between.
    """
    keys = [key_of(entry) for entry in entries]
    last = {key: position for position, key in enumerate(keys)}
    deletes = {key: entry for key, entry in zip(keys, entries, strict=True) if entry.action is Action.DELETE}
    mapper = StudyMapper(options)
    bulkhead = Bulkhead(UnforeseenMappingError)
    changes: list[Change] = []
    reports: dict[InstanceKey, MappedReport] = {}
    failures: list[FailedEntry] = []
    for position, (key, entry) in enumerate(zip(keys, entries, strict=True)):
        if last[key] != position:
            continue
        if _takes_out(entry):
            changes.append(RemovedInstance(entry))
        elif entry.state is not State.DELETED:
            try:
                with bulkhead:
                    change = mapper.map(entry)
                    report = _report(entry, options, archive)
            except (InvalidDicomTagError, UnforeseenMappingError) as error:
                failures.append(failed(entry, error))
                if delete := deletes.get(key):
                    changes.append(RemovedInstance(delete))
            else:
                changes.append(change)
                failures += _invalid_tags(entry, (*change.faults, *(report.faults if report else ())))
                if report:
                    reports[key] = report
    return changes, reports, failures


def _takes_out(entry: ChangeFeedEntry) -> bool:
    """Whether the entry's instance is gone, and the entry is no create."""
    if entry.action is Action.DELETE:
        return entry.state is State.DELETED or entry.metadata is None
    return entry.action is Action.UPDATE and entry.state is State.DELETED


def key_of(entry: ChangeFeedEntry) -> InstanceKey:
    """SeriesInstanceUID and SOPInstanceUID, which identify the instance within its study."""
    return entry.series_instance_uid, entry.sop_instance_uid


def _report(entry: ChangeFeedEntry, options: MappingOptions, archive: Archive) -> MappedReport | None:
    """The entry's dose report, if it is one; content that the feed lacks is read. Raises FeedError, OutageError."""
    metadata = entry.metadata or {}
    if not options.generate_observations or not is_dose_report(metadata):
        return None
    if content_held(metadata) is ContentHeld.ELSEWHERE:
        metadata = archive.metadata(entry) or metadata
    return map_dose_report(metadata, options)


def removals(study: Resource | None, wanted: Changes, read: StudyRead | None) -> list[Change]:
    """Changes that take out the instances that FHIR lists and the archive does not hold, if no change is about them."""
    if study is None or read is None:
        return []
    uid, changed = wanted.study_instance_uid, wanted.keys
    return [
        RemovedInstance(ChangeFeedEntry(0, uid, *key, Action.DELETE, State.DELETED, timestamp=""))
        for key in listed(study)
        if key not in changed and read.is_out(*key)
    ]


def listed(study: Resource | None) -> list[InstanceKey]:
    """The instances that an ImagingStudy lists."""
    return [
        (series["uid"], instance["uid"])
        for series in (study or {}).get("series", ())
        for instance in series.get("instance", ())
    ]


def without_missing(wanted: Changes, read: StudyRead) -> Changes:
    """The changes without those of instances that the archive does not hold under these UIDs."""
    held = {key_of(one.entry) for one in read.instances}
    changes = [
        change
        for change in wanted.changes
        if isinstance(change, RemovedInstance)
        or change.entry.series_instance_uid not in read.whole
        or key_of(change.entry) in held
    ]
    return wanted if len(changes) == len(wanted.changes) else replace(wanted, changes=changes)


def newcomers(wanted: Changes, study: Resource | None) -> list[InstanceIdentity]:
    """The study's updated instances that FHIR may list under former UIDs, which no change names.

    An instance that FHIR lists under the new UIDs is none of them, unless the batch has a delete: it may have deleted
    another instance before the update gave the same UIDs to this one.
    """
    updated = [one for one in wanted.updated if one[1] == wanted.study_instance_uid]
    if study is None or wanted.has_deletes:
        return updated
    counted, in_fhir = counted_series(study), set(listed(study))
    return [one for one in updated if one[2] not in counted and one[2:] not in in_fhir]


def failed(entry: ChangeFeedEntry, error: EntryError) -> FailedEntry:
    """The row that says why the entry was not synced. A bug of the app is logged as ERROR, too."""
    if not isinstance(error, UnforeseenError):
        failure = FailedEntry.of(entry, error.table, type(error).__name__, str(error))
        return replace(failure, may_befall_all=True) if _may_befall_all(error) else failure
    log_unforeseen(
        error, Sequence=entry.sequence, StudyInstanceUID=entry.study_instance_uid, SOPInstanceUID=entry.sop_instance_uid
    )
    return replace(FailedEntry.of(entry, error.table, error.name, str(error)), is_unforeseen=True)


def _may_befall_all(error: EntryError) -> bool:
    """A server that forbids a write, or gives no versions, may do so for every study."""
    is_forbidden = isinstance(error, FhirRefusedError) and error.status == HTTPStatus.FORBIDDEN
    return is_forbidden or isinstance(error, UnversionedResourceError)


def _invalid_tags(entry: ChangeFeedEntry, faults: Sequence[InvalidTag]) -> list[FailedEntry]:
    """One row for each tag, with all faults of it: the content of a report may have several."""
    by_tag: dict[str, list[str]] = {}
    for fault in dict.fromkeys(faults):
        by_tag.setdefault(fault.tag, []).append(str(fault))
    name = InvalidDicomTagError.__name__
    return [FailedEntry.of(entry, ErrorTable.INVALID_TAG, name, "; ".join(messages)) for messages in by_tag.values()]
