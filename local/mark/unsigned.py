"""Finds what an earlier release made on a FHIR server that drops `meta.source`, by the links between resources."""

from collections.abc import Iterator
from urllib.parse import quote

from local.fhir_account import relative
from shared.clients.fhir.client import FhirClient
from shared.errors import CheckError
from shared.mapping.dose.observation import EVENT_CODE, SUMMARY_CODE
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import map_endpoint
from shared.mapping.sign import bears_no_sign, is_ours
from shared.mapping.transaction import endpoint_query, reference_of
from shared.model.fhir import Resource

MAX_PAGES = 100_000
"""Of one search, some twenty million resources. Only their references are kept in memory."""


class Unsigned:
    """Finds resources that the app made for a DICOM service, or for one of its data partitions, and that have no sign.

    Call `studies` first: `observations` looks only for those of studies that it has found.
    """

    def __init__(self, fhir: FhirClient, options: MappingOptions) -> None:
        self._fhir = fhir
        self._options = options
        self._studies: set[str] = set()

    def studies(self) -> list[str]:
        """`ImagingStudy/id` of those without a sign that have a UID of the service and link to its Endpoint.

        Raises CheckError if there is no such Endpoint.
        """
        endpoints = self._endpoints()
        found = []
        query = f"endpoint={quote(','.join(sorted(endpoints)))}&_elements=meta,identifier,endpoint"
        for study in self._read("ImagingStudy", query):
            links = {relative(one) for one in study.get("endpoint", [])}
            if self._has_uid(study) and links & endpoints and self._may_be_ours(study):
                self._studies.add(reference_of(study))
                found += [reference_of(study)] if bears_no_sign(study) else []
        return found

    def observations(self) -> list[str]:
        """`Observation/id` of those without a sign that have the codes of a dose report and are derived from a study.

        The study is one that `studies` found to be the app's, whether it has a sign or not.
        """
        codes = [coding for code in (SUMMARY_CODE, EVENT_CODE) for coding in code["coding"]]
        asked = ",".join(f"{one['system']}|{one['code']}" for one in codes)
        query = f"code={quote(asked)}&_elements=meta,identifier,code,derivedFrom"
        wanted = {(one["system"], one["code"]) for one in codes}
        return [
            reference_of(one)
            for one in self._read("Observation", query)
            if bears_no_sign(one)
            and self._has_uid(one)
            and wanted & {(code.get("system"), code.get("code")) for code in one.get("code", {}).get("coding", [])}
            and any(relative(link) in self._studies for link in one.get("derivedFrom", []))
        ]

    def _endpoints(self) -> set[str]:
        """`Endpoint/id` of those that the app makes for the service. Raises CheckError if there is none."""
        endpoint = map_endpoint(self._options).create
        connection = endpoint["connectionType"]
        query = endpoint_query(endpoint["name"], connection["system"], connection["code"])
        found = {
            reference_of(one) for one in self._fhir.search("Endpoint", query) if one.get("name") == endpoint["name"]
        }
        if not found:
            raise CheckError(
                f"the FHIR server holds no Endpoint '{endpoint['name']}': the app has made nothing there for this URL;"
                " --dicom must be what DicomWeb__Endpoint is, to the letter"
            )
        return found

    def _read(self, kind: str, query: str) -> Iterator[Resource]:
        """All matches of a search; its progress is printed."""
        count = 0
        for page in self._fhir.pages(kind, query, MAX_PAGES):
            count += len(page)
            print(f"{kind}: {count} read", flush=True)
            # A server may leave `meta` out of what a search finds, and with it the sign.
            whole = (one if "meta" in one else self._fhir.read(reference_of(one)) for one in page)
            yield from (one for one in whole if one is not None)

    def _has_uid(self, resource: Resource) -> bool:
        return any(one.get("system") == self._options.uid_system for one in resource.get("identifier", []))

    def _may_be_ours(self, resource: Resource) -> bool:
        return bears_no_sign(resource) or is_ours(resource, self._options.service_url)
