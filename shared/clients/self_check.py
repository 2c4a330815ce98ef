"""What the self-check asks of the outside systems: what the sync will need of them; what it makes it removes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

from azure.core.exceptions import ResourceNotFoundError

from shared.clients.azure.lease import BlobLease
from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import Tables
from shared.clients.azure.watermark import TableWatermarkStore
from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_entry import hundred_nanoseconds
from shared.clients.dicom.change_feed_reader import V1
from shared.clients.fhir.client import FhirClient
from shared.clients.fhir.write_check import WriteCheck
from shared.clients.header_times import clock_of
from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth
from shared.errors import (
    CheckError,
    EntryError,
    FeedEndsEarlyError,
    FeedError,
    NotAskedError,
    OutageError,
    TransientError,
)
from shared.process.deadline import Deadline

MAX_SKEW_SECONDS = 60
"""A gap's grace, back-off and the age of the lag are told by comparing clocks."""
STEP_SECONDS = 40
"""Of one question: all its requests together."""

_STORAGE = "mend AzureWebJobsStorage, or give the app's identity the role {} on that storage account"
TABLES = _STORAGE.format("Storage Table Data Contributor")
BLOBS = _STORAGE.format("Storage Blob Data Owner")
_LOGON = "mend {}__Authentication__*, or what stands between the app and the token endpoint"
_SERVICE = "mend {}, see that the {} runs, and that the app's identity has the role {} there"
DICOM = _SERVICE.format("DicomWeb__Endpoint", "DICOM service", "DICOM Data Reader")
FHIR = _SERVICE.format("Fhir__Endpoint", "FHIR server", "FHIR Data Writer")
WATERMARK = "docs/runbook.md, 'The change feed ends before the watermark'"
SERVER = "mend it at the FHIR server, or use another: docs/servers.md says what the app needs of one"
CLOCKS = "set both clocks by NTP"
RETIRED = "this is Azure API for FHIR, which has no transactions and was retired on 30 September 2026"
SUCCESSOR = (
    "move to the FHIR service of Azure Health Data Services (https://WORKSPACE-NAME.fhir.azurehealthcareapis.com)"
)
_AZURE_API_FOR_FHIR = re.compile(r"[^.]+\.azurehealthcareapis\.com")
"""Its hosts; those of the FHIR service have `fhir` as a label before the domain."""


@dataclass(frozen=True, slots=True)
class EndpointSearch:
    """An Endpoint by its name, and the search for it."""

    name: str
    query: str


class SelfCheck:
    """`lease` is one of the check's own, so that a tick is not disturbed; `deadline` is what its requests heed.

    `links_orders`: whether the settings have studies linked to their orders. `identity`: what of them gives a PatientID
    its system; empty: nothing.
    """

    def __init__(
        self,
        tables: Tables,
        lease: BlobLease,
        feed: ChangeFeed,
        fhir: FhirClient,
        endpoint: EndpointSearch,
        deadline: Deadline,
        *,
        links_orders: bool = True,
        identity: str = "",
    ) -> None:
        self._identity = identity
        self._links_orders = links_orders
        self._deadline = deadline
        self._tables = tables
        self._lease = lease
        self._feed = feed
        self._fhir = fhir
        self._endpoint = endpoint

    def questions(self) -> Sequence[tuple[str, Callable[[], str], str]]:
        """Name, what to ask, and what to do where that fails; in the order in which a person would mend it.

        Those of a system stand together.
        """
        dicom, fhir = self._feed.service, self._fhir.service
        latest, metadata = f"{V1}/latest", "/metadata?_elements=fhirVersion"
        questions = [
            ("storage: tables can be written", self.tables, TABLES),
            ("storage: the lease can be taken", self.lease, BLOBS),
            ("DICOM service: a token", lambda: _token(dicom), _LOGON.format("DicomWeb")),
            ("DICOM service: the change feed can be read", self.feed, DICOM),
            ("DICOM service: the change feed reaches the watermark", self.watermark, WATERMARK),
            ("DICOM service: clock", lambda: _clock(dicom, latest), DICOM),
            ("FHIR server: a token", lambda: _token(fhir), _LOGON.format("Fhir")),
            ("FHIR server: R4 with transactions", self.r4, FHIR),
            ("FHIR server: searches are allowed", self.search, FHIR),
            ("FHIR server: writes are allowed", self.write, FHIR),
            ("FHIR server: the Endpoint", self.endpoint, FHIR),
            ("FHIR server: orders", self.orders, FHIR),
            ("FHIR server: patients", self.patients, FHIR),
            ("FHIR server: what it is like", self.capability_texts, FHIR),
            ("FHIR server: clock", lambda: _clock(fhir, metadata), FHIR),
        ]
        return [(name, self._in_time(ask), remedy) for name, ask, remedy in questions]

    def _in_time(self, question: Callable[[], str]) -> Callable[[], str]:
        def ask() -> str:
            with self._deadline.within(STEP_SECONDS):
                return question()

        return ask

    def tables(self) -> str:
        """Writes a row and takes it away."""
        row = {"PartitionKey": "Check", "RowKey": uuid4().hex}
        with storage_faults():
            table = self._tables["TickTable"]
            table.upsert_entity(row)
            try:
                table.get_entity(row["PartitionKey"], row["RowKey"])
            except ResourceNotFoundError:
                raise CheckError("a row that was written is not there", "look at that storage account") from None
            table.delete_entity(row)
        return "a row was written, read and deleted"

    def lease(self) -> str:
        """Takes a lease and gives it back."""
        if not self._lease.acquire():
            raise CheckError("another self-check runs at this moment", "try again in a minute")
        self._lease.release()
        return "a lease was taken and given back"

    def feed(self) -> str:
        """Reads the newest entry with its metadata."""
        latest = self._feed.latest()
        if latest is None:
            return "the change feed is there, and empty"
        self._feed.entries({latest.sequence})
        return f"the change feed ends at sequence {latest.sequence}"

    def watermark(self) -> str:
        """Compares the feed's end with where the sync stands."""
        try:
            watermark = TableWatermarkStore(self._tables).read().watermark
            latest = self._feed.latest()
            at = self._feed.entries({watermark.sequence}) if watermark.timestamp else ()
        except (FeedError, OutageError):
            raise NotAskedError("the storage or the feed cannot be read, as said above") from None
        highest = latest.sequence if latest else 0
        if highest < watermark.sequence:
            raise FeedEndsEarlyError(highest, watermark.sequence)
        before = hundred_nanoseconds(watermark.timestamp) if watermark.timestamp else 0
        if any(one.timestamp and hundred_nanoseconds(one.timestamp) > before for one in at):
            raise CheckError(
                f"entry {watermark.sequence} of the change feed is younger than the watermark that was taken from it: "
                "the feed was made anew, and has overtaken the watermark"
            )
        return f"the watermark stands at sequence {watermark.sequence}, the feed ends at {highest}"

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
        """Searches for what is not there."""
        for resource_type in ("ImagingStudy", "Patient", "Endpoint"):
            self._fhir.search(resource_type, f"identifier=urn:dicom:uid%7Curn:oid:2.25.{uuid4().int}")
        return "ImagingStudy, Patient and Endpoint can be searched"

    def write(self) -> str:
        """Makes, updates and removes an Endpoint, and tries what must be refused."""
        try:
            return WriteCheck(self._fhir).run()
        except CheckError as error:
            raise CheckError(str(error), error.action or SERVER) from error

    def endpoint(self) -> str:
        """Looks for the Endpoint of the DICOM service, and for doubles of it."""
        matches = self._fhir.search("Endpoint", self._endpoint.query)
        found = [f"Endpoint/{one['id']}" for one in matches if one.get("name") == self._endpoint.name]
        if len(found) > 1:
            raise CheckError(
                f"{', '.join(found)} are doubles of one another: the sync uses the oldest",
                "link to it what links to the others (GET ImagingStudy?endpoint=ID), then delete them",
            )
        return f"{found[0]} is the DICOM service's" if found else "not there yet: the first study makes it"

    def orders(self) -> str:
        """Searches for an order that is not there; a refusal is no fault: studies are written without links."""
        if not self._links_orders:
            raise NotAskedError("the settings link no study to its order")
        try:
            self._fhir.search("ServiceRequest", f"identifier=urn:dicom:uid%7Curn:oid:2.25.{uuid4().int}")
        except (EntryError, TransientError) as error:
            return (
                f"ServiceRequest cannot be searched ({error}): studies are not linked to their orders; give the app's"
                " identity the right to read them, or set DicomCast__OrderLink = off"
            )
        return "ServiceRequest can be searched: studies are linked to their orders"

    def patients(self) -> str:
        """Says what PatientIDs are told apart by. It is no fault: one hospital alone needs nothing."""
        if self._identity:
            return f"PatientIDs are told apart by {self._identity}"
        return (
            "warning: PatientIDs have no system: two hospitals' patients of one number would be one Patient, and other"
            " systems cannot tell whose number it is; Patient__PatientSystemId, or Patient__IssuerSystems, says it."
            " Patients who are there without one are not found under it: docs/runbook.md, 'A system for PatientIDs'"
        )

    def capability_texts(self) -> str:
        """What is known of the FHIR server by now."""
        return "; ".join(f"{name}: {value}" for name, value in self._fhir.capability_texts().items())


def _token(service: HttpService) -> str:
    if service.auth is None:
        raise NotAskedError("no authentication is set: requests are sent without a token")
    if not isinstance(service.auth, BearerAuth):
        raise NotAskedError("HTTP Basic is set: requests are sent with a password")
    service.auth.token()
    return "a token was given"


def _clock(service: HttpService, path: str) -> str:
    asked = datetime.now(UTC)
    answer = service.send("GET", path, headers={"Accept": "application/json"})
    told = clock_of(answer.headers)
    if told is None:
        raise NotAskedError("the server does not tell its time, or in no form that can be read")
    # The server's time lies between the question and the answer, cut to whole seconds.
    ahead = (told - asked).total_seconds()
    behind = (datetime.now(UTC) - told).total_seconds() - 1
    skew = max(ahead, behind, 0.0)
    if skew > MAX_SKEW_SECONDS:
        raise CheckError(f"its clock and the app's are {skew:.0f} s apart", CLOCKS)
    return f"within {max(1, round(skew))} s of the app's"
