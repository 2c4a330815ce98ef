"""A tick, and a status, whose systems do not answer: real clients, real sockets, storage and feed of fakes."""

import threading
import time

import pytest

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.mapping.mapping_options import MappingOptions
from shared.model.outcome import Outcome
from shared.process.deadline import Deadline, ThreadDeadline
from shared.sync import tick as tick_module
from shared.sync.batch import BatchOptions
from shared.sync.queue.concurrency import ConcurrencyLimit
from shared.sync.status.outages import OutageLog
from shared.sync.status.status import status
from shared.sync.status.watch import UnderWay
from shared.sync.tick import tick
from tests.fakes import entry, ports
from tests.raw_server import HEAD, dripping, raw_server, silent, whole

STATEMENT = b'{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","interaction":[{"code":"transaction"}]}]}'
STUDIES = 400
PATIENCE = 0.3
"""Seconds to connect, and to wait for a byte."""


def entries():
    return [entry(n, study=f"1.{n}", instance=f"1.{n}.1", t00100020=f"P-{n}") for n in range(1, STUDIES + 1)]


@pytest.mark.parametrize(
    "script",
    [silent, dripping(HEAD + b"Content-Length: 100000\r\n\r\n"), dripping(HEAD + b"X:")],
    ids=["silent", "body", "headers"],
)
def test_a_tick_whose_fhir_server_answers_nothing(script):
    """It was well when it was checked. 400 studies: an outage is told after a few requests, not one study after another."""
    deadline = Deadline()
    with raw_server(whole(STATEMENT)) as server:
        service = HttpService("FHIR server", server.url, timeouts=(PATIENCE, PATIENCE), deadline=deadline)
        fhir = FhirClient(service)
        fhir.check()
        server.script = script
        fakes = ports(entries(), fhir=fhir, deadline=deadline, concurrency=ConcurrencyLimit(8))
        began = time.monotonic()
        record = tick(fakes, BatchOptions(MappingOptions("https://dicom.example.org"), size=2000), OutageLog(fakes.now))
        took = time.monotonic() - began
    assert record.outcome is Outcome.FAILED
    assert record.error.startswith("OutageError: FHIR server: no ")
    assert fakes.watermarks.watermark.sequence == 0
    assert took < 20 * PATIENCE
    assert server.requests <= 30


def test_the_tick_s_deadline_reaches_the_clients():
    """The budget, and the time of one request more; afterwards there is none."""
    seen = []
    fakes = ports(entries()[:1])
    fakes.fhir.check = lambda: seen.append(fakes.deadline.left)
    tick(fakes, BatchOptions(MappingOptions("https://dicom.example.org"), size=10), OutageLog(fakes.now))
    assert 200 < seen[0] <= 240 + tick_module.REQUEST_SECONDS
    assert fakes.deadline.left == float("inf")


def test_a_study_that_the_time_ran_out_for_is_carried():
    """Another was written: there is no outage to tell, and the watermark stays before it."""
    deadline = Deadline()
    with raw_server(silent) as server:
        service = HttpService("FHIR server", server.url, timeouts=(60, 60), deadline=deadline)
        fakes = ports(entries()[:1], fhir=FhirClient(service))
        fakes.fhir.check = lambda: None
        with deadline.within(PATIENCE):
            record = tick(
                fakes, BatchOptions(MappingOptions("https://dicom.example.org"), size=10), OutageLog(fakes.now)
            )
    assert record.outcome is Outcome.SYNCED
    assert record.result.carried == 1


def test_many_questions_while_a_system_drips():
    """One thread for each, however often the status is asked; they end with the time that they are waited for."""
    deadline, under_way = ThreadDeadline(), UnderWay()
    before = threading.active_count()
    with raw_server(dripping(HEAD + b"Content-Length: 100000\r\n\r\n")) as server:
        service = HttpService("FHIR server", server.url, timeouts=(30, 30), deadline=deadline)
        fakes = ports(entries()[:2], fhir=FhirClient(service), deadline=deadline)
        callers = [threading.Thread(target=lambda: status(fakes, "1", {}, under_way)) for _ in range(10)]
        for one in callers:
            one.start()
        for one in callers:
            one.join()
        assert server.requests <= 2
        found = status(fakes, "1", {}, under_way)
        assert any("FHIR server" in fault for fault in found.faults)
    ends = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < ends:
        time.sleep(0.05)
    assert threading.active_count() <= before
