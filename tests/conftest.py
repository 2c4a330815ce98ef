"""The real parts that integration tests run on; each is started once, when a test first asks for it."""

import pytest

from local.stack import Ports, Stack, StackOptions


@pytest.fixture(scope="session")
def backends(tmp_path_factory):
    """Azurite and the FHIR server. Tests keep apart by table prefixes, patients and UIDs of their own."""
    stack = Stack(StackOptions(Ports.free(), tmp_path_factory.mktemp("stack")))
    try:
        stack.start("azurite", "fhir")
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def storage(backends):
    """Azurite's connection string."""
    return backends.storage_connection


@pytest.fixture(scope="session")
def fhir_url(backends):
    """The FHIR server's base URL."""
    return backends.fhir_url


@pytest.fixture
def stack(tmp_path):
    """A whole stack of the test's own, functions host included; its timer ticks every second."""
    with Stack(StackOptions(Ports.free(), tmp_path, settings={"SyncSchedule": "* * * * * *"})) as running:
        yield running
