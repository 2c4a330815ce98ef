"""What the self-check asks of the outside systems: what the sync will need of them, and nothing that leaves a trace."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import uuid4

from azure.core.exceptions import ResourceNotFoundError

from shared.clients.change_feed import ChangeFeed
from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService, served_at
from shared.clients.identity import BearerAuth
from shared.clients.lease import BlobLease
from shared.clients.tables import Tables, storage_faults
from shared.errors import CheckError, ConflictError, FhirRefusedError, NotAskedError, OutageError
from shared.model import Resource

MAX_SKEW_SECONDS = 60
"""A gap's grace, back-off and the age of the lag are told by comparing clocks."""
TABLES_ROLE = "give the app's identity the role Storage Table Data Contributor on the storage account"
BLOBS_ROLE = "give the app's identity the role Storage Blob Data Owner on the storage account"
_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


class SelfCheck:
    """`lease` is one of the check's own, so that a tick is not disturbed."""

    def __init__(self, tables: Tables, lease: BlobLease, feed: ChangeFeed, fhir: FhirClient) -> None:
        self._tables = tables
        self._lease = lease
        self._feed = feed
        self._fhir = fhir

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """In the order in which a person would mend what fails."""
        return {
            "storage: tables can be written": self.tables,
            "storage: the lease can be taken": self.lease,
            "DICOM service: a token": lambda: _token(self._feed.service),
            "DICOM service: the change feed can be read": self.feed,
            "DICOM service: clock": lambda: _clock(self._feed.service, f"{self._feed.path}/latest"),
            "FHIR server: a token": lambda: _token(self._fhir.service),
            "FHIR server: R4 with transactions": self.r4,
            "FHIR server: searches are allowed": self.search,
            "FHIR server: writes are allowed": self.write,
            "FHIR server: clock": lambda: _clock(self._fhir.service, "/metadata"),
        }

    def tables(self) -> str:
        """Writes a row and takes it away."""
        row = {"PartitionKey": "Check", "RowKey": uuid4().hex}
        with _remedied(TABLES_ROLE), storage_faults():
            table = self._tables["TickTable"]
            table.upsert_entity(row)
            try:
                table.get_entity(row["PartitionKey"], row["RowKey"])
            except ResourceNotFoundError:
                raise CheckError("a row that was written is not there") from None
            table.delete_entity(row)
        return "a row was written, read and deleted"

    def lease(self) -> str:
        """Takes a lease and gives it back."""
        with _remedied(BLOBS_ROLE):
            if not self._lease.acquire():
                raise CheckError("another self-check runs at this moment: try again in a minute")
            self._lease.release()
        return "a lease was taken and given back"

    def feed(self) -> str:
        """Reads the newest entry with its metadata."""
        latest = self._feed.latest()
        if latest is None:
            return "the change feed is there, and empty"
        self._feed.entries({latest.sequence})
        return f"the change feed ends at sequence {latest.sequence}"

    def r4(self) -> str:
        """Reads the CapabilityStatement."""
        self._fhir.check()
        return "R4, and takes transactions"

    def search(self) -> str:
        """Searches for what is not there."""
        for resource_type in ("ImagingStudy", "Patient", "Endpoint"):
            self._fhir.search(resource_type, f"identifier=urn:dicom:uid%7Curn:oid:2.25.{uuid4().int}")
        return "ImagingStudy, Patient and Endpoint can be searched"

    def write(self) -> str:
        """Sends a transaction that must be refused as a whole: it is allowed, and leaves nothing behind."""
        name = f"DICOM Cast self-check {uuid4()}"
        try:
            self._fhir.transact(_impossible(name))
        except (FhirRefusedError, ConflictError):
            if self._fhir.search("Endpoint", f"name:exact={quote(name)}"):
                raise CheckError(
                    f"a refused transaction was written in part (Endpoint.name {name}): the server's transactions are "
                    "not all-or-nothing, and FHIR cannot be kept true to DICOM with it"
                ) from None
            return "a transaction was taken, and rolled back as it was meant to be"
        raise CheckError(f"a transaction that breaks If-Match was written (Endpoint.name {name}): delete what it made")


def _impossible(name: str) -> Resource:
    """A transaction of one good entry and one whose condition cannot hold."""
    endpoint = {
        "resourceType": "Endpoint",
        "name": name,
        "status": "test",
        "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
        "payloadType": [{"text": "none"}],
        "address": "http://localhost",
    }
    absent = str(uuid4())
    create = {"fullUrl": f"urn:uuid:{uuid4()}", "resource": endpoint, "request": {"method": "POST", "url": "Endpoint"}}
    request = {"method": "PUT", "url": f"Endpoint/{absent}", "ifMatch": 'W/"1"'}
    update = {"resource": {**endpoint, "id": absent}, "request": request}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [create, update]}


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
    if "Date" not in answer.headers:
        raise NotAskedError("the server does not tell its time")
    # The server's time lies between the question and the answer, cut to whole seconds.
    ahead = (served_at(answer) - asked).total_seconds()
    behind = (datetime.now(UTC) - served_at(answer)).total_seconds() - 1
    skew = max(ahead, behind, 0.0)
    if skew > MAX_SKEW_SECONDS:
        raise CheckError(f"its clock and the app's are {skew:.0f} s apart: set them by NTP")
    return f"within {max(1, round(skew))} s of the app's"


@contextmanager
def _remedied(remedy: str) -> Iterator[None]:
    try:
        yield
    except OutageError as error:
        raise CheckError(f"{error}; {remedy}, or mend AzureWebJobsStorage") from error
