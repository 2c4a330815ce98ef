"""What people do to the app's storage while it runs: tables deleted, the watermark's row spoilt, a lease without end."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from azure.data.tables import EdmType, EntityProperty, TableServiceClient
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from shared.clients.azure import audit_table, replay_table
from shared.clients.azure import tables as storage_tables
from shared.clients.azure.lease import CONTAINER
from shared.clients.azure.watermark import PARTITION_KEY, ROW_KEY, TABLE
from shared.errors import OutageError
from shared.model.audit import OneStudy, RoundRequest, RoundState
from shared.model.failures import ErrorTable
from shared.model.outcome import Outcome
from shared.model.replay import ReplayRequest, SequenceRange, StudyRebuild
from shared.model.watermark import Hole, Watermark
from shared.web.as_json import status_json
from tests.integration.whole_feed import World


@pytest.fixture
def world(dicom, fhir_url, storage):
    return World(dicom, fhir_url, storage)


@pytest.fixture
def tables(world, storage):
    with TableServiceClient.from_connection_string(storage) as service:
        yield Tables(service, world.settings["TableStore__TableNamePrefix"])


class Tables:
    """The deployment's tables, as an operator has them in hand."""

    def __init__(self, service, prefix):
        self.service, self.prefix = service, prefix

    def delete(self, name):
        self.service.delete_table(self.prefix + name)

    def watermark_row(self):
        return dict(self.service.get_table_client(self.prefix + TABLE).get_entity(PARTITION_KEY, ROW_KEY))

    def spoil(self, **columns):
        row = {"PartitionKey": PARTITION_KEY, "RowKey": ROW_KEY, **columns}
        self.service.get_table_client(self.prefix + TABLE).upsert_entity(row)

    def drop(self, column):
        row = self.watermark_row()
        del row[column]
        self.service.get_table_client(self.prefix + TABLE).upsert_entity(row, mode="replace")


@pytest.mark.parametrize("name", [TABLE, "TickTable", "ReplayTable", "AuditTable", "AuditDifferenceTable", *ErrorTable])
def test_a_table_that_was_deleted_is_made_again(world, tables, name):
    """While the app runs: the ticks go on, rows are written, a replay can be asked for, and the status answers."""
    world.dicom.store(world.file(1))
    world.synced()
    world.app.start_replay(ReplayRequest(SequenceRange(1, 1), dry_run=True))
    tables.delete(name)
    world.dicom.store(world.file(2), world.file(3, SeriesInstanceUID=f"{world.study}.2", Modality=None))
    world.synced()
    assert world.imaging_study()["numberOfInstances"] == 2
    assert world.app.status().faults == []
    assert world.app.start_replay(ReplayRequest(SequenceRange(1, 2))).is_under_way


MALFORMED = [
    ({"SyncedSequence": "twelve"},                                   "SyncedSequence must be a whole number"),
    ({"SyncedSequence": EntityProperty(-4, EdmType.INT64)},          "SyncedSequence must be a whole number"),
    ({"SyncedTimestamp": "yesterday"},                               "SyncedTimestamp must be empty, or a time"),
    ({"SyncedTimestamp": "2026-01-01T00:00:00"},                     "SyncedTimestamp must be empty, or a time"),
    ({"SyncedTimestamp": 7},                                         "SyncedTimestamp must be empty, or a time"),
    ({"ReadSequence": "-"},                                          "ReadSequence must be a whole number"),
    ({"FurthestSequence": "-"},                                      "FurthestSequence must be a whole number"),
    ({"ReadTimestamp": "2026"},                                      "ReadTimestamp must be empty, or a time"),
    ({"Holes": "[7]"},                                               "Holes must be empty, or a list"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "said"), MALFORMED, ids=[row[1] + repr(row[0]) for row in MALFORMED])
def test_a_watermark_that_cannot_be_read_is_named(world, tables, columns, said):
    """By the tick and the status, with what to do; nothing is overwritten, and mended the sync goes on."""
    world.dicom.store(world.file(1))
    world.synced()
    whole = tables.watermark_row()
    tables.spoil(**columns)
    spoilt = tables.watermark_row()
    record = world.app.tick()
    assert (record.outcome, said in record.error) == (Outcome.FAILED, True)
    assert "docs/runbook.md" in record.error
    found = status_json(world.app.status())
    assert [said in fault for fault in found["faults"]] == [True]
    assert (found["watermark"], found["lastTick"]["outcome"]) == (None, "failed")
    assert tables.watermark_row() == spoilt
    tables.spoil(**whole)
    world.dicom.store(world.file(2))
    world.synced()


def test_a_watermark_without_its_sequence(world, tables):
    """The column is gone: an error, not the beginning of the feed."""
    world.dicom.store(world.file(1))
    world.synced()
    tables.drop("SyncedSequence")
    assert "SyncedSequence must be a whole number" in world.app.tick().error


def test_a_replay_that_storage_refuses_is_an_outage(storage):
    """Its row is too large here: nobody else came first, and asking again would go on for ever."""
    with TableServiceClient.from_connection_string(storage) as service:
        tables = storage_tables.Tables(service, f"t{secrets.token_hex(4)}", [replay_table.TABLE])
        replays = replay_table.ReplayTable(tables, lambda: datetime.now(UTC))
        with pytest.raises(OutageError, match="answered 4"):
            replays.create(ReplayRequest(StudyRebuild("1" * 70_000)))


def test_a_round_that_storage_refuses_is_an_outage(storage):
    """Likewise: a tick that asked again without end would keep the feed waiting."""
    with TableServiceClient.from_connection_string(storage) as service:
        tables = storage_tables.Tables(service, f"t{secrets.token_hex(4)}", [audit_table.TABLE])
        rounds = audit_table.AuditTable(tables, lambda: datetime.now(UTC))
        rounds.write(replace(rounds.create(RoundRequest()), state=RoundState.DONE))
        with pytest.raises(OutageError, match="answered 4"):
            rounds.create(RoundRequest(OneStudy("1" * 70_000)))


def test_a_lease_without_end_is_told(world, storage):
    """A person took it: no tick runs, and the status says what to do; broken, the sync goes on."""
    world.dicom.store(world.file(1))
    world.synced()
    with BlobServiceClient.from_connection_string(storage) as service:
        name = world.settings["TableStore__TableNamePrefix"] + "sync.lock"
        blob = service.get_blob_client(CONTAINER, name)
        BlobLeaseClient(blob).acquire(-1)
        assert world.app.tick().outcome is Outcome.LEASE_HELD
        found = status_json(world.app.status())
        assert found["lease"]["isInfinite"]
        assert ["the lease is infinite" in fault for fault in found["faults"]] == [True]
        BlobLeaseClient(blob).break_lease(0)
    assert not world.app.status().lease.is_infinite
    assert world.app.tick().outcome is Outcome.IDLE


def test_how_far_the_feed_was_read_is_kept(world, tables):
    """Also where an operator has set the watermark back since, and where a version of before wrote the row."""
    world.dicom.store(world.file(1), world.file(2))
    world.synced()
    store = world.app.ports.watermarks
    furthest = store.read().furthest
    assert furthest == store.read().watermark.sequence > 0
    tables.drop("FurthestSequence")
    tables.spoil(SyncedSequence=EntityProperty(0, EdmType.INT64))
    assert (store.read().read_through.sequence, store.read().furthest) == (0, furthest)
    world.synced()
    assert store.read().furthest == furthest


@pytest.mark.parametrize("is_of_before", [True, False])
def test_a_row_of_a_release_that_followed_the_order_of_time(world, tables, is_of_before):
    """What is behind its mark by time is read, though its numbers are lower; a row of now says what order it is of."""
    world.dicom.store(world.file(1))
    world.synced()
    world.dicom.store(world.file(2))
    world.dicom.store(world.file(3))
    ahead = EntityProperty(3, EdmType.INT64)
    tables.spoil(SyncedSequence=ahead, ReadFromSequence=ahead, ReadSequence=ahead)
    if is_of_before:
        tables.drop("Order")
    world.synced()
    assert world.imaging_study()["numberOfInstances"] == (3 if is_of_before else 1)
    assert tables.watermark_row()["Order"] == "sequence"


def test_holes_are_kept_with_the_watermark(world):
    """A host that takes over watches on."""
    store = world.app.ports.watermarks
    holes = (Hole(8, 9, "2026-01-01T00:00:30+00:00"), Hole(11, 11, "2026-01-01T00:00:31+00:00"))
    written = store.write(
        replace(store.read(), watermark=Watermark(7), read_through=Watermark(12), holes=holes, furthest=12)
    )
    assert store.read() == written
    assert store.read().holes == holes
