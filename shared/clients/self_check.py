"""The self-check: asks the outside systems for what the sync needs of them. What the check makes, it removes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from azure.core.exceptions import ResourceNotFoundError

from shared.clients.azure.lease import BlobLease
from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import Tables
from shared.clients.azure.watermark import TableWatermarkStore
from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_entry import hundred_nanoseconds
from shared.clients.dicom.change_feed_reader import V1
from shared.clients.fhir.self_check import REMEDY, FhirSelfCheck
from shared.clients.header_times import clock_of
from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth
from shared.errors import CheckError, FeedEndsEarlyError, FeedError, NotAskedError, OutageError
from shared.process.deadline import Deadline

MAX_SKEW_SECONDS = 60
"""The grace of a hole, the back-off and the lag are found by comparing clocks, so these may not differ by more."""
STEP_SECONDS = 40
"""The time for one step, with all its requests."""

_STORAGE = "mend AzureWebJobsStorage, or give the app's identity the role {} on that storage account"
TABLES = _STORAGE.format("Storage Table Data Contributor")
BLOBS = _STORAGE.format("Storage Blob Data Owner")
_LOGON = "mend {}__Authentication__*, or what stands between the app and the token endpoint"
DICOM = (
    "mend DicomWeb__Endpoint, see that the DICOM service runs, and that the app's identity has the role DICOM Data"
    " Reader there"
)
WATERMARK = "docs/runbook.md, 'The change feed ends before the watermark'"
CLOCKS = "set both clocks by NTP"


class SelfCheck:
    """The questions to all systems. `lease`: one for the check alone, so that no tick is disturbed.

    `deadline`: that of all clients given here, which is set for each step.
    """

    def __init__(
        self, tables: Tables, lease: BlobLease, feed: ChangeFeed, fhir: FhirSelfCheck, deadline: Deadline
    ) -> None:
        self._tables = tables
        self._lease = lease
        self._feed = feed
        self._fhir = fhir
        self._deadline = deadline

    def questions(self) -> Sequence[tuple[str, Callable[[], str], str]]:
        """For each step its name, the function that asks, and what to do if that fails.

        They stand in the order in which a person would mend things, those of one system together.
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
            *self._fhir.questions(),
            ("FHIR server: clock", lambda: _clock(fhir, metadata), REMEDY),
        ]
        return [(name, self._in_time(ask), remedy) for name, ask, remedy in questions]

    def _in_time(self, question: Callable[[], str]) -> Callable[[], str]:
        def ask() -> str:
            with self._deadline.within(STEP_SECONDS):
                return question()

        return ask

    def tables(self) -> str:
        """Writes a row, reads it and deletes it."""
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
        """Compares the end of the feed with the watermark."""
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
    clock = clock_of(answer.headers)
    if clock is None:
        raise NotAskedError("the server does not tell its time, or in no form that can be read")
    # The server read its clock between request and answer, and cut it to whole seconds.
    ahead = (clock - asked).total_seconds()
    behind = (datetime.now(UTC) - clock).total_seconds() - 1
    skew = max(ahead, behind, 0.0)
    if skew > MAX_SKEW_SECONDS:
        raise CheckError(f"its clock and the app's are {skew:.0f} s apart", CLOCKS)
    return f"within {max(1, round(skew))} s of the app's"
