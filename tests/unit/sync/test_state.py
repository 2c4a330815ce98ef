"""One state, and a sentence that is true at night: from what the ticks and the systems say."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable, OpenErrors
from shared.model.journal import Journal
from shared.model.lease import LeaseState
from shared.model.outcome import BatchResult, Lag, Outcome, TickRecord
from shared.model.watermark import Watermark
from shared.sync.batch import BatchOptions
from shared.sync.status.outages import OutageLog
from shared.sync.status.snapshot import Snapshot, State
from shared.sync.status.state import is_healthy, state_of
from shared.sync.status.status import status
from shared.sync.tick import tick
from shared.web.as_json import status_json
from tests.fakes import NOW, FakeFhir, FakeLease, entry, ports

OUTAGE = "OutageError: FHIR server: https://f is not reachable"
REFUSED = "FHIR server: https://f is not reachable"
SILENT = "FHIR server: no answer within 1.7 s"
TORN = "FeedError: https://d/v1/changefeed: entry 7 cannot be read"
BEHIND = Lag(350, 60.0)
STILL = "no progress in 5 ticks though the change feed goes on: a gap"
FREE, HELD = LeaseState(held=False, since=None), LeaseState(held=True, since=NOW - timedelta(seconds=92))
FOR_EVER = LeaseState(held=True, since=None, is_infinite=True)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def synced(seconds, *, written=3, failed=0, carried=0, lag=0, held=None, studies=3, unread=0):
    """A tick that began so long ago, and took a second; what it carried is of so many studies."""
    counts = {"entries": written + failed + carried, "written": written, "failed": failed, "carried": carried}
    waits = {"waiting": carried, "waiting_studies": studies, "read_through": Watermark(9 + lag - unread)}
    result = BatchResult(Outcome.SYNCED, Watermark(9), held_by=held, **counts, **waits)
    return TickRecord(ago(seconds), 1.0, Outcome.SYNCED, result, lag=Lag(lag, 60.0))


def idle(seconds, lag=0):
    return TickRecord(ago(seconds), 1.0, Outcome.IDLE, BatchResult(Outcome.IDLE, Watermark(9)), lag=Lag(lag, 60.0))


def failed(seconds, error=OUTAGE, system="FHIR server", lag=BEHIND):
    return TickRecord(ago(seconds), 1.0, Outcome.FAILED, None, error, lag, system)


def stopped(seconds):
    return TickRecord(ago(seconds), 1.0, Outcome.STOPPED, error="LeaseLostError: lost")


def still(seconds):
    return replace(idle(seconds, lag=40), outcome=Outcome.STANDSTILL, error=STILL)


def journal_of(*ticks):
    journal = Journal()
    for one in ticks:
        journal = journal.with_tick(one)
    return journal


def open_rows(table, count=2):
    return OpenErrors({table: count}, ())


# what the journal, the lag, the lease and the systems say -> state, since, words of the reason, words of the action
# fmt: off
STATES = {
    "no tick yet":                   ([], {}, State.NEVER_RAN, None, "no tick has run yet", "SyncSchedule"),
    "no tick yet, and no FHIR":      ([], {"down": {"FHIR server": REFUSED}}, State.NEVER_RAN, None, REFUSED, "SyncSchedule"),
    "the first tick":                ([], {"lease": HELD, "lag": Lag(1200, 9.0)}, State.SYNCING, ago(92), "the first tick is at work for 1 min 32 s; 1,200 entries wait", None),
    "all is done":                   ([synced(120), idle(60)], {"lag": Lag(0, 0.0)}, State.CAUGHT_UP, ago(119), "all of the change feed", None),
    "nothing ever came":             ([idle(60)], {"lag": Lag(0, 0.0)}, State.CAUGHT_UP, None, "all of the change feed", None),
    "an idle tick at work":          ([idle(60)], {"lag": Lag(0, 0.0), "lease": HELD}, State.CAUGHT_UP, None, "all of the change feed", None),
    "some wait for the next tick":   ([synced(60)], {"lag": Lag(1, 5.0)}, State.SYNCING, None, "the next tick goes on; 1 entry waits", None),
    "a tick at work":                ([synced(60)], {"lag": Lag(800, 5.0), "lease": HELD}, State.SYNCING, ago(92), "a tick is at work for 1 min 32 s; 800 entries wait", None),
    "it tells how far it is":        ([synced(60)], {"lag": Lag(2000, 5.0), "lease": replace(HELD, done=1200, entries=2000)}, State.SYNCING, ago(92), "a tick is at work for 1 min 32 s, 1,200 of 2,000 entries are done; 2,000 entries wait", None),
    "too much arrives, at work":     ([synced(60, lag=5000)], {"lag": Lag(5000, 900.0), "unread": 4000, "lease": replace(HELD, done=9, entries=10)}, State.BEHIND, ago(900), "5,000 entries wait; nothing is lost; a tick is at work for 1 min 32 s, 9 of 10 entries are done", "lag"),
    "a slow server while it works":  ([synced(60)], {"lag": Lag(8, 5.0), "lease": replace(HELD, since=ago(20)), "down": {"FHIR server": SILENT}}, State.SYNCING, ago(20), "at work", None),
    "a slow server, slices written": ([synced(60)], {"lag": Lag(8, 5.0), "lease": HELD, "watermark": Watermark(12), "down": {"FHIR server": SILENT}}, State.SYNCING, ago(92), "at work", None),
    "a frozen server":               ([synced(60)], {"lag": Lag(8, 5.0), "lease": HELD, "watermark": Watermark(9), "down": {"FHIR server": SILENT}}, State.NOT_SYNCING, ago(92), f"{SILENT}; the tick waits for it; 8 entries wait; nothing is lost", "mend it"),
    "frozen for all of the patience": ([synced(60)], {"lag": Lag(8, 5.0), "lease": replace(HELD, since=ago(20)), "standstill_seconds": 10, "down": {"FHIR server": SILENT}}, State.NOT_SYNCING, ago(20), f"{SILENT}; the tick waits for it; 8 entries wait; nothing is lost", "mend it"),
    "DICOM is frozen":               ([idle(60, lag=3)], {"lease": HELD, "down": {"DICOM service": "DICOM service: silent"}}, State.NOT_SYNCING, ago(92), "the tick waits for it; 3 entries waited when the last tick ended; nothing is lost", "mend it"),
    "DICOM is frozen, an idle feed": ([idle(60)], {"lease": HELD, "down": {"DICOM service": "DICOM service: silent"}}, State.NOT_SYNCING, ago(92), "the tick waits for it; no entry waited when the last tick ended; nothing is lost", "mend it"),
    "FHIR is down":                  ([synced(600), failed(120), failed(60)], {"lag": Lag(351, 5.0)}, State.NOT_SYNCING, ago(120), f"{REFUSED}; 351 entries wait; nothing is lost", "goes on by itself"),
    "FHIR is down, DICOM unknown":   ([failed(60, lag=None)], {}, State.NOT_SYNCING, ago(60), "how many entries wait is not known; nothing is lost", "mend it"),
    "FHIR is down, an idle feed":    ([idle(120), failed(60, lag=Lag(0, 0.0))], {"lag": Lag(0, 0.0)}, State.NOT_SYNCING, ago(60), f"{REFUSED}; no entry waits; nothing is lost", "mend it"),
    "it is back, no tick since":     ([failed(60)], {"lease": HELD}, State.NOT_SYNCING, ago(60), REFUSED, "mend it"),
    "it is back":                    ([failed(120), synced(60)], {"lag": Lag(0, 0.0)}, State.CAUGHT_UP, ago(59), "all of the change feed", None),
    "down, and another host took it": ([failed(120), stopped(60)], {}, State.NOT_SYNCING, ago(120), REFUSED, "mend it"),
    "another host took it":          ([synced(120), stopped(60)], {"lag": Lag(0, 0.0)}, State.CAUGHT_UP, ago(119), "all of the change feed", None),
    "the feed cannot be read":       ([failed(60, TORN, "DICOM service")], {}, State.NOT_SYNCING, ago(60), f"{TORN}; 350 entries wait", "mend it"),
    "nobody foresaw it":             ([failed(60, "UnforeseenTickError: KeyError", None)], {}, State.NOT_SYNCING, ago(60), "UnforeseenTickError: KeyError", "First look"),
    "the watermark's row":           ([failed(60, "WatermarkError: SyncedSequence", "storage")], {}, State.NOT_SYNCING, ago(60), "WatermarkError", "AzureWebJobsStorage"),
    "storage is down":               (None, {"down": {"storage": "storage: 403"}, "lag": None}, State.NOT_SYNCING, None, "storage: 403; how many entries wait is not known; nothing is lost", "AzureWebJobsStorage"),
    "an infinite lease":             ([synced(60)], {"lease": FOR_EVER, "down": {"storage": "storage: the lease is infinite"}}, State.NOT_SYNCING, ago(59), "infinite", "A lease that never ends"),
    "the timer does not fire":       ([synced(900)], {"lag": Lag(7, 800.0)}, State.NOT_SYNCING, ago(899), "no tick has run since; 7 entries wait; nothing is lost", "A timer that does not fire"),
    "a tick that does not end":      ([synced(900)], {"lag": Lag(7, 5.0), "lease": replace(HELD, since=ago(800))}, State.NOT_SYNCING, ago(800), "has not ended", "restart"),
    "a long tick that writes":       ([synced(900)], {"lag": Lag(7, 5.0), "lease": replace(HELD, since=ago(800)), "watermark": Watermark(12)}, State.SYNCING, ago(800), "at work", None),
    "a standstill":                  ([idle(400, 40), still(60)], {"lag": Lag(40, 900.0)}, State.BEHIND, ago(400), STILL, "The sync stands still"),
    "nothing is written":            ([synced(400, written=0, carried=9, lag=9), synced(60, written=0, carried=9, lag=9)], {"lag": Lag(9, 400.0), "carried": 9}, State.BEHIND, ago(400), "nothing was written to FHIR; 9 entries wait", "GET /api/check"),
    "one sick study in a quiet feed": ([synced(400, written=0, carried=9, lag=9, studies=1), synced(60, written=0, carried=9, lag=9, studies=1)], {"lag": Lag(9, 400.0), "unread": 0, "carried": 9, "carried_since": ago(400)}, State.DEGRADED, ago(400), "9 entries of studies with a transient fault wait", "by themselves"),
    "nothing is written for a while": ([synced(200, written=0, lag=9, held="a gap", unread=9)], {"lag": Lag(9, 200.0)}, State.SYNCING, None, "9 entries wait", None),
    "too much arrives":              ([synced(60, lag=5000)], {"lag": Lag(5000, 900.0), "unread": 4000}, State.BEHIND, ago(900), "more arrives than is written; 5,000 entries wait", "lag"),
    "carried alone are old":         ([synced(60, carried=2, lag=2)], {"lag": Lag(2, 900.0), "unread": 0, "carried": 2, "carried_since": ago(900)}, State.DEGRADED, ago(900), "2 entries of studies with a transient fault wait", "by themselves"),
    "DICOM is down, no tick saw it": ([idle(30)], {"down": {"DICOM service": "DICOM service: 503"}}, State.DEGRADED, None, "DICOM service: 503; the last tick ended well", "mend it"),
    "FHIR is frozen, an idle feed":  ([idle(60)], {"lag": Lag(0, 0.0), "lease": replace(HELD, since=ago(20)), "down": {"FHIR server": SILENT}}, State.DEGRADED, None, f"{SILENT}; no entry waits; the last tick ended well, the one at work tells", "mend it"),
    "rows arrive":                   ([synced(900, failed=2), synced(300, failed=1), synced(60)], {"errors": open_rows(ErrorTable.DICOM)}, State.DEGRADED, ago(900), "3 entries could not be synced lately, each with a row; 2 open rows are of entries that were not synced", "The tables"),
    "rows are resolved":             ([synced(300, failed=1), synced(60)], {"errors": OpenErrors({ErrorTable.DICOM: 0}, ())}, State.CAUGHT_UP, ago(59), "all of the change feed", None),
    "rows are old":                  ([synced(9000, failed=1), synced(60)], {"errors": open_rows(ErrorTable.DICOM, 525)}, State.CAUGHT_UP, ago(59), "or in an error table; 525 open rows are of entries that were not synced", "The tables"),
    "one row is old":                ([synced(9000, failed=1), synced(60)], {"errors": open_rows(ErrorTable.FHIR, 1)}, State.CAUGHT_UP, ago(59), "; 1 open row is of an entry that was not synced", "The tables"),
    "very many rows are old":        ([synced(60)], {"errors": open_rows(ErrorTable.TRANSIENT_FAILURE, 1000)}, State.CAUGHT_UP, ago(59), "; 1,000 or more open rows are of entries", "The tables"),
    "old rows, and work":            ([synced(60)], {"lag": Lag(1, 5.0), "errors": open_rows(ErrorTable.DICOM)}, State.SYNCING, None, "1 entry waits; 2 open rows are of entries that were not synced", "The tables"),
    "tags were left out":            ([synced(60)], {"errors": open_rows(ErrorTable.INVALID_TAG)}, State.CAUGHT_UP, ago(59), "all of the change feed", None),
}
# fmt: on


@pytest.mark.parametrize(("ticks", "said", "state", "since", "reason", "action"), STATES.values(), ids=STATES.keys())
def test_the_state(ticks, said, state, since, reason, action):
    """The worst comes first; since when, how many entries wait, that nothing is lost, and what to do."""
    journal = None if ticks is None else journal_of(*ticks)
    found = state_of(Snapshot(**({"now": NOW, "journal": journal, "lease": FREE} | said)))
    assert (found.state, found.since) == (state, since), found
    assert reason in found.reason
    assert (action in found.action) if action else found.action is None, found


@pytest.mark.parametrize(("ticks", "healthy"), [
    ([], False),
    ([synced(60)], True),
    ([synced(60), failed(30)], True),
    ([synced(400), failed(30)], False),
    ([synced(60, lag=9000)], True),
    ([synced(200, written=0, carried=9, lag=9), synced(30, written=0, carried=9, lag=9)], True),
    ([synced(400, written=0, carried=9, lag=9), synced(30, written=0, carried=9, lag=9)], False),
    ([synced(400, written=0, carried=9, lag=9), synced(30, carried=8, lag=9)], True),
    ([synced(400, written=0, carried=9, lag=9), idle(30)], True),
    ([failed(400), synced(30, written=0, carried=350, lag=350)], False),
    ([synced(400, written=0, carried=9, lag=9, studies=1), synced(30, written=0, carried=9, lag=9, studies=2)], True),
    ([synced(400, written=0, carried=9, lag=9, studies=1, unread=1), synced(30, written=0, carried=9, lag=9, studies=1, unread=1)], False),
    ([failed(400), synced(30, written=0, carried=9, lag=9, studies=1)], True),
], ids=str)  # fmt: skip
def test_health_follows_what_is_written(ticks, healthy):
    """Not healthy: no tick has ended well for long, or none has written anything for long while entries wait.

    One or two studies that fail by themselves are no entries that wait: three, or what was not read yet, are.
    """
    patience = timedelta(seconds=300)
    assert is_healthy(journal_of(*ticks), NOW, patience, patience) is healthy


class NoFhir(FakeFhir):
    def ensure_answers(self):
        raise OutageError("FHIR server", "https://f is not reachable")


def test_an_idle_feed_with_fhir_down_says_so():
    """The tick asks the FHIR server though it has nothing to write: else all were well until the next study comes."""
    fakes = ports(fhir=NoFhir(), lease=FakeLease())
    record = tick(fakes, BatchOptions(MappingOptions("https://dicom.example.org"), size=100), OutageLog(fakes.now))
    assert (record.outcome, record.system) == (Outcome.FAILED, "FHIR server")
    found = status_json(status(fakes, "1", {}))
    assert (found["state"], found["since"]) == ("not syncing", record.started.isoformat())
    assert found["reason"] == "FHIR server: https://f is not reachable; no entry waits; nothing is lost"
    assert "GET /api/check" in found["action"]


def test_a_tick_that_has_work_does_not_ask_besides():
    """What is written is proof enough."""
    fakes = ports([entry(1)], fhir=NoFhir())
    record = tick(fakes, BatchOptions(MappingOptions("https://dicom.example.org"), size=100), OutageLog(fakes.now))
    assert record.outcome is Outcome.SYNCED
