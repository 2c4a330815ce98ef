"""The real parts that integration tests run on; each is started once, when a test first asks for it."""

from collections import Counter

import pytest
from hypothesis import settings

from local.dicom_service.app import create_app
from local.stack import PortNumbers, Stack, StackOptions
from tests.integration.dicom_service_client import emptied, running
from tests.servers.server import NEEDS, missing, started

settings.register_profile("house", deadline=None)  # machines are noisy: what a thing costs is a benchmark's to say
settings.load_profile("house")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """pytest-xdist takes tests of one id for one test, and would not run the others."""
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise pytest.UsageError(f"several tests are named {', '.join(twice)}")


def pytest_addoption(parser):
    parser.addoption(
        "--fhir-server",
        default="local",
        help=f"the FHIR server that the tests run on: local, {', '.join(NEEDS)}, or the base URL of one that runs already",
    )
    parser.addoption(
        "--fhir-server-needed", action="store_true", help="a FHIR server that cannot be started here fails the tests"
    )


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests that rest on manners which the FHIR server has not."""
    name = config.getoption("--fhir-server")
    left_out = [item for item in items if any(name in mark.args for mark in item.iter_markers("not_on"))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def other_fhir_url(request, tmp_path_factory):
    """The base URL of the FHIR server that `--fhir-server` names; None for the local one."""
    name = request.config.getoption("--fhir-server")
    if name not in NEEDS:
        yield None if name == "local" else name.rstrip("/")
        return
    if (programs := missing(name)) and not request.config.getoption("--fhir-server-needed"):
        pytest.skip(f"no {', no '.join(programs)} here: {name} is left out")
    with started(name, tmp_path_factory.mktemp(name) / "log") as url:
        yield url


@pytest.fixture(scope="session")
def backends(tmp_path_factory, other_fhir_url):
    """Azurite and the FHIR server. Tests keep apart by table prefixes, patients and UIDs of their own."""
    stack = Stack(StackOptions(PortNumbers.free(), tmp_path_factory.mktemp("stack"), fhir_url=other_fhir_url))
    try:
        stack.start("azurite", *([] if other_fhir_url else ["fhir"]))
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
    with Stack(StackOptions(PortNumbers.free(), tmp_path, settings={"SyncSchedule": "* * * * * *"})) as running:
        yield running
