"""HTTP: what is said of it, and what must not be seen."""

import logging
import time
from datetime import UTC, datetime

import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from shared.clients.http import Answer, HttpService, retry_after_seconds, served_at
from shared.errors import OutageError
from tests.integration.dicom_service_client import running


def test_no_url_is_logged(caplog):
    """A search's URL holds a PatientID; the worker's PYTHON_ENABLE_DEBUG_LOGGING lets every logger speak."""
    with running(Starlette()) as server, caplog.at_level(logging.DEBUG):
        answer = HttpService("FHIR server", server.url).send("GET", "/Patient", params={"identifier": "|P-1"})
    assert answer.status_code == requests.codes.not_found
    assert "P-1" not in caplog.text


def test_the_system_is_named_once():
    """Where a passing fault of a request is an outage too."""

    def slow(_):
        time.sleep(0.5)
        return Response()

    with running(Starlette(routes=[Route("/", slow)])) as server:
        service = HttpService("DICOM service", server.url, timeouts=(5, 0.1))
        with pytest.raises(OutageError) as caught:
            service.fetch("/")
    assert str(caught.value) == f"DICOM service: no answer from {server.url} in 0.1 s"


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 06 May 2024 07:08:09 GMT",
        "Mon, 06 May 2024 07:08:09 -0000",
        "Mon, 06 May 2024 07:08:09 GMT, Mon, 06 May 2024 07:08:09 GMT",
    ],
)
def test_a_date_is_utc_however_it_is_sent(text):
    """RFC 9110, 5.6.7; a proxy may give the header a second time. What it says is compared with clocks that know a zone."""
    answer = Answer(200, {"Date": text}, b"")
    assert served_at(answer) == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    late = Answer(503, {"Retry-After": text}, b"")
    assert retry_after_seconds(late) == 0
