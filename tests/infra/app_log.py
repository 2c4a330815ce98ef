"""What the app really logs: its lines from ticks that go well, fail, are refused, and find the lease held."""

import http.server
import logging
import threading
from contextlib import contextmanager
from dataclasses import replace

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.errors import FhirRefusedError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.audit import AuditMode
from shared.sync.batch import BatchOptions
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.fakes import FakeFhir, FakeLease, entry, ports
from tests.unit.sync.audited import World, many

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)


def captured():
    """Lines of one tick after the other, by what happened in it."""
    synced = ports([entry(1), entry(2, study="1.3", t00100020=None), entry(3, study="1.4", t00100040="Z")])
    with _refusing() as refusing:
        return {
            "synced": _lines(synced),
            "idle": _lines(synced),
            "fhir failed": _lines(ports([entry(1)], fhir=FakeFhir(faults=[FhirRefusedError("422: code invalid")] * 9))),
            "carried": _lines(ports([entry(1)], fhir=FakeFhir(faults=[TransientError("429")] * 99))),
            "refused": _lines(ports([entry(1)], fhir=refusing)),
            "outage": _lines(ports([entry(1)], fhir=FakeFhir(faults=[OutageError("storage", "none")]))),
            "held": _lines(ports(lease=FakeLease(free=False))),
            **_days(),
            **_rounds(),
        }


def _days():
    """Lines of a FHIR server that is down for ten minutes, and of ten minutes in which FHIR takes no study."""
    down, refused = FakeFhir(faults=[OutageError("FHIR server", "https://f is not reachable")] * 9), FakeFhir()
    refused.faults = [TransientError("status 500", status=500)] * 999
    out = ports([entry(1)], fhir=down)
    stuck = ports([entry(n, study=f"1.{n}", t00100020=f"P{n}") for n in (1, 2, 3)], fhir=refused)
    return {
        "down": [line for _ in range(3) for line in _lines(out, seconds=250)],
        "behind": [line for _ in range(3) for line in _lines(stuck, seconds=400)],
    }


def _rounds():
    """Lines of the audit: one that finds all as it should be, then one of an archive that was emptied, twice."""
    world = World(*many(3))
    fine = _heard(world.audit)
    world.archive.studies.clear()
    healing = replace(world.options, audit=replace(world.options.audit, mode=AuditMode.HEAL, delete_after_seconds=0))
    world.options = healing
    return {"audit": fine, "audit stopped": _heard(lambda: [world.audit(), world.later(hours=1), world.audit()])}


def _lines(fakes, seconds=0):
    """Of one tick, so many seconds later."""
    fakes.sleep(seconds)
    return _heard(lambda: tick(fakes, OPTIONS, OutageLog(fakes.now)))


def _heard(work):
    """What is logged meanwhile."""
    heard = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger = logging.getLogger("shared")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        work()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return heard


@contextmanager
def _refusing():
    """The app's own client of a FHIR server that answers 403."""

    class Refusal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield FhirClient(HttpService("FHIR server", f"http://127.0.0.1:{server.server_port}/fhir"))
        server.shutdown()
