"""The real parts that integration tests run on; each is started once, when a test first asks for it."""

from collections import Counter

import pytest
from hypothesis import settings

from local.dicom_service.app import create_app
from local.stack import Ports, Stack, StackOptions
from tests.integration.dicom_service_client import emptied, running

settings.register_profile("house", deadline=None)  # machines are noisy: what a thing costs is a benchmark's to say
settings.load_profile("house")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """pytest-xdist takes tests of one id for one test, and would not run the others."""
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise pytest.UsageError(f"several tests are named {', '.join(twice)}")


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


@pytest.fixture(scope="module")
def dicom_app():
    """The local DICOM service, in memory."""
    return create_app(None)


@pytest.fixture(scope="module")
def dicom_server(dicom_app):
    """The same, served over HTTP on a free port."""
    with running(dicom_app) as client:
        yield client


@pytest.fixture
def dicom(dicom_app, dicom_server):
    """A DICOM service that is empty when the test begins."""
    with emptied(dicom_app):
        yield dicom_server


@pytest.fixture
def stack(tmp_path):
    """A whole stack of the test's own, functions host included; its timer ticks every second."""
    with Stack(StackOptions(Ports.free(), tmp_path, settings={"SyncSchedule": "* * * * * *"})) as running:
        yield running
