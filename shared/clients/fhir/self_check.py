"""The self-check of the FHIR server: whether it does what the sync needs. What the check makes, it removes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

from shared.clients.fhir.client import FhirClient
from shared.clients.fhir.write_check import WriteCheck
from shared.clients.http import HttpService
from shared.errors import CheckError, EntryError, NotAskedError, OutageError, TransientError

REMEDY = (
    "mend Fhir__Endpoint, see that the FHIR server runs, and that the app's identity has the role FHIR Data Writer"
    " there"
)
SERVER = "mend it at the FHIR server, or use another: docs/servers.md says what the app needs of one"
RETIRED = "this is Azure API for FHIR, which has no transactions and was retired on 30 September 2026"
SUCCESSOR = (
    "move to the FHIR service of Azure Health Data Services (https://WORKSPACE-NAME.fhir.azurehealthcareapis.com)"
)
_AZURE_API_FOR_FHIR = re.compile(r"[^.]+\.azurehealthcareapis\.com")
"""Host names of Azure API for FHIR; those of the FHIR service have a label `fhir` before the domain."""


@dataclass(frozen=True, slots=True)
class EndpointSearch:
    """The name of the Endpoint of the DICOM service, and the search that finds it."""

    name: str
    query: str


class FhirSelfCheck:
    """The questions to one server.

    `links_orders`: whether studies are linked to their orders. `identity`: the settings that give a PatientID its
    system, as a text; empty if none does.
    """

    def __init__(
        self, fhir: FhirClient, endpoint: EndpointSearch, *, links_orders: bool = True, identity: str = ""
    ) -> None:
        self._fhir = fhir
        self._endpoint = endpoint
        self._links_orders = links_orders
        self._identity = identity

    @property
    def service(self) -> HttpService:
        """The FHIR server."""
        return self._fhir.service

    def questions(self) -> Sequence[tuple[str, Callable[[], str], str]]:
        """For each step its name, the function that asks, and what to do if that fails."""
        return [
            ("FHIR server: R4 with transactions", self.r4, REMEDY),
            ("FHIR server: searches are allowed", self.search, REMEDY),
            ("FHIR server: writes are allowed", self.write, REMEDY),
            ("FHIR server: the Endpoint", self.endpoint, REMEDY),
            ("FHIR server: orders", self.orders, REMEDY),
            ("FHIR server: patients", self.patients, REMEDY),
            ("FHIR server: what it is like", self.capability_texts, REMEDY),
        ]

    def r4(self) -> str:
        """Reads the CapabilityStatement."""
        try:
            self._fhir.check()
        except OutageError as error:
            if _AZURE_API_FOR_FHIR.fullmatch(urlsplit(self._fhir.service.url).hostname or ""):
                raise CheckError(f"{error}; {RETIRED}", SUCCESSOR) from error
            raise
        return "R4, and takes transactions"

    def search(self) -> str:
        """Searches for what does not exist, in each of the types that every deployment searches."""
        for resource_type in ("ImagingStudy", "Patient", "Endpoint"):
            self._search_in_vain(resource_type)
        return "ImagingStudy, Patient and Endpoint can be searched"

    def write(self) -> str:
        """Makes, updates and removes an Endpoint, and tries writes that have to be refused."""
        try:
            return WriteCheck(self._fhir).run()
        except CheckError as error:
            raise CheckError(str(error), error.action or SERVER) from error

    def _search_in_vain(self, resource_type: str) -> None:
        """Searches for an identifier that nothing has: whether the search is allowed is all that is to be known."""
        self._fhir.search(resource_type, f"identifier=urn:dicom:uid%7Curn:oid:2.25.{uuid4().int}")

    def endpoint(self) -> str:
        """Searches for the Endpoint of the DICOM service. Raises CheckError if there is more than one."""
        matches = self._fhir.search("Endpoint", self._endpoint.query)
        found = [f"Endpoint/{one['id']}" for one in matches if one.get("name") == self._endpoint.name]
        if len(found) > 1:
            raise CheckError(
                f"{', '.join(found)} are doubles of one another: the sync uses the oldest",
                "link to it what links to the others (GET ImagingStudy?endpoint=ID), then delete them",
            )
        return f"{found[0]} is the DICOM service's" if found else "not there yet: the first study makes it"

    def orders(self) -> str:
        """Searches for an order, in vain. A refusal is no fault: studies are then written without links to orders."""
        if not self._links_orders:
            raise NotAskedError("the settings link no study to its order")
        try:
            self._search_in_vain("ServiceRequest")
        except (EntryError, TransientError) as error:
            return (
                f"ServiceRequest cannot be searched ({error}): studies are not linked to their orders; give the app's"
                " identity the right to read them, or set DicomCast__OrderLink = off"
            )
        return "ServiceRequest can be searched: studies are linked to their orders"

    def patients(self) -> str:
        """Says by what PatientIDs are told apart. Nothing is no fault, as one hospital alone needs nothing."""
        if self._identity:
            return f"PatientIDs are told apart by {self._identity}"
        return (
            "warning: PatientIDs have no system: two hospitals' patients of one number would be one Patient, and other"
            " systems cannot tell whose number it is; Patient__PatientSystemId, or Patient__IssuerSystems, says it."
            " Patients who are there without one are not found under it: docs/runbook.md, 'A system for PatientIDs'"
        )

    def capability_texts(self) -> str:
        """What is known of the FHIR server so far."""
        return "; ".join(f"{name}: {value}" for name, value in self._fhir.capability_texts().items())
