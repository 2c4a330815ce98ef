"""The singleton lock: a lease on a blob, renewed by a thread of its own while it is held."""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient, ContainerClient, StorageErrorCode

from shared.clients.azure.tables import storage_faults
from shared.errors import LeaseLostError
from shared.model.lease import LeaseState

logger = logging.getLogger(__name__)

CONTAINER = "dicom-cast"
SINCE, DONE, ENTRIES = "since", "done", "entries"
"""Of the blob's metadata."""
FIRST_SECONDS, TELL_SECONDS = 1.0, 5.0
"""A write costs twelve times what a lease does: a tick that is over by the first is not told of; so long at least lies
between two that tell how far a tick is."""
_OURS_NO_MORE = frozenset({404, 409, 412})
"""Another took it, it was broken, or the blob is gone: another can have it at once, whatever was left of it."""


class BlobLease:
    """`duration_seconds`: blob leases allow 15-60. It is renewed each third of it."""

    def __init__(self, container: ContainerClient, name: str, duration_seconds: int) -> None:
        self._container = container
        self._blob = container.get_blob_client(name)
        self._duration = duration_seconds
        self._lease: BlobLeaseClient | None = None
        self._valid_until = 0.0  # of the monotonic clock
        self._stop = threading.Event()
        self._has_told = False
        self._renewer: threading.Thread | None = None
        self._since = ""
        self._told_at = 0.0  # of the monotonic clock
        self._told: tuple[int, int] | None = None

    def acquire(self) -> bool:
        """False where another host holds it."""
        asked = time.monotonic()
        with storage_faults():
            try:
                self._lease = self._acquire_or_make()
            except HttpResponseError as error:
                if _code(error) == StorageErrorCode.LEASE_ALREADY_PRESENT:
                    return False
                raise
        self._valid_until = asked + self._duration
        self._since, self._told, self._told_at = datetime.now(UTC).isoformat(), None, asked
        self._stop.clear()
        self._renewer = threading.Thread(target=self._renew, args=(self._lease,), name="lease", daemon=True)
        self._renewer.start()
        return True

    def show_progress(self, done: int, entries: int) -> None:
        """Writes it into the blob's metadata, not more often than each TELL_SECONDS but for the last of a slice."""
        is_last = self._told is not None and done == entries and self._told != (done, entries)
        if is_last or time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told = (done, entries)
            self._write_metadata({SINCE: self._since, DONE: str(done), ENTRIES: str(entries)})

    def ensure_held(self) -> None:
        """Raises LeaseLostError once the lease may have ended without being renewed."""
        if self._lease is None or time.monotonic() >= self._valid_until:
            raise LeaseLostError("the lease on the blob ended and was not renewed")

    def release(self) -> None:
        """Gives it back; where that fails it ends by itself."""
        self._stop.set()
        if self._renewer:
            self._renewer.join()
        if self._lease:
            try:
                if self._has_told:  # else the next tick would seem to have begun then
                    self._write_metadata({})
                self._lease.release()
            except AzureError as error:
                logger.warning("lease not released (%s): it ends within %d s", type(error).__name__, self._duration)
        self._lease, self._valid_until, self._has_told = None, 0.0, False

    def state(self) -> LeaseState:
        """Whether any host holds it, as the blob says."""
        with storage_faults():
            try:
                blob = self._blob.get_blob_properties()
            except ResourceNotFoundError:
                return LeaseState(held=False, since=None)
        if blob.lease.state != "leased":
            return LeaseState(held=False, since=None)
        return _held(blob.metadata or {}, is_infinite=blob.lease.duration == "infinite")

    def _write_metadata(self, said: dict[str, str]) -> None:
        """For whoever looks at the status; the blob's own properties do not say it. It is not worth a second try."""
        self._told_at, self._has_told = time.monotonic(), True
        patience = self._duration / 6
        try:
            self._blob.set_blob_metadata(
                said, lease=self._lease, connection_timeout=patience, read_timeout=patience, retry_total=0
            )
        except AzureError as error:
            logger.warning("how far the tick is cannot be written (%s)", type(error).__name__)

    def _acquire_or_make(self) -> BlobLeaseClient:
        # The id is ours, not the service's: where its answer is lost the SDK asks again, and is not shut out by itself.
        lease = BlobLeaseClient(self._blob, lease_id=str(uuid4()))
        try:
            lease.acquire(self._duration)
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                self._container.create_container()
            with contextlib.suppress(ResourceExistsError):
                self._blob.upload_blob(b"", overwrite=False)
            lease.acquire(self._duration)
        return lease

    def _renew(self, lease: BlobLeaseClient) -> None:
        # A request that gets no answer is given up while there is time for another.
        patience = self._duration / 6
        if self._stop.wait(FIRST_SECONDS):
            return
        self._write_metadata({SINCE: self._since})
        wait = self._duration / 3 - FIRST_SECONDS
        while not self._stop.wait(wait):
            wait = self._duration / 3
            asked = time.monotonic()
            try:
                lease.renew(connection_timeout=patience, read_timeout=patience)
            except HttpResponseError as error:
                if error.status_code in _OURS_NO_MORE:
                    self._valid_until = 0.0
                    return
                logger.warning("lease not renewed (%s)", _code(error))
            except AzureError as error:
                logger.warning("lease not renewed (%s)", type(error).__name__)
            else:
                self._valid_until = asked + self._duration


def _held(said: Mapping[str, str], *, is_infinite: bool) -> LeaseState:
    """What the metadata of a leased blob says; a person who took the lease may have written anything there."""
    try:
        since = datetime.fromisoformat(said[SINCE]).astimezone(UTC)
    except (KeyError, ValueError):
        since = None
    done, entries = said.get(DONE, ""), said.get(ENTRIES, "")
    is_told = done.isdecimal() and entries.isdecimal()
    return LeaseState(
        held=True,
        since=since,
        is_infinite=is_infinite,
        done=int(done) if is_told else None,
        entries=int(entries) if is_told else None,
    )


def _code(error: HttpResponseError) -> str | None:
    """The storage service's own code; the blob SDK sets it on every error that it raises."""
    return getattr(error, "error_code", None)
