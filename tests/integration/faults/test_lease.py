"""The lease while a tick is longer than it: renewed, lost, or taken by another host. Each of these takes real seconds."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient

from shared.clients.azure.lease import CONTAINER, BlobLease
from shared.errors import LeaseLostError
from shared.model.outcome import Outcome
from tests.integration.awaiting import await_
from tests.integration.faults.proxy import Fault

LEASE_SECONDS = 15
SHORT_LEASE = {"DicomCast__LeaseDuration": "00:00:15"}
LONGER_THAN_A_THIRD = 5.5  # of the lease: so long each of three studies takes


@pytest.fixture
def slow(world):
    """A tick that works for longer than its lease."""
    world.build(SHORT_LEASE)
    world.search_one_by_one()
    world.store(PatientID=f"Plantagenet-{world.run}")  # studies of one patient go one after the other
    world.fhir.faults.append(Fault("GET", "/fhir/ImagingStudy?", times=3, delay=LONGER_THAN_A_THIRD))
    return world


def renewal(**fault):
    return Fault("PUT", "comp=lease", action="renew", **fault)


def transactions(world):
    """Those that were taken; a batch of searches is not."""
    return [one for one in world.fhir.seen if one.method == "POST" and one.status != 400]


def watermark(world):
    return world.other_host().ports.watermarks.read().watermark.sequence


def lock(world):
    return BlobClient.from_connection_string(world.storage, CONTAINER, f"{world.prefix}sync.lock")


def test_a_renewal_that_fails_is_made_up_for(slow):
    """One gets no answer, its repetitions are refused; the next comes through before the lease ends, and the tick goes on."""
    slow.blobs.faults += [renewal(delay=60), renewal(status=503, times=2)]
    assert slow.tick().outcome is Outcome.SYNCED
    assert [one.status for one in slow.blobs.seen if one.action == "renew"] == [503, 503, 200]
    assert slow.differences() == []
    assert slow.versions() == [1] * 3


def test_a_lease_that_is_not_renewed_stops_the_tick(slow):
    """Before anybody else can have it nothing more is sent; what is done stays done; another host does the rest."""
    slow.blobs.faults += [
        renewal(status=503, times=99),
        Fault("PUT", "comp=lease", action="release", times=99, status=503),
    ]
    record = slow.tick()
    assert record.outcome is Outcome.STOPPED
    (acquired,) = [one for one in slow.blobs.seen if (one.action, one.status) == ("acquire", 201)]
    sent = [one.ended for one in transactions(slow)]
    assert len(sent) == 1 + 2  # the Endpoint, two of the studies
    assert max(sent) < acquired.began + LEASE_SECONDS
    assert watermark(slow) == 0
    slow.app = slow.other_host()
    assert slow.tick().outcome is Outcome.SYNCED
    assert slow.differences() == []
    assert slow.versions() == [1] * 3


def test_another_host_takes_the_lease(slow):
    """It is known at the next renewal: nothing is sent from then on, and the lease is his."""
    with ThreadPoolExecutor() as threads, lock(slow) as blob:
        tick = threads.submit(slow.tick)
        await_(lambda: [one for one in slow.blobs.seen if (one.action, one.status) == ("acquire", 201)], seconds=30)
        BlobLeaseClient(blob).break_lease(lease_break_period=0)
        his = BlobLeaseClient(blob)
        his.acquire(LEASE_SECONDS)
        assert tick.result().outcome is Outcome.STOPPED
        his.renew()
    assert transactions(slow) == []
    assert watermark(slow) == 0


def test_a_host_that_does_not_know_yet_cannot_move_the_watermark(world):
    """Another did the batch meanwhile: the ETag refuses the write, though the lease was not due to be renewed."""
    world.store()
    world.search_one_by_one()
    world.fhir.faults.append(Fault("GET", "/fhir/ImagingStudy?", delay=3))
    other = world.other_host()
    with ThreadPoolExecutor() as threads, lock(world) as blob:
        tick = threads.submit(world.tick)
        await_(lambda: not world.fhir.faults[0].times, seconds=30)
        BlobLeaseClient(blob).break_lease(lease_break_period=0)
        assert other.tick().outcome is Outcome.SYNCED
        moved = other.ports.watermarks.read()
        record = tick.result()
    assert record.outcome is Outcome.STOPPED
    assert "another host moved the watermark" in record.error
    assert other.ports.watermarks.read() == moved
    assert world.differences() == []
    assert world.versions() == [1] * 3


def take(blob):
    BlobLeaseClient(blob).break_lease(lease_break_period=0)
    BlobLeaseClient(blob).acquire(LEASE_SECONDS)


def break_(blob):
    BlobLeaseClient(blob).break_lease(lease_break_period=0)


def remove(blob):
    break_(blob)
    blob.delete_blob()


def test_what_ends_a_lease(storage):
    """Where another has it, or could have it at once, it is not waited for until it would have run out."""
    with BlobServiceClient.from_connection_string(storage) as service:
        container = service.get_container_client(f"c{uuid4().hex}")
        leases = {deed: BlobLease(container, deed.__name__, LEASE_SECONDS) for deed in (take, break_, remove)}
        kept = BlobLease(container, "kept", LEASE_SECONDS)
        assert all(lease.acquire() for lease in (*leases.values(), kept))
        for deed, lease in leases.items():
            deed(container.get_blob_client(deed.__name__))
            lease.ensure_held()
        time.sleep(LEASE_SECONDS / 3 + 1)
        for lease in leases.values():
            with pytest.raises(LeaseLostError):
                lease.ensure_held()
        kept.ensure_held()
        for lease in (*leases.values(), kept):
            lease.release()


def test_how_far_a_tick_is_stands_with_the_lease(storage, monkeypatch):
    """Not more often than each few seconds, but for the end of the batch; nothing is left of the tick before."""
    with BlobServiceClient.from_connection_string(storage) as service:
        container = service.get_container_client(f"c{uuid4().hex}")
        lease = BlobLease(container, "told", LEASE_SECONDS)
        told = lambda: (state := lease.state()) and (state.held, state.done, state.entries)  # noqa: E731
        assert lease.acquire()
        lease.show_progress(3, 8)
        lease.show_progress(8, 8)
        assert told() == (True, None, None), "a short tick tells nothing"
        monkeypatch.setattr("shared.clients.azure.lease.PROGRESS_SECONDS", 0.0)
        lease.show_progress(3, 8)
        assert told() == (True, 3, 8)
        monkeypatch.undo()
        lease.show_progress(5, 8)
        assert told() == (True, 3, 8)
        lease.show_progress(8, 8)
        assert told() == (True, 8, 8)
        lease.release()
        assert told() == (False, None, None)
        assert lease.acquire()
        assert told() == (True, None, None)
        container.get_blob_client("told").set_blob_metadata({"since": "noon", "done": "some"}, lease=lease._lease)
        assert lease.state().since is None
        lease.release()
