"""The world of the tests of manners."""

from contextlib import ExitStack

import pytest

from tests.integration.faults.proxy import proxy_to
from tests.integration.manners.proxy import mannered_proxy

pytest.register_assert_rewrite("tests.integration.manners.world")
from tests.integration.manners.world import MannersWorld  # noqa: E402 its asserts are to tell what they saw


@pytest.fixture
def mannered(dicom, fhir_url, storage):
    """Makes the world of a FHIR server with these manners, the outermost first; settings of the app by name."""
    with ExitStack() as stack:

        def make(*manners, **settings):
            fhir = stack.enter_context(mannered_proxy(fhir_url.removesuffix("/fhir"), manners))
            return MannersWorld(dicom, stack.enter_context(proxy_to(dicom.url)), fhir, storage, settings)

        yield make
