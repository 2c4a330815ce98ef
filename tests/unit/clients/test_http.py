"""HTTP: what must not be seen of it."""

import logging

import requests
from starlette.applications import Starlette

from shared.clients.http import HttpService
from tests.integration.dicom_service_client import running


def test_no_url_is_logged(caplog):
    """A search's URL holds a PatientID; the worker's PYTHON_ENABLE_DEBUG_LOGGING lets every logger speak."""
    with running(Starlette()) as server, caplog.at_level(logging.DEBUG):
        answer = HttpService("FHIR server", server.url).send("GET", "/Patient", params={"identifier": "|P-1"})
    assert answer.status_code == requests.codes.not_found
    assert "P-1" not in caplog.text
