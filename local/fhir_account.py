"""What a FHIR server says of a DICOM service's studies, read without any code of the app (docs/adr/0012)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

Resource = Mapping[str, Any]

DEFAULT_PARTITION = "Microsoft.Default"


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
        """`meta.source` of what the app made for it."""
        return f"{self.service_url}{self.path}"

    @property
    def system(self) -> str:
        """That of the identifiers which are DICOM UIDs."""
        return self.source if self.path else "urn:dicom:uid"

    def uids(self, resource: Resource) -> set[str]:
        """The DICOM UIDs by which the resource is of this partition."""
        own = [one["value"] for one in resource.get("identifier", []) if one.get("system") == self.system]
        return {value.removeprefix("urn:oid:") for value in own}


@dataclass(frozen=True, slots=True)
class FhirAccount:
    """One FHIR server."""

    url: str
    _made: dict[str, list[Resource]] = field(default_factory=dict)

    def identified(self, resource_type: str, partition: Partition, uid: str) -> list[Resource]:
        """What a search for the UID finds."""
        return list(self._search(resource_type, {"identifier": f"{partition.system}|urn:oid:{uid}"}))

    def made_for(self, partition: Partition, resource_type: str) -> list[Resource]:
        """What the app made for the partition."""
        if resource_type not in self._made:
            self._made[resource_type] = list(self._search(resource_type, {}))
        return [one for one in self._made[resource_type] if one.get("meta", {}).get("source") == partition.source]

    def subject_of(self, resource: Resource) -> list[Mapping[str, str]]:
        """The identifiers of the resource's subject; none where there is no such Patient."""
        answer = requests.get(f"{self.url}/{resource['subject'].get('reference', 'Patient')}", timeout=60)
        identifiers: list[Mapping[str, str]] = answer.json().get("identifier", []) if answer.ok else []
        return identifiers

    def patients(self, identifier: Mapping[str, str]) -> list[Resource]:
        """All Patients that have the identifier."""
        return list(self._search("Patient", {"identifier": f"{identifier.get('system', '')}|{identifier['value']}"}))

    def _search(self, resource_type: str, query: Mapping[str, str]) -> Iterator[Resource]:
        url: str | None = f"{self.url}/{resource_type}"
        params: dict[str, str] | None = {**query, "_count": "100"}
        while url:
            bundle = requests.get(url, params=params, timeout=60).json()
            yield from (entry["resource"] for entry in bundle.get("entry", []) if "resource" in entry)
            url = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
            params = None


def listed(study: Resource) -> set[tuple[str, str]]:
    """SeriesInstanceUID and SOPInstanceUID of the instances that an ImagingStudy lists."""
    return {(series["uid"], one["uid"]) for series in study.get("series", []) for one in series.get("instance", [])}


def counts(study: Resource) -> Mapping[str, int]:
    """How many instances each series has: those that it lists, or what it says where it lists none."""
    return {
        series["uid"]: len(series.get("instance", ())) or series.get("numberOfInstances", 0)
        for series in study.get("series", [])
    }
