"""HTTP: what is said of it, and what must not be seen."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from shared.clients.http import HttpService
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


def test_as_many_connections_are_kept_as_there_may_be_lanes():
    """A lane that must connect anew for each request pays for TLS each time, and a server runs out of ports."""
    lanes, ports = 64, []
    together = asyncio.Barrier(lanes)

    async def of(request):
        await asyncio.wait_for(together.wait(), 20)  # all requests of a round are under way at once
        ports.append(request.client.port)
        return Response()

    with running(Starlette(routes=[Route("/", of)])) as server, ThreadPoolExecutor(lanes) as pool:
        service = HttpService("FHIR server", server.url)
        for _ in range(2):
            list(pool.map(lambda _: service.fetch("/"), range(lanes)))
    assert len(set(ports)) == lanes, "the second round came over other connections"


def test_the_quickest_answer_is_known():
    """Seconds with the body, whatever came later; 0 before the first."""
    waits = [0.3, 0.05, 0.2]

    def slow(_):
        time.sleep(waits.pop(0))
        return Response()

    with running(Starlette(routes=[Route("/", slow)])) as server:
        service = HttpService("FHIR server", server.url)
        assert service.quickest == 0.0
        seen = [service.quickest for _ in range(3) if service.fetch("/")]
    assert seen[0] >= 0.3
    assert 0.05 <= seen[1] < 0.3
    assert seen[2] == seen[1]
