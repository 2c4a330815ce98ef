"""An archive for the tests of what is merged: it holds what FHIR says, as entries of the feed have changed it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from shared.mapping.accession import has_our_shape
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.fhir import Resource
from tests.fakes import FakeFeed, FakeFhir, ReadByInstances


class ArchiveOfFhir(ReadByInstances):
    """Its instances are as the ImagingStudy lists them, with the study's, the series' and the Patient's tags each."""

    def __init__(
        self, fhir: FakeFhir, feed: FakeFeed | Sequence[ChangeFeedEntry] = (), uid_system: str = "urn:dicom:uid"
    ) -> None:
        self._fhir = fhir
        self._feed = feed
        self._uid_system = uid_system

    def instances(
        self, study_instance_uid: str, partition: str, series_instance_uid: str | None = None
    ) -> Iterator[ChangeFeedEntry]:
        held: dict[tuple[str, str], ChangeFeedEntry] = {}
        for study in getattr(self._fhir, "resources", ()):
            if study["resourceType"] == "ImagingStudy" and _uid(study, self._uid_system) == study_instance_uid:
                held |= {(one.series_instance_uid, one.sop_instance_uid): one for one in self._of(study, partition)}
        entries = self._feed if isinstance(self._feed, Sequence) else getattr(self._feed, "held", ())
        for one in entries:
            if (one.study_instance_uid, one.partition) != (study_instance_uid, partition):
                continue
            key = (one.series_instance_uid, one.sop_instance_uid)
            if one.metadata is None:
                held.pop(key, None)
            elif one.state is not State.DELETED:
                held[key] = replace(one, sequence=0, action=Action.CREATE, state=State.CURRENT)
        yield from (one for one in held.values() if series_instance_uid in (None, one.series_instance_uid))

    def metadata(self, entry: ChangeFeedEntry) -> Resource | None:
        return dict(entry.metadata) if entry.metadata else None

    def _of(self, study: Resource, partition: str) -> Iterator[ChangeFeedEntry]:
        uid = _uid(study, self._uid_system)
        patient = self._fhir.read(study["subject"]["reference"]) if "subject" in study else None
        of_study = _patient_tags(patient or {}) | _study_tags(study, uid)
        for series in study.get("series", ()):
            of_series = of_study | _series_tags(series)
            for instance in series.get("instance", ()):
                tags = of_series | _instance_tags(instance)
                yield ChangeFeedEntry(
                    0, uid, series["uid"], instance["uid"], Action.CREATE, State.CURRENT, "", partition, tags
                )


def _uid(study: Resource, system: str) -> str:
    of_dicom = [one["value"] for one in study.get("identifier", ()) if one.get("system") == system]
    return of_dicom[0].removeprefix("urn:oid:") if of_dicom else ""


def _patient_tags(patient: Resource) -> Resource:
    names = patient.get("name", [])
    usual = next((one for one in names if one.get("use") == "usual" and "extension" not in one), {})
    parts = [usual.get("family", ""), *(" ".join(usual.get(part, [])) for part in ("given", "", "prefix", "suffix"))]
    text = "^".join(parts).rstrip("^")
    sex = {"male": "M", "female": "F", "other": "O"}.get(patient.get("gender", ""))
    return _tags(
        ("00100020", "LO", next((one["value"] for one in patient.get("identifier", ())), None)),
        ("00100010", "PN", {"Alphabetic": text} if text else None),
        ("00100040", "CS", sex),
    )


def _study_tags(study: Resource, uid: str) -> Resource:
    numbers = [one for one in study.get("identifier", ()) if has_our_shape(one)]
    accession = numbers[0] if numbers else {}
    return _tags(
        ("0020000D", "UI", uid),
        ("00080050", "SH", accession.get("value")),
        ("00080051", "SQ", _issuer(accession)),
        ("00081030", "LO", study.get("description")),
        *_moment(study.get("started"), "00080020", "00080030"),
    )


def _issuer(accession: Resource) -> Resource | None:
    named = [("00400031", "UT", accession.get("assigner", {}).get("display"))]
    if system := accession.get("system"):
        kind = "ISO" if system.startswith("urn:oid:") else "URI"
        named += [("00400032", "UT", system.removeprefix("urn:oid:")), ("00400033", "CS", kind)]
    return _tags(*named) or None


def _series_tags(series: Resource) -> Resource:
    return _tags(
        ("0020000E", "UI", series["uid"]),
        ("00080060", "CS", series.get("modality", {}).get("code")),
        ("00200011", "IS", series.get("number")),
        ("0008103E", "LO", series.get("description")),
        ("00200062", "CS", _side(series)),
        *_moment(series.get("started"), "00080021", "00080031"),
    )


def _side(series: Resource) -> str | None:
    """As each of its instances says it."""
    return {"Right": "R", "Left": "L", "Bilateral": "B"}.get(series.get("laterality", {}).get("display"))


def _instance_tags(instance: Resource) -> Resource:
    sop_class = instance.get("sopClass", {}).get("code", "").removeprefix("urn:oid:")
    return _tags(
        ("00080018", "UI", instance["uid"]),
        ("00080016", "UI", sop_class or None),
        ("00200013", "IS", instance.get("number")),
    )


def _moment(text: str | None, day: str, time: str) -> list[tuple[str, str, object]]:
    """A dateTime as its tags, with the offset from UTC that it has."""
    if not text:
        return []
    moment, offset = (text[:-6], text[-6:]) if "T" in text else (text, None)
    date, _, clock = moment.partition("T")
    return [
        (day, "DA", date.replace("-", "")),
        (time, "TM", clock.replace(":", "") or None),
        ("00080201", "SH", offset.replace(":", "") if offset else None),
    ]


def _tags(*said: tuple[str, str, object]) -> Resource:
    return {tag: {"vr": vr, "Value": [value]} for tag, vr, value in said if value is not None}
