"""The changes of one study + the ImagingStudy that FHIR holds -> the ImagingStudy to write.

Series and instances are found by an index; only the series that a change touches are copied.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.mapping.agreed import AGREED, agreed, by_series
from shared.mapping.converters import MODALITY_SYSTEM
from shared.mapping.held import odd_series, text
from shared.mapping.merge import Links, apply, contains, fullest, with_values
from shared.mapping.resources import Fragment, MappedInstance, listed_by
from shared.model.change_feed import ChangeFeedEntry
from shared.model.fhir import Resource

_COUNTS = ("numberOfSeries", "numberOfInstances")
_DICOM_SYSTEMS = (MODALITY_SYSTEM, "DCM", "urn:oid:1.2.840.10008.2.16.4")
"""Systems of DICOM's own codes (PS3.16 D): as FHIR has it, as DICOM Cast wrote it, and by the UID."""


@dataclass(frozen=True, slots=True)
class RemovedInstance:
    """An instance that the DICOM service no longer holds."""

    entry: ChangeFeedEntry


def merge_study(
    existing: Resource | None,
    changes: Sequence[MappedInstance | RemovedInstance],
    links: Links,
    *,
    counted: bool = True,
) -> Resource | None:
    """The ImagingStudy to write, None if nothing changes. The last change in the feed's order wins.

    Removals alone do not create a study. The caller decides what to do with a result without series. `counted`: with
    numberOfSeries and numberOfInstances.
    """
    fragments = fragments_of_study(changes)
    merged = existing
    for fragment in _lists_last(fragments):
        merged = apply(merged, {"resourceType": "ImagingStudy"}, fragment, links)
    if merged is None:
        return None
    if fragments and is_cancelled(merged):
        merged = with_values(merged, {"status": fragments[-1].create["status"]})
    series = _SeriesIndex(merged.get("series", []))
    for change in changes:
        if isinstance(change, RemovedInstance):
            series.remove(change.entry.series_instance_uid, change.entry.sop_instance_uid)
        else:
            series.put(change.series, change.instance)
    known = {one["uid"] for one in merged.get("series", ())}
    for uid, instances in by_series(changes).items():
        if uid not in known:  # of one that FHIR has, others may say something else: see `agreed.is_undecided`
            series.put_agreed(uid, agreed(instances))
    merged = derived_study(merged, series.items(), counted=counted)
    return None if merged == existing else merged


def _lists_last(fragments: Sequence[Fragment]) -> Sequence[Fragment]:
    """The same fragments, with the list items of all in the last one, so that each list is merged only once.

    Of items of which one says a part of another, only the other is left, as when the study is reconciled.
    """
    if not fragments:
        return fragments
    add: dict[str, list[Any]] = {}
    for element, items in (one for fragment in fragments for one in fragment.add.items()):
        add.setdefault(element, []).extend(items)
    add = {element: fullest(items) if len(items) > 1 else items for element, items in add.items()}
    return [*(replace(one, add={}) for one in fragments[:-1]), replace(fragments[-1], add=add)]


def cancelled(study: Resource) -> Resource:
    """The ImagingStudy of a study that is gone from DICOM, until it is deleted or stored again."""
    emptied = {name: value for name, value in study.items() if name not in ("series", "modality")}
    counts: Resource = {name: 0 for name in _COUNTS if name in study}
    return {**emptied, "status": "cancelled", **counts}


def with_series_of(study: Resource, doubles: Sequence[Resource]) -> Resource:
    """The study with its own series and instances, followed by those that only doubles of it list.

    An element on which the instances of a series must agree is dropped if the doubles have different values.
    """
    if not doubles:
        return study
    series: dict[str, Resource] = {}
    for one in (one for resource in (study, *doubles) for one in resource.get("series", ())):
        held = series.get(one["uid"], one)
        instances: dict[str, Resource] = {}
        for instance in (*held.get("instance", ()), *one.get("instance", ())):
            instances.setdefault(instance["uid"], instance)
        both = {name: value for name, value in held.items() if name not in AGREED or one.get(name) == value}
        series[one["uid"]] = {**both, "instance": list(instances.values())} if instances else both
    return {**study, "series": list(series.values())} if series else study


def is_cancelled(study: Resource) -> bool:
    """Whether the study is cancelled and empty. If it bears the app's sign, the app has cancelled it."""
    return study.get("status") == "cancelled" and not study.get("series")


def counts_only(study: Resource, counts: Mapping[str, int]) -> Resource:
    """The study with these series' instances counted, not listed. `counts`: how many each has in the archive.

    A series with 0 is removed. A series that is not in `counts`, which may be another archive's, stays as it is.
    """
    series = [
        {**{name: value for name, value in one.items() if name != "instance"}, "numberOfInstances": counts[one["uid"]]}
        if one["uid"] in counts
        else one
        for one in study.get("series", [])
        if counts.get(one["uid"]) != 0
    ]
    return derived_study(study, series, counted=True)


def uncounted(study: Resource, asked: Collection[str], read: Mapping[str, Sequence[Any]]) -> Resource:
    """The study without the counts of these series, and without those of them of which nothing was `read`.

    They are rebuilt from all of their instances. What others put on them stays.
    """
    counted = counted_series(study) & set(asked)
    if not counted:
        return study
    series = [
        {name: value for name, value in one.items() if name != "numberOfInstances"} if one["uid"] in counted else one
        for one in study["series"]
        if one["uid"] not in counted or read.get(one["uid"])
    ]
    return {name: value for name, value in study.items() if name not in _COUNTS} | {"series": series}


def counted_series(study: Resource) -> set[str]:
    """SeriesInstanceUIDs of the series whose instances are counted, not listed."""
    return {one["uid"] for one in study.get("series", []) if is_counted(one)}


def is_counted(series: Resource) -> bool:
    return series.get("numberOfInstances", 0) > 0 and not series.get("instance")


def fragments_of_study(changes: Sequence[MappedInstance | RemovedInstance]) -> list[Fragment]:
    """The changes' study fragments, each once, in the order in which changes have them last."""
    return listed_by((one for one in changes if isinstance(one, MappedInstance)), lambda one: one.study)


def derived_study(study: Resource, series: list[Resource], *, counted: bool) -> Resource:
    """The study with these series, and with the modalities and counts that follow from them.

    Modalities with another system stay as they are, and a series' modality with another system adds none. If not
    `counted`, only counts that are there and are true of the study's own series follow.
    """
    codes = _modalities([*series, *odd_series(study)], _DICOM_SYSTEMS)
    meant = codes | _modalities(series, {None})
    held = study.get("modality", [])
    kept = [one for one in held if one.get("system") != MODALITY_SYSTEM or text(one.get("code")) in meant]
    known = {text(one.get("code")) for one in kept if one.get("system") == MODALITY_SYSTEM}
    modality = kept + [{"system": MODALITY_SYSTEM, "code": code} for code in codes if code not in known]
    derived = {**study, "modality": modality, "series": series}
    if counted:
        derived["series"] = [_with_count(one) for one in series]
        derived |= _counts(derived["series"])
    else:
        before = study.get("series", [])
        true = {one["uid"] for one in before if one.get("numberOfInstances") == _count(one)}
        derived["series"] = [_with_count(one) if one["uid"] in true else one for one in series]
        now = _counts(series)
        derived |= {name: now[name] for name, count in _counts(before).items() if study.get(name) == count}
    return {element: value for element, value in derived.items() if value != []}  # FHIR has no empty lists


def _modalities(series: Iterable[Resource], systems: Collection[str | None]) -> dict[str, None]:
    """The codes of the series' modalities with one of these systems, each once, in order."""
    modalities = [modality for one in series if isinstance(modality := one.get("modality"), dict)]
    codes = [text(one.get("code")) for one in modalities if one.get("system") in systems]
    return {code: None for code in codes if code}


def _counts(series: Sequence[Resource]) -> dict[str, int]:
    return {"numberOfSeries": len(series), "numberOfInstances": sum(map(_count, series))}


def _count(series: Resource) -> int:
    """The number of the listed instances; of a series without a list the number that it says."""
    count: int = len(series["instance"]) if "instance" in series else series.get("numberOfInstances", 0)
    return count


def _with_count(series: Resource) -> Resource:
    if "instance" not in series or series.get("numberOfInstances") == _count(series):
        return series
    return {**series, "numberOfInstances": _count(series)}


class _SeriesIndex:
    """The series of one ImagingStudy by uid, and the instances of the series that a change touches."""

    def __init__(self, series: Sequence[Resource]) -> None:
        self._series = {one["uid"]: one for one in series}
        self._applied: dict[str, Fragment] = {}
        self._instances: dict[str, dict[str, Resource]] = {}

    def put(self, series: Fragment, instance: Fragment) -> None:
        uid = series.set["uid"]
        if self._applied.get(uid) is not series:
            self._series[uid] = apply(self._series.get(uid), {}, series, {})
            self._applied[uid] = series
        instances = self._touched(uid)
        known = instances.get(instance.set["uid"])
        if known is None:
            instances[instance.set["uid"]] = dict(instance.set)
        elif not contains(known, instance.set):
            instances[instance.set["uid"]] = with_values(known, instance.set)

    def put_agreed(self, uid: str, values: Mapping[str, Any]) -> None:
        """Sets what the instances of a series agree on."""
        self._series[uid] = {**self._series[uid], **values}

    def remove(self, series_uid: str, instance_uid: str) -> None:
        if series_uid in self._series:
            self._touched(series_uid).pop(instance_uid, None)

    def items(self) -> list[Resource]:
        """The series in their order, new ones last, without those that have lost their last instance."""
        result = []
        for uid, series in self._series.items():
            instances = self._instances.get(uid)
            if instances is None:
                result.append(series)
            elif instances:
                result.append({**series, "instance": list(instances.values())})
            elif is_counted(series):  # its instances are only counted
                result.append(series)
        return result

    def _touched(self, series_uid: str) -> dict[str, Resource]:
        if series_uid not in self._instances:
            held = self._series[series_uid].get("instance", [])
            self._instances[series_uid] = {one["uid"]: one for one in held}
        return self._instances[series_uid]
