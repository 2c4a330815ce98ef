"""The world of the fault tests."""

import re

import pytest

from tests.integration.faults.proxy import origin, proxy_to
from tests.integration.faults.world import World


@pytest.fixture
def world(dicom, fhir_url, storage):
    table_url = re.search(r"TableEndpoint=(http://[^/]+)", storage)[1]
    blob_url = re.search(r"BlobEndpoint=(http://[^/]+)", storage)[1]
    with (
        proxy_to(dicom.url) as feed,
        proxy_to(origin(fhir_url)) as fhir,
        proxy_to(table_url) as tables,
        proxy_to(blob_url) as blobs,
    ):
        yield World(dicom, feed, fhir, tables, blobs, storage, fhir_url)
