"""The ImagingStudy that FHIR holds + what was read of the study in the archive -> the ImagingStudy to write."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from shared.mapping.agreed import by_series, series_fragments
from shared.mapping.changed_fragments import ChangedFragments
from shared.mapping.held import ODD, as_list
from shared.mapping.last_applied import mark, marks_of
from shared.mapping.merge import Links, contains, linked, put, with_values
from shared.mapping.merge_study import derived_study, is_cancelled, is_counted
from shared.mapping.reconcile import ScopeFragments, StudyRead, reconciled
from shared.mapping.resources import Fragment, MappedInstance, listed_by
from shared.mapping.table import elements_of
from shared.model.fhir import Resource

_STUDY = elements_of("ImagingStudy")
_SERIES = elements_of("ImagingStudy.series")
_INSTANCE = elements_of("ImagingStudy.series.instance")


def is_plain(existing: Resource, changed: ChangedFragments, links: Links) -> bool:
    """Whether the instances are new to the study and contradict nothing that it says.

    Such changes, nearly all of a day's, are merged without reading the archive again, unless they restate what it says.
    """
    if is_cancelled(existing):
        return False
    series = {one["uid"]: one for one in existing.get("series", ())}
    listed = {instance["uid"] for one in series.values() for instance in one.get("instance", ())}
    if any(one.entry.sop_instance_uid in listed for instances in changed.instances.values() for one in instances):
        return False
    pairs = [(existing, fragment.set) for fragment in changed.study]
    pairs += [(series.get(fragment.set["uid"], {}), fragment.set) for fragment in changed.series]
    return not any(_contradicts(held, wanted, links) for held, wanted in pairs)


def _contradicts(held: Resource, wanted: Mapping[str, object], links: Links) -> bool:
    return any(name in held and not contains(held[name], linked(value, links)) for name, value in wanted.items())


def reconcile_study(
    existing: Resource,
    read: StudyRead,
    ours: frozenset[str],
    links: Links,
    *,
    counted: bool,
) -> Resource:
    """The ImagingStudy to write, `existing` itself if nothing changes; the caller decides about one without series.

    `ours`: the marks of what we wrote on it. `links`: the Patients that the study may be linked to. `counted`: with
    numberOfSeries and numberOfInstances.
    """
    fragments = study_fragments(read, links)
    merged = reconciled(existing, ScopeFragments(fragments, read.is_whole, ours, "", links), _STUDY)
    if fragments and is_cancelled(merged):
        put(merged, "status", fragments[-1].create["status"])
    held = {one["uid"]: one for one in existing.get("series", ())}
    series = {uid: _without_gone(one, read) for uid, one in held.items()}
    for uid in (one for one in read.series if one in read.whole):
        series[uid] = _series(held.get(uid), uid, read, ours)
    result = derived_study(merged, [one for one in series.values() if one], counted=counted)
    return existing if result == existing else result


def study_fragments(read: StudyRead, links: Links) -> list[Fragment]:
    """The instances' study fragments; of several patients, one that may be linked to comes last."""
    fragments = listed_by(read.instances, lambda one: one.study)
    return sorted(fragments, key=lambda one: one.set["subject"]["reference"] in links)


def _without_gone(series: Resource, read: StudyRead) -> Resource | None:
    """The series without instances that are gone; None if it has lost the last, or is gone as a whole."""
    uid, instances = series["uid"], series.get("instance", [])
    left = [one for one in instances if not read.is_out(uid, one["uid"])]
    if len(left) == len(instances):
        return None if uid in read.gone_series else series
    return {**series, "instance": left} if left else None


def _series(held: Resource | None, uid: str, read: StudyRead, ours: frozenset[str]) -> Resource | None:
    """The series to write, of which all instances were read; None if it is gone."""
    mapped = read.series[uid]
    if held is not None and is_counted(held):
        return held
    base = (held and _without_gone(held, read)) or {}
    if not mapped:
        return base or None
    scope = ScopeFragments(series_fragments(mapped), is_all=True, ours=ours, path=f"{uid}/")
    series = reconciled(base, scope, _SERIES)
    instances = {one["uid"]: one for one in series.get("instance", ())}
    for one in mapped:
        wanted = one.instance.set
        known = instances.get(wanted["uid"])
        if known is None:
            instances[wanted["uid"]] = dict(wanted)
            continue
        removed = [name for name in _INSTANCE.set if name in known and name not in wanted]
        if removed or not contains(known, wanted):
            instances[wanted["uid"]] = instance = with_values(known, wanted)
            for name in removed:
                put(instance, name)
    return {**series, "instance": list(instances.values())}


def applied(instances: Sequence[MappedInstance], before: Resource | None) -> set[str]:
    """The marks of what the instances say and `before` did not have."""
    series = {one["uid"]: one for one in (before or {}).get("series", ())}
    marks = marks_of(listed_by(instances, lambda one: one.study), before)
    for uid, members in by_series(instances).items():
        marks |= marks_of(series_fragments(members), series.get(uid), f"{uid}/")
    return marks


def standing(study: Resource, ours: AbstractSet[str]) -> set[str]:
    """The marks of ours whose values the study still has as we wrote them."""
    values = [("", study), *((f"{one['uid']}/", one) for one in study.get("series", ()))]
    marks = {
        mark(path + name, value)
        for path, resource in values
        for name, held in resource.items()
        if name not in ("series", "instance", "extension", "meta", ODD)
        for value in as_list(held)
    }
    return marks & ours
