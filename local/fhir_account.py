"""What a FHIR server says of a DICOM service's studies, read without any code of the app (docs/adr/0012)."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import requests

Resource = Mapping[str, Any]

DEFAULT_PARTITION = "Microsoft.Default"
TAG_SYSTEM = "urn:dicom-cast:source"
"""That of the tag by which the app marks what it made; servers keep it that do not keep `meta.source`."""
_PAGE = "1000"  # resources asked for at once; servers give fewer
_MAX_PAGES = 1000
_MOST_MERGES = 10  # of Patients, one after the other
_NOT_THERE = (400, 404, 410)
"""Some servers call a reference to nothing a fault of who asks."""
_session = requests.Session()  # connections are kept: a comparison asks some hundred times
_FRESH = {"Cache-Control": "no-cache"}  # HAPI answers a search from its cache for a minute


class SearchError(Exception):
    """A search whose answer cannot be read to its end."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A data partition of the DICOM service at `service_url`: it tells where identifiers come from."""

    name: str
    service_url: str

    @property
    def path(self) -> str:
        """Of its studies, below the API's version."""
        return "" if self.name == DEFAULT_PARTITION else f"/partitions/{self.name}"

    @property
    def source(self) -> str:
        """`meta.source` of what the app made for it, and the code of its tag."""
        return f"{self.service_url}{self.path}"

    @property
    def system(self) -> str:
        """That of the identifiers which are DICOM UIDs."""
        return self.source if self.path else "urn:dicom:uid"

    def uids(self, resource: Resource) -> set[str]:
        """The DICOM UIDs by which the resource is of this partition."""
        identifiers = resource.get("identifier", [])
        own = {one["value"] for one in identifiers if one.get("system") == self.system}
        if not self.path:  # a study of another data partition has the default one's system besides its own
            own -= {one["value"] for one in identifiers if "/partitions/" in one.get("system", "")}
        return {value.removeprefix("urn:oid:") for value in own}

    def made(self, resource: Resource) -> bool:
        """Whether the app made the resource for it: by its tag, or by `meta.source` before any `#` (HAPI's own)."""
        meta = resource.get("meta", {})
        tagged = any((one.get("system"), one.get("code")) == (TAG_SYSTEM, self.source) for one in meta.get("tag", []))
        return tagged or meta.get("source", "").partition("#")[0] == self.source


@dataclass(frozen=True, slots=True)
class FhirAccount:
    """One FHIR server, as it is while it is compared: what was asked once is not asked again."""

    url: str
    _made: dict[str, list[Resource]] = field(default_factory=dict)
    _subjects: dict[str, Resource | None] = field(default_factory=dict)
    _patients: dict[str, list[Resource]] = field(default_factory=dict)

    def identified(self, resource_type: str, partition: Partition, uid: str) -> list[Resource]:
        """What a search for the UID finds."""
        found = search(self.url, resource_type, identifier=f"{partition.system}|urn:oid:{uid}")
        return [one for one in found if uid in partition.uids(one)]

    def made_for(self, partition: Partition, resource_type: str) -> list[Resource]:
        """What the app made for the partition."""
        if resource_type not in self._made:
            self._made[resource_type] = search(self.url, resource_type)
        return [one for one in self._made[resource_type] if partition.made(one)]

    def subject(self, resource: Resource) -> Resource | None:
        """The resource's subject; None where there is no such Patient."""
        return self._patient(relative(resource.get("subject", {})))

    def known_by(self, patient: Resource, values: Collection[str]) -> list[Mapping[str, str]]:
        """The identifiers with such a value: the Patient's own, else those of Patients that it has replaced."""
        own = [one for one in patient.get("identifier", []) if one.get("value") in values]
        return own or [
            identifier
            for value in sorted(values)
            for other in self._with(_escaped(value))
            if self._left_of(other)["id"] == patient["id"]
            for identifier in other.get("identifier", [])
            if identifier.get("value") == value
        ]

    def patients(self, identifier: Mapping[str, str]) -> list[Resource]:
        """All Patients that have the identifier, but in place of one that was replaced what replaces it."""
        found = self._with(f"{_escaped(identifier.get('system', ''))}|{_escaped(identifier['value'])}")
        return list({one["id"]: one for one in map(self._left_of, found)}.values())

    def read(self, reference: str) -> Resource | None:
        """The resource; None where there is none."""
        answer = _session.get(f"{self.url}/{reference}", headers=_FRESH, timeout=60)
        if not answer.ok and answer.status_code not in _NOT_THERE:
            raise SearchError(f"{reference} is answered with status {answer.status_code}")
        found: Resource | None = answer.json() if answer.ok else None
        return found

    def find_patients(self, token: str) -> list[Resource]:
        """Those that a search for the identifier finds, `system|value` or the value alone, escaped."""
        return search(self.url, "Patient", identifier=token)

    def _patient(self, reference: str) -> Resource | None:
        if reference and reference not in self._subjects:
            self._subjects[reference] = self.read(reference)
        return self._subjects.get(reference)

    def _with(self, token: str) -> list[Resource]:
        if token not in self._patients:
            self._patients[token] = self.find_patients(token)
        return self._patients[token]

    def _left_of(self, patient: Resource) -> Resource:
        for _ in range(_MOST_MERGES):
            following = self._patient(replaced_by(patient))
            if following is None:
                break
            patient = following
        return patient


def search(url: str, resource_type: str, **query: str) -> list[Resource]:
    """What the FHIR server at the base URL finds now, over all pages. Raises SearchError where that is not all."""
    page = f"{url}/{resource_type}"
    params: dict[str, str] | None = {"_count": _PAGE, **query}
    found: list[Resource] = []
    for number in range(_MAX_PAGES):
        answer = _session.get(page, params=params, headers=_FRESH, timeout=60)
        bundle = answer.json()
        if bundle.get("resourceType") != "Bundle":
            raise SearchError(f"a search for {resource_type} is answered with status {answer.status_code}")
        found += [one for one in _resources(bundle) if one["resourceType"] == resource_type]
        following = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
        if following is None:
            # A server that gives a part and no link to the rest would make missing what is there.
            if number == 0 and len(found) < bundle.get("total", 0):
                raise SearchError(f"{len(found)} of {bundle['total']} {resource_type} given, and no link to the rest")
            return found
        page, params = urljoin(answer.url, following), None
    raise SearchError(f"more than {_MAX_PAGES} pages of {resource_type}")


def relative(reference: Mapping[str, str]) -> str:
    """`Type/id` of a reference, however it is written: relative, absolute, of a version; empty where it has none.

    Servers behind a proxy write another host than the one asked, so the host says nothing.
    """
    parts = reference.get("reference", "").partition("/_history/")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def replaced_by(patient: Resource) -> str:
    """The reference to what is to be used in the Patient's place; empty where it is the Patient itself."""
    others = [one.get("other", {}) for one in patient.get("link", []) if one.get("type") == "replaced-by"]
    return relative(others[0]) if others else ""


def listed(study: Resource) -> set[tuple[str, str]]:
    """SeriesInstanceUID and SOPInstanceUID of the instances that an ImagingStudy lists."""
    return {(series["uid"], one["uid"]) for series in study.get("series", []) for one in series.get("instance", [])}


def counts(study: Resource) -> Mapping[str, int]:
    """How many instances each series has: those that it lists, or what it says where it lists none."""
    return {
        series["uid"]: len(series.get("instance", ())) or series.get("numberOfInstances", 0)
        for series in study.get("series", [])
    }


def _escaped(text: str) -> str:
    """As a token search takes it."""
    return re.sub(r"([\\,$|])", r"\\\1", text)


def _resources(bundle: Resource) -> Iterator[Resource]:
    return (entry["resource"] for entry in bundle.get("entry", []) if "resource" in entry)
