"""Where the sync stands: every system is asked, and what is down is named."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable
from shared.model.journal import Journal
from shared.model.lease import LeaseState
from shared.model.outcome import BatchResult, Outcome, TickRecord
from shared.model.watermark import Watermark
from shared.sync.batch import BatchOptions
from shared.sync.status.outages import OutageLog
from shared.sync.status.status import ANSWER_SECONDS, status
from shared.sync.tick import tick
from shared.web.as_json import status_json
from tests.fakes import NOW, FakeFeed, FakeFhir, FakeLease, FakeWatermarks, entry, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)


class Down(FakeFeed):
    def latest(self):
        raise OutageError("DICOM service", "not reachable")


class NoStorage(FakeWatermarks):
    def read(self):
        raise OutageError("storage", "ServiceRequestError")


class NoFhir(FakeFhir):
    def ensure_answers(self):
        raise OutageError("FHIR server", "not reachable")


class Slow(FakeFhir):
    def ensure_answers(self):
        time.sleep(ANSWER_SECONDS + 5)


class TellingLease(FakeLease):
    def state(self):
        since = None if self.free else NOW - timedelta(seconds=92)
        return LeaseState(not self.free, since, done=3, entries=8)


def said(fakes):
    return status_json(status(fakes, "1.2.3", {"A": "b"}))


def test_it_says_where_the_sync_stands():
    """Watermark, latest, lag in entries and seconds, the last ticks, open errors, settings, what the FHIR server does."""
    fakes = ports([entry(1), entry(2, study="1.9", t00100020=None)])
    tick(fakes, OPTIONS, OutageLog(fakes.now))
    fakes.feed.held = [*fakes.feed.held, entry(7, study="1.10")]
    fakes.sleep(90)
    found = said(fakes)
    assert (found["watermark"]["sequence"], found["latest"]["sequence"]) == (2, 7)
    assert found["lag"] == {"entries": 5, "seconds": 90.0}
    last = found["lastTick"]
    assert (last["outcome"], last["entries"], last["written"], last["failed"]) == ("synced", 2, 1, 1)
    assert last["failures"] == {"DicomFailToStoreExceptionTable": 1}
    assert found["ticks"] == [last]
    assert found["errors"]["open"][ErrorTable.DICOM] == 1
    assert found["errors"]["newest"][0]["sequence"] == 2
    assert (found["version"], found["settings"], found["faults"]) == ("1.2.3", {"A": "b"}, [])
    assert found["fhirServer"] == {"software": "fake"}


def test_a_running_tick_is_told():
    """Since when, for how long, and how many entries of its batch are done; nothing once it has ended."""
    lease = TellingLease(free=False)
    fakes = ports([entry(1), entry(2, study="1.9")], lease=lease)
    assert said(fakes)["runningTick"] == {
        "since": "2024-05-06T07:06:37+00:00",
        "seconds": 92.0,
        "done": 3,
        "entries": 8,
    }
    assert said(fakes)["lease"] == {"held": True, "since": "2024-05-06T07:06:37+00:00", "isInfinite": False}
    lease.free = True
    assert said(fakes)["runningTick"] is None
    tick(fakes, OPTIONS, OutageLog(fakes.now))
    assert lease.told[-1] == (2, 2)


@pytest.mark.parametrize(
    ("fakes", "unknown", "known", "fault"),
    [
        ({"feed": Down()}, "latest", "watermark", "DICOM service: not reachable"),
        ({"watermarks": NoStorage()}, "watermark", "latest", "storage: ServiceRequestError"),
        ({"fhir": NoFhir()}, None, "latest", "FHIR server: not reachable"),
        ({"fhir": Slow()}, None, "latest", f"FHIR server: no answer within {ANSWER_SECONDS} s"),
    ],
    ids=["feed", "storage", "FHIR", "slow FHIR"],
)
def test_it_answers_whatever_is_down(fakes, unknown, known, fault):
    """Within its time; each fault once; what does not depend on it is there."""
    began = time.monotonic()
    found = said(ports([entry(1)], **fakes))
    assert time.monotonic() - began < 2.0
    assert found["faults"] == [fault]
    assert unknown is None or found[unknown] is None
    assert "feed" in fakes or found[known] is not None
    assert found["fhirServer"] == {"software": "fake"}, "what was learned is told though the server is down"


def test_throughput_is_of_entries_that_have_ended():
    """In FHIR, or in a row; one that is carried from tick to tick would count each time. A tick that only carries is none.

    Few in a long tick are not 0 to the minute.
    """
    ended = BatchResult(Outcome.SYNCED, Watermark(), entries=10, written=3, unchanged=2, failed=1, carried=4)
    carried = BatchResult(Outcome.SYNCED, Watermark(), entries=4, carried=4)
    journal = Journal()
    for result in (ended, carried):
        journal = journal.with_tick(TickRecord(NOW, 200.0, Outcome.SYNCED, result))
    assert replace(status(ports(), "1", {}), journal=journal).entries_per_second == 0.03
