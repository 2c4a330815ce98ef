"""The lock by which one host at a time works: a lease on a blob, renewed by a thread of its own while it is held."""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient, ContainerClient, StorageErrorCode

from shared.clients.azure.storage_faults import storage_faults
from shared.errors import LeaseLostError
from shared.model.lease import LeaseState

logger = logging.getLogger(__name__)

CONTAINER = "dicom-cast"
SINCE, DONE, ENTRIES = "since", "done", "entries"
"""Keys of the blob's metadata, which show the status how far the tick is."""
FIRST_SECONDS, PROGRESS_SECONDS = 1.0, 5.0
"""When metadata is first written after the lease was taken, and the least time between two reports of progress.

A write costs twelve times as much as a lease, so a tick that ends within the first second writes none."""
_NO_LONGER_OURS = frozenset({404, 409, 412})
"""Another host took the lease, someone broke it, or the blob is gone: another host can hold it from now on."""


class BlobLease:
    """A lease on one blob. `duration_seconds`: 15 to 60, as Azure allows. It is renewed after each third of it."""

    def __init__(self, container: ContainerClient, name: str, duration_seconds: int) -> None:
        self._container = container
        self._blob = container.get_blob_client(name)
        self._duration = duration_seconds
        self._lease: BlobLeaseClient | None = None
        self._valid_until = 0.0  # of the monotonic clock
        self._stop = threading.Event()
        self._has_metadata = False
        self._renewer: threading.Thread | None = None
        self._since = ""
        self._written_at = 0.0  # of the monotonic clock
        self._progress: tuple[int, int] | None = None

    def acquire(self) -> bool:
        """Takes the lease; False if another host holds it."""
        asked = time.monotonic()
        with storage_faults():
            try:
                self._lease = self._acquire_or_make()
            except HttpResponseError as error:
                if _code(error) == StorageErrorCode.LEASE_ALREADY_PRESENT:
                    return False
                raise
        self._valid_until = asked + self._duration
        self._since, self._progress, self._written_at = datetime.now(UTC).isoformat(), None, asked
        self._stop.clear()
        self._renewer = threading.Thread(target=self._renew, args=(self._lease,), name="lease", daemon=True)
        self._renewer.start()
        return True

    def show_progress(self, done: int, entries: int) -> None:
        """Writes the progress of a slice into the blob's metadata, at most once in PROGRESS_SECONDS.

        If something was written of the slice, its end is written at once.
        """
        is_last = self._progress is not None and done == entries and self._progress != (done, entries)
        if is_last or time.monotonic() - self._written_at >= PROGRESS_SECONDS:
            self._progress = (done, entries)
            self._write_metadata({SINCE: self._since, DONE: str(done), ENTRIES: str(entries)})

    def ensure_held(self) -> None:
        """Raises LeaseLostError if the lease may have ended because it could not be renewed."""
        if self._lease is None or time.monotonic() >= self._valid_until:
            raise LeaseLostError("the lease on the blob ended and was not renewed")

    def release(self) -> None:
        """Gives the lease back. If that fails, it ends by itself."""
        self._stop.set()
        if self._renewer:
            self._renewer.join()
        if self._lease:
            try:
                if self._has_metadata:  # it would give the next tick a wrong time of beginning
                    self._write_metadata({})
                self._lease.release()
            except AzureError as error:
                logger.warning("lease not released (%s): it ends within %d s", type(error).__name__, self._duration)
        self._lease, self._valid_until, self._has_metadata = None, 0.0, False

    def state(self) -> LeaseState:
        """Whether any host holds the lease, since when, and how far it is."""
        with storage_faults():
            try:
                blob = self._blob.get_blob_properties()
            except ResourceNotFoundError:
                return LeaseState(held=False, since=None)
        if blob.lease.state != "leased":
            return LeaseState(held=False, since=None)
        return _held_state(blob.metadata or {}, is_infinite=blob.lease.duration == "infinite")

    def _write_metadata(self, metadata: dict[str, str]) -> None:
        """Writes what the status shows. A failure is only logged, and there is no retry."""
        self._written_at, self._has_metadata = time.monotonic(), True
        timeout = self._duration / 6
        try:
            self._blob.set_blob_metadata(
                metadata, lease=self._lease, connection_timeout=timeout, read_timeout=timeout, retry_total=0
            )
        except AzureError as error:
            logger.warning("how far the tick is cannot be written (%s)", type(error).__name__)

    def _acquire_or_make(self) -> BlobLeaseClient:
        # With an id of ours the SDK can repeat a request whose answer was lost, and is not refused by its own lease.
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
        timeout = self._duration / 6  # so that there is time for another request if this one gets no answer
        if self._stop.wait(FIRST_SECONDS):
            return
        self._write_metadata({SINCE: self._since})
        wait = self._duration / 3 - FIRST_SECONDS
        while not self._stop.wait(wait):
            wait = self._duration / 3
            asked = time.monotonic()
            try:
                lease.renew(connection_timeout=timeout, read_timeout=timeout)
            except HttpResponseError as error:
                if error.status_code in _NO_LONGER_OURS:
                    self._valid_until = 0.0
                    return
                logger.warning("lease not renewed (%s)", _code(error))
            except AzureError as error:
                logger.warning("lease not renewed (%s)", type(error).__name__)
            else:
                self._valid_until = asked + self._duration


def _held_state(metadata: Mapping[str, str], *, is_infinite: bool) -> LeaseState:
    """The state of a leased blob. Its metadata may be anything, if a person took the lease."""
    try:
        since = datetime.fromisoformat(metadata[SINCE]).astimezone(UTC)
    except (KeyError, ValueError):
        since = None
    done, entries = metadata.get(DONE, ""), metadata.get(ENTRIES, "")
    has_progress = done.isdecimal() and entries.isdecimal()
    return LeaseState(
        held=True,
        since=since,
        is_infinite=is_infinite,
        done=int(done) if has_progress else None,
        entries=int(entries) if has_progress else None,
    )


def _code(error: HttpResponseError) -> str | None:
    """The storage service's own error code, which the blob SDK sets on each of its errors."""
    return getattr(error, "error_code", None)
