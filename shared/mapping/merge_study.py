"""The changes of one study + the ImagingStudy that FHIR holds -> the ImagingStudy to write.

Series and instances are found by index; only series that a change touches are copied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.mapping.converters import MODALITY_SYSTEM
from shared.mapping.merge import Links, apply, contains
from shared.mapping.resources import Fragment, MappedInstance
from shared.model import ChangeFeedEntry, Resource


@dataclass(frozen=True, slots=True)
class RemovedInstance:
    """An instance that the DICOM service holds no more."""

    entry: ChangeFeedEntry


def merge_study(
    existing: Resource | None, changes: Sequence[MappedInstance | RemovedInstance], links: Links
) -> Resource | None:
    """The ImagingStudy to write, None where nothing changes. The later change wins, in the feed's order.

    A study that is not in FHIR is not made by removals. A result without series is the caller's to judge.
    """
    merged = existing
    for fragment in _distinct(changes):
        merged = apply(merged, "ImagingStudy", fragment, links)
    if merged is None:
        return None
    series = _SeriesIndex(merged.get("series", []))
    for change in changes:
        if isinstance(change, RemovedInstance):
            series.remove(change.entry.series_instance_uid, change.entry.sop_instance_uid)
        else:
            series.put(change.series.set, change.instance.set)
    merged = _derived({**merged, "series": series.items()})
    return None if merged == existing else merged


def is_ours(study: Resource, service_url: str) -> bool:
    """Whether we made the ImagingStudy: its `meta.source` is the DICOM service."""
    return str(study.get("meta", {}).get("source", "")).split("#")[0].rstrip("/") == service_url.rstrip("/")


def _distinct(changes: Sequence[MappedInstance | RemovedInstance]) -> list[Fragment]:
    """What the changes say of the study, each once, by the last change that says it."""
    fragments: dict[int, Fragment] = {}
    for change in changes:
        if isinstance(change, MappedInstance):
            fragments.pop(id(change.study), None)
            fragments[id(change.study)] = change.study
    return list(fragments.values())


def _derived(study: Resource) -> Resource:
    """The study with what follows from its series; codes of other systems stay as they are."""
    codes = dict.fromkeys(one["modality"].get("code") for one in study["series"] if "modality" in one)
    kept = [
        one for one in study.get("modality", []) if one.get("system") != MODALITY_SYSTEM or one.get("code") in codes
    ]
    known = {one.get("code") for one in kept if one.get("system") == MODALITY_SYSTEM}
    modality = kept + [{"system": MODALITY_SYSTEM, "code": code} for code in codes if code not in known]
    counted = {**study, "modality": modality}
    return {element: value for element, value in counted.items() if value or element not in ("modality", "series")}


class _SeriesIndex:
    """The series of one ImagingStudy by uid, and the instances of those that a change touches."""

    def __init__(self, series: Sequence[Resource]) -> None:
        self._series = {one["uid"]: one for one in series}
        self._instances: dict[str, dict[str, Resource]] = {}

    def put(self, series: Mapping[str, Any], instance: Mapping[str, Any]) -> None:
        uid = series["uid"]
        held = self._series.get(uid)
        if held is None:
            self._series[uid] = dict(series)
        elif not contains(held, series):
            self._series[uid] = held | {
                name: value for name, value in series.items() if not contains(held.get(name), value)
            }
        instances = self._touched(uid)
        known = instances.get(instance["uid"])
        if known is None:
            instances[instance["uid"]] = dict(instance)
        elif not contains(known, instance):
            instances[instance["uid"]] = {**known, **instance}

    def remove(self, series_uid: str, instance_uid: str) -> None:
        if series_uid in self._series:
            self._touched(series_uid).pop(instance_uid, None)

    def items(self) -> list[Resource]:
        """The series in their order, new ones last, without those that lost their last instance."""
        result = []
        for uid, series in self._series.items():
            instances = self._instances.get(uid)
            if instances is None:
                result.append(series)
            elif instances:
                result.append({**series, "instance": list(instances.values())})
        return result

    def _touched(self, series_uid: str) -> dict[str, Resource]:
        if series_uid not in self._instances:
            held = self._series[series_uid].get("instance", [])
            self._instances[series_uid] = {one["uid"]: one for one in held}
        return self._instances[series_uid]
