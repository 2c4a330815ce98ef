"""Reads what a FHIR server has of a DICOM service's studies, without any code of the app (docs/adr/0012)."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import requests

Resource = Mapping[str, Any]

DEFAULT_PARTITION = "Microsoft.Default"
TAG_SYSTEM = "urn:dicom-cast:source"
"""System of the tag that the app gives what it makes, for servers that do not keep `meta.source`."""
_PAGE = "1000"  # resources asked for in one page; servers may give fewer
_MAX_PAGES = 1000
_MAX_REPLACEMENTS = 10  # links from one Patient to the next that replaces it
_NOT_FOUND = (400, 404, 410)
"""Status codes of a resource that does not exist: some servers call such a reference a bad request."""
_session = requests.Session()  # keeps connections open: a comparison sends some hundred requests
_FRESH = {"Cache-Control": "no-cache"}  # else HAPI answers a search from its cache for a minute


class SearchError(Exception):
    """The FHIR server's answer cannot be read in full; the message says why."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A data partition of the DICOM service at `service_url`."""

    name: str
    service_url: str

    @property
    def path(self) -> str:
        """Its part of the path to studies, after the API's version; empty for the default partition."""
        return "" if self.name == DEFAULT_PARTITION else f"/partitions/{self.name}"

    @property
    def source(self) -> str:
        """The URL that the app writes to `meta.source`, and as the code of its tag, of what it makes for it."""
        return f"{self.service_url}{self.path}"

    @property
    def system(self) -> str:
        """The system of identifiers that are DICOM UIDs of this partition."""
        return self.source if self.path else "urn:dicom:uid"

    def uids(self, resource: Resource) -> set[str]:
        """The resource's identifiers that are DICOM UIDs of this partition, without `urn:oid:`."""
        identifiers = resource.get("identifier", [])
        own = {one["value"] for one in identifiers if one.get("system") == self.system}
        if not self.path:  # a study of another data partition also has its UID with the default one's system
            own -= {one["value"] for one in identifiers if "/partitions/" in one.get("system", "")}
        return {value.removeprefix("urn:oid:") for value in own}

    def made(self, resource: Resource) -> bool:
        """Whether the app made the resource for it, by its tag or by `meta.source` (HAPI adds `#` and a text)."""
        meta = resource.get("meta", {})
        tagged = any((one.get("system"), one.get("code")) == (TAG_SYSTEM, self.source) for one in meta.get("tag", []))
        return tagged or meta.get("source", "").partition("#")[0] == self.source


@dataclass(frozen=True, slots=True)
class FhirAccount:
    """One FHIR server during one comparison: what `made_for`, `subject` and `patients` have read is kept.

    Its methods raise SearchError if an answer cannot be read, RequestException if the server does not answer.
    """

    url: str
    _made: dict[str, list[Resource]] = field(default_factory=dict)
    _subjects: dict[str, Resource | None] = field(default_factory=dict)
    _patients: dict[str, list[Resource]] = field(default_factory=dict)

    def identified(self, resource_type: str, partition: Partition, uid: str) -> list[Resource]:
        """The resources that have the DICOM UID as an identifier of the partition."""
        found = search(self.url, resource_type, identifier=f"{partition.system}|urn:oid:{uid}")
        return [one for one in found if uid in partition.uids(one)]

    def made_for(self, partition: Partition, resource_type: str) -> list[Resource]:
        """All resources of the type that the app made for the partition."""
        if resource_type not in self._made:
            self._made[resource_type] = search(self.url, resource_type)
        return [one for one in self._made[resource_type] if partition.made(one)]

    def subject(self, resource: Resource) -> Resource | None:
        """The Patient that is the resource's subject; None if there is none."""
        return self._patient(relative(resource.get("subject", {})))

    def identifiers_with(self, patient: Resource, values: Collection[str]) -> list[Mapping[str, str]]:
        """The Patient's identifiers with one of the values; if it has none, those of Patients that it replaces."""
        own = [one for one in patient.get("identifier", []) if one.get("value") in values]
        return own or [
            identifier
            for value in sorted(values)
            for other in self._patients_with(_escaped(value))
            if self._replacement_of(other)["id"] == patient["id"]
            for identifier in other.get("identifier", [])
            if identifier.get("value") == value
        ]

    def patients(self, identifier: Mapping[str, str]) -> list[Resource]:
        """All Patients that have the identifier. One that was replaced stands for the Patient that replaces it."""
        found = self._patients_with(f"{_escaped(identifier.get('system', ''))}|{_escaped(identifier['value'])}")
        return list({one["id"]: one for one in map(self._replacement_of, found)}.values())

    def read(self, reference: str) -> Resource | None:
        """The resource; None if it does not exist. Raises SearchError for any other error status."""
        answer = _session.get(f"{self.url}/{reference}", headers=_FRESH, timeout=60)
        if not answer.ok and answer.status_code not in _NOT_FOUND:
            raise SearchError(f"{reference} is answered with status {answer.status_code}")
        found: Resource | None = answer.json() if answer.ok else None
        return found

    def find_patients(self, token: str) -> list[Resource]:
        """The Patients that have an identifier. `token`: `system|value` or the value alone, escaped for a search."""
        return search(self.url, "Patient", identifier=token)

    def _patient(self, reference: str) -> Resource | None:
        if reference and reference not in self._subjects:
            self._subjects[reference] = self.read(reference)
        return self._subjects.get(reference)

    def _patients_with(self, token: str) -> list[Resource]:
        if token not in self._patients:
            self._patients[token] = self.find_patients(token)
        return self._patients[token]

    def _replacement_of(self, patient: Resource) -> Resource:
        """The Patient at the end of the links that say what replaces it; the Patient itself if it has none."""
        for _ in range(_MAX_REPLACEMENTS):
            following = self._patient(replaced_by(patient))
            if following is None:
                break
            patient = following
        return patient


def search(url: str, resource_type: str, **query: str) -> list[Resource]:
    """All matches of a search, from all pages, not from a cache. `url`: the server's base URL.

    Raises SearchError if the result is incomplete, RequestException if the server does not answer.
    """
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
            # If a server gives a part and no link to the rest, the rest would be taken for missing.
            if number == 0 and len(found) < bundle.get("total", 0):
                raise SearchError(f"{len(found)} of {bundle['total']} {resource_type} given, and no link to the rest")
            return found
        page, params = urljoin(answer.url, following), None
    raise SearchError(f"more than {_MAX_PAGES} pages of {resource_type}")


def relative(reference: Mapping[str, str]) -> str:
    """`Type/id` of a relative or absolute reference, with or without a version; empty if it has neither.

    The host is ignored, since a server behind a proxy may write another than the one that was asked.
    """
    parts = reference.get("reference", "").partition("/_history/")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def replaced_by(patient: Resource) -> str:
    """`Patient/id` of the Patient that replaces this one; empty if none does."""
    others = [one.get("other", {}) for one in patient.get("link", []) if one.get("type") == "replaced-by"]
    return relative(others[0]) if others else ""


def listed_instances(study: Resource) -> set[tuple[str, str]]:
    """SeriesInstanceUID and SOPInstanceUID of the instances that an ImagingStudy lists."""
    return {(series["uid"], one["uid"]) for series in study.get("series", []) for one in series.get("instance", [])}


def instance_counts(study: Resource) -> Mapping[str, int]:
    """Number of instances by SeriesInstanceUID: those that the series lists; if it lists none, numberOfInstances."""
    return {
        series["uid"]: len(series.get("instance", ())) or series.get("numberOfInstances", 0)
        for series in study.get("series", [])
    }


def _escaped(text: str) -> str:
    """The text as a search parameter (FHIR R4 3.1.1, "Escaping Search Parameters")."""
    return re.sub(r"([\\,$|])", r"\\\1", text)


def _resources(bundle: Resource) -> Iterator[Resource]:
    return (entry["resource"] for entry in bundle.get("entry", []) if "resource" in entry)
