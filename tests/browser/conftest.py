"""A whole stack, and the dashboard of its app in a real headless Chromium."""

from contextlib import contextmanager

import pytest

from local.stack import PortNumbers, Stack, StackOptions
from tests.integration.api.conftest import SETTINGS, Api
from tests.integration.faults.proxy import proxy_to


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium takes 3 s to start, so it is started once."""
    from tests.browser.page import chromium  # noqa: PLC0415 selenium is in .venv-browser alone

    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as driver:
        yield driver


@pytest.fixture
def page(browser):
    """A new tab. Whatever a test does, nothing breaks the page's policy and no script fails."""
    from tests.browser.page import Page  # noqa: PLC0415 as above

    page = Page.in_a_new_tab(browser)
    yield page
    assert page.complaints() == []


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """One stack for the tests that begin anywhere: they tell their studies apart by number."""
    with stack_behind_proxies(tmp_path_factory.mktemp("browser")) as api:
        yield api


@pytest.fixture(scope="module")
def fresh_api(tmp_path_factory):
    """A stack that nothing is stored in: a module's first tests have the page that is theirs alone, in this order."""
    with stack_behind_proxies(tmp_path_factory.mktemp("fresh")) as api:
        yield api


@contextmanager
def stack_behind_proxies(directory):
    """`fhir` and `tables` are proxies that faults can be planted in. What the parts hold outlives them."""
    ports = PortNumbers.free()
    fhir_url, tables_url = f"http://127.0.0.1:{ports.fhir}", f"http://127.0.0.1:{ports.table}"
    with proxy_to(fhir_url) as fhir, proxy_to(tables_url) as tables:
        direct = Stack(StackOptions(ports, directory)).storage_connection
        settings = {
            **SETTINGS,
            "AzureWebJobsStorage": direct.replace(tables_url, tables.url),
            "Fhir__Endpoint": f"{fhir.url}/fhir",
            "DicomCast__HealthMaxAge": "00:00:10",
        }
        state = directory / "state"
        state.mkdir()
        with Stack(StackOptions(ports, directory, state, settings=settings)) as stack:
            api = Api(stack)
            api.fhir, api.tables = fhir, tables
            yield api


@pytest.fixture
def board(page, api):
    """The page with the right key, once it shows the status. No fault is left to the next test."""
    page.open(api.stack.functions_url)
    page.enter(api.stack.function_key)
    page.awaited(lambda: page.by_id("now").is_displayed() and page.text("now"))
    yield page
    api.fhir.faults.clear()
    api.tables.faults.clear()
