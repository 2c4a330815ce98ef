"""Tables as several threads use them at once: the status asks each in a thread of its own, beside the tick."""

from uuid import uuid4

import pytest
from azure.data.tables import TableServiceClient

from shared.clients.azure.tables import Tables

ROW = {"PartitionKey": "P", "RowKey": "R"}


class Service(TableServiceClient):
    """Counts the clients that it makes."""

    made = 0

    def get_table_client(self, *args, **options):
        self.made += 1
        return super().get_table_client(*args, **options)


@pytest.fixture
def service(storage):
    with Service.from_connection_string(storage) as service:
        yield service


def test_a_table_is_made_by_what_first_finds_it_missing(service):
    """By a question, which finds none, as by a row; and again after it was deleted."""
    prefix = f"t{uuid4().hex[:8]}"
    table = Tables(service, prefix, ["Table"])["Table"]
    for _ in range(2):
        assert list(table.query_entities("PartitionKey eq 'P'")) == []
        table.submit_transaction([("upsert", ROW)])
        assert table.get_entity("P", "R")["RowKey"] == "R"
        service.delete_table(prefix + "Table")


def test_no_client_is_made_once_threads_share_them(service):
    """Making one takes the policies of all others apart for a moment: a request in another thread fell on that."""
    tables = Tables(service, f"t{uuid4().hex[:8]}", ["One", "Two"])
    made = service.made
    for name in ("One", "Two"):
        tables[name].upsert_entity(ROW)
        assert len(list(tables[name].query_entities("PartitionKey eq 'P'"))) == 1
    assert (made, service.made) == (2, 2)
