"""Storage that is down: which account it is and how it failed, and no more of its URL."""

import pytest
from azure.data.tables import TableServiceClient

from local.processes import free_port
from shared.clients.azure.storage_faults import storage_faults
from shared.errors import OutageError
from tests.raw_server import raw_server, silent, whole

SECRET = "s3cr3t"
SIGNATURE = f"sv=2024-01-01&sig={SECRET}"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\n"


def fault_of(url):
    """What a request for a row comes to."""
    with TableServiceClient(f"{url}/account?{SIGNATURE}", retry_total=0, read_timeout=0.2) as service, storage_faults():
        service.get_table_client("Table").get_entity("P", "R")


def closed(connection):
    connection.close()


@pytest.mark.parametrize(
    ("script", "words"),
    [(whole(b"{}", FORBIDDEN), "answered 403"), (closed, "gave no whole answer"), (silent, "does not answer")],
    ids=["refused", "closed", "frozen"],
)
def test_it_says_which_account_and_how(script, words):
    """A query may hold a shared access signature, and a path names rows: neither is told."""
    with raw_server(script) as server, pytest.raises(OutageError) as told:
        fault_of(server.url)
    assert str(told.value).startswith(f"storage: {server.url} {words}")
    assert SECRET not in str(told.value)


def test_nobody_listens():
    """The URL is what one looks for in the settings."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(OutageError, match=f"^storage: {url} cannot be reached$"):
        fault_of(url)
