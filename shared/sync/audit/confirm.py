"""Looks closely at a suspect study: what a rebuild would write now is the difference, and nothing else is.

It counts only if two readings agree, and if no entry of the feed that is still to be synced names the study. So neither
a change that is on its way nor an answer that broke off is taken for a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from shared.errors import DeleteRefusedError, EntryError, FeedError, StudyTooLargeError, TransientError
from shared.mapping.differences import differences
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.study_identity import is_study
from shared.model.audit import Kind
from shared.model.failures import ErrorTable, digest_of_study
from shared.model.instance import StudyKey
from shared.sync.audit.audit_ports import StudyList
from shared.sync.merge.reading import of_one_study
from shared.sync.ports import Ports
from shared.sync.read.carried import carried_entries
from shared.sync.replay.dry_rebuild import dry_rebuild
from shared.sync.replay.dry_run_server import DryRunServer, PlannedChange

MOST_NEW = 1_000
"""Entries of the feed that are read to see whether they name the study; if there are more, it is put off."""
KNOWN = frozenset({ErrorTable.FHIR, ErrorTable.TRANSIENT_RETRY, ErrorTable.TRANSIENT_FAILURE})
"""The tables whose open rows already say that the study is not in FHIR as it should be."""
_KINDS = {"subject": Kind.PATIENT, "series": Kind.SERIES, "numberOfSeries": Kind.SERIES, "modality": Kind.MODALITY}
_KINDS |= {"numberOfInstances": Kind.SERIES}


class Finding(Enum):
    """What was found. `KNOWN`: open error rows say it already. `PUT_OFF`: the study changes, or cannot be read."""

    SAME = auto()
    DIFFERS = auto()
    KNOWN = auto()
    PUT_OFF = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind`, and `says`: which elements and resources differ, without values.

    `takes_all`: a rebuild would delete or empty the ImagingStudy though the archive has the study: none of the
    instances that it has now can be synced, and those that FHIR lists are gone.
    """

    finding: Finding
    kind: Kind = Kind.ELEMENT
    says: str = ""
    takes_all: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a rebuild would write. `is_empty`: the archive has listed no instance.

    `leaves_none`: each of the study's ImagingStudies in FHIR, of which there may be doubles, is deleted, or emptied if
    others have put something on it.
    """

    changes: Sequence[PlannedChange]
    is_empty: bool
    leaves_none: bool


def confirm(ports: Ports, studies: StudyList, options: MappingOptions, study: StudyKey) -> Verdict:
    """The finding about the study. Raises OutageError, LeaseLostError."""
    try:
        plan = _planned(ports, options, study)
        if not plan.changes:
            return Verdict(Finding.SAME)
        verdict = _differing(plan)
        if plan.is_empty and not is_absent(ports, studies, study):
            return Verdict(Finding.PUT_OFF)  # the archive has the study, and has listed no instance of it
        again = _planned(ports, options, study)
        if not again.changes or again.is_empty is not plan.is_empty or _differing(again) != verdict:
            return Verdict(Finding.PUT_OFF)
        if _is_on_its_way(ports, study):
            return Verdict(Finding.PUT_OFF)
    except (EntryError, FeedError, TransientError):
        return Verdict(Finding.PUT_OFF)
    return Verdict(Finding.KNOWN) if _is_known(ports, study, verdict.kind) else verdict


def is_absent(ports: Ports, studies: StudyList, study: StudyKey) -> bool:
    """Whether the archive answers 404 for the study itself. Raises UnreadStudyError, OutageError."""
    partition, uid = study
    with of_one_study(ports.feed):
        return studies.is_absent(uid, partition)


def is_listed(ports: Ports, studies: StudyList, study: StudyKey) -> bool:
    """Whether a search of the archive finds the study. Raises UnreadStudyError, OutageError."""
    partition, uid = study
    with of_one_study(ports.feed):
        return studies.is_listed(uid, partition)


def _planned(ports: Ports, options: MappingOptions, study: StudyKey) -> _Plan:
    """What a rebuild would write now. Raises TransientError, FeedError, EntryError, OutageError."""
    partition, uid = study
    with of_one_study(ports.feed):
        entries = list(ports.archive.instances(uid, partition))
    fhir, written = DryRunServer(ports.fhir), ports.cache.recent_writes
    dry_rebuild(ports, options, fhir, (uid, partition), entries, patients=False, recent_writes=written)
    of_partition = options.of_partition(partition)
    held = {
        name for name, one in fhir.seen.items() if name.startswith("ImagingStudy/") and is_study(one, uid, of_partition)
    }
    gone = {one.write.url for one in fhir.changes if not (one.after or {}).get("series")}
    return _Plan(fhir.changes, not entries, bool(held) and held <= gone)


def _differing(plan: _Plan) -> Verdict:
    """The most serious kind of what would be written, and which elements and resources it is about."""
    kinds: set[Kind] = set()
    says: set[str] = set()
    for change in plan.changes:
        resource_type = change.write.url.partition("/")[0]
        if plan.is_empty:
            kinds.add(Kind.GONE)
        elif resource_type != "ImagingStudy" or change.after is None:
            kinds.add(Kind.SERIES if resource_type == "ImagingStudy" and plan.leaves_none else Kind.RESOURCE)
            says.add(f"{change.write.method} {resource_type}")
        elif change.before is None:
            kinds.add(Kind.MISSING)
        else:
            paths = [one.path.partition(".")[0] for one in differences(change.before, change.after)]
            kinds |= {_KINDS.get(path, Kind.ELEMENT) for path in paths or [""]}
            says |= {f"ImagingStudy.{path}" for path in paths}
    worst = next(kind for kind in Kind if kind in kinds)
    return Verdict(Finding.DIFFERS, worst, ", ".join(sorted(says)), plan.leaves_none and not plan.is_empty)


def _is_on_its_way(ports: Ports, study: StudyKey) -> bool:
    """Whether an entry that is still to be synced names the study: a carried, a settling, a late or a new one."""
    stored = ports.settling.resumed(ports.watermarks.read())
    if any(one.entry.study == study for one in ports.settling.entries):
        return True
    if any(one.study == study for one in carried_entries(ports, stored)):
        return True
    if stored.holes and any(one.study == study for one in ports.feed.filled(stored.holes)[0]):
        return True
    latest = ports.feed.latest()
    first = stored.read_through.sequence + 1
    count = latest.sequence + 1 - first if latest else 0
    if count > MOST_NEW:
        return True
    return count > 0 and any(one.study == study for one in ports.feed.entries(range(first, first + count)))


def _is_known(ports: Ports, study: StudyKey, kind: Kind) -> bool:
    """Whether open rows say this of the study already: it could not be written, or not with its list of instances.

    That the archive has the study no more is said only by the row for a delete that was refused.
    """
    name = digest_of_study(*study, 0)
    rows = [row for row in ports.errors.open_rows([study], ()) if row.study == name]
    exceptions = {row.key[0] for row in rows}
    if kind is Kind.GONE:
        return DeleteRefusedError.__name__ in exceptions
    is_counted = StudyTooLargeError.__name__ in exceptions and kind not in (Kind.MISSING, Kind.PATIENT)
    return is_counted or any(row.table in KNOWN for row in rows)
