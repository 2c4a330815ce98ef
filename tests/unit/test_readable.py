"""The terminal of `make run`: a line for a person, of the app's own lines for queries."""

import logging

import pytest

from local.functions_host.readable import ReadableFilter, ReadableFormatter
from shared.model.outcome import BatchResult, Lag, Outcome, TickRecord
from shared.model.watermark import Watermark
from shared.process.log_lines import log_line
from shared.sync import tick
from shared.sync.status.snapshot import State, SyncState
from tests.fakes import NOW

RESULT = BatchResult(Outcome.SYNCED, Watermark(9), entries=1350, studies=70, written=1348, failed=2)


class Terminal(logging.Handler):
    """What is to be read there, without the time; `seconds` is the clock."""

    def __init__(self):
        super().__init__()
        self.seconds, self.lines = 0.0, []
        self.addFilter(ReadableFilter(lambda: self.seconds))
        self.setFormatter(ReadableFormatter())

    def emit(self, record):
        self.lines.append(self.format(record).partition(" ")[2])


@pytest.fixture
def terminal():
    made, root = Terminal(), logging.getLogger()
    level = root.level
    root.addHandler(made)
    root.setLevel(logging.INFO)
    yield made
    root.setLevel(level)
    root.removeHandler(made)


def told(outcome, result=None, error=None, lag=None):
    """The app's own line of a tick."""
    state = None if outcome is Outcome.LEASE_HELD else SyncState(State.SYNCING, NOW, "a tick is at work")
    tick._log(TickRecord(NOW, 0.42, outcome, result, error, lag), state)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            (Outcome.SYNCED, RESULT, None, Lag(0, 0.0)),
            "synced 1,350 entries of 70 studies, 2 failed, 0 behind, 0.4 s",
        ),
        (
            (
                Outcome.SYNCED,
                BatchResult(Outcome.SYNCED, Watermark(9), entries=4, studies=1, unchanged=1, carried=3),
                None,
                None,
            ),
            "synced 1 entry of 1 study, 0 failed, 3 wait for another try, how far behind is not known, 0.4 s",
        ),
        (
            (Outcome.SYNCED, BatchResult(Outcome.SYNCED, Watermark(9), entries=1, carried=1), None, Lag(1, 1.0)),
            "synced 0 entries of 0 studies, 0 failed, 1 waits for another try, 1 behind, 0.4 s",
        ),
        (
            (Outcome.IDLE, BatchResult(Outcome.IDLE, Watermark(9)), None, Lag(0, 0.0)),
            "nothing new in the change feed, 0 behind",
        ),
        ((Outcome.LEASE_HELD,), "another host syncs: it has the lease"),
        ((Outcome.FAILED, None, "OutageError: FHIR", Lag(7, 1.0)), "failed: OutageError: FHIR, 7 behind"),
        ((Outcome.STANDSTILL, RESULT, "no progress", Lag(7, 1.0)), "standstill: no progress, 7 behind"),
        ((Outcome.STOPPED, None, None, None), "stopped: no reason is known, how far behind is not known"),
    ],
)
def test_a_tick_is_a_sentence(terminal, record, line):
    """Of what the app itself logs, so that a line which changes is seen here."""
    told(*record)
    assert terminal.lines == [line]


def test_what_is_for_queries_is_said_in_words(terminal):
    """What the text says already is left out; what to do ends the line; where something was raised, that follows."""
    log = logging.getLogger("shared.x")
    log_line(log, logging.ERROR, "state not syncing: no FHIR", State="not syncing", Action="mend it")
    log_line(log, logging.INFO, "state caught up: all is done", State="caught up", Action=None)
    log_line(log, logging.INFO, "study viewed", StudyInstanceUID="1.2", Partition=None)
    log.warning('50%% of {it} {"%s', "it}")
    log.error("fell", exc_info=ValueError())
    assert terminal.lines[:4] == [
        "ERROR state not syncing: no FHIR. What to do: mend it",
        "INFO state caught up: all is done",
        "INFO study viewed (StudyInstanceUID 1.2)",
        'WARNING 50% of {it} {"it}',
    ]
    assert terminal.lines[4].startswith("ERROR fell\nValueError")


def test_the_time_stands_before_it(terminal):
    """Of the day, to the second."""
    terminal.setFormatter(formatter := ReadableFormatter())
    record = logging.makeLogRecord({"name": "shared.sync.tick", "Outcome": "leaseHeld", "created": 0})
    assert formatter.format(record)[2:9:3] == ":: "


def test_a_heartbeat_once_a_minute(terminal):
    """Ticks that do nothing, or fail as before, are told once a minute; one that does something always, and what is new."""
    idle, failed = (Outcome.IDLE, RESULT, None, Lag(0, 0.0)), (Outcome.FAILED, None, "OutageError: FHIR")
    rows = [
        (0, idle, True),
        (10, idle, False),
        (59, idle, False),
        (60, idle, True),
        (70, failed, True),
        (80, failed, False),
        (90, (Outcome.FAILED, None, "OutageError: DICOM"), True),
        (100, idle, True),
        (101, (Outcome.SYNCED, RESULT), True),
        (102, (Outcome.SYNCED, RESULT), True),
        (103, idle, True),
    ]
    seen = []
    for seconds, record, _ in rows:
        terminal.seconds, before = seconds, len(terminal.lines)
        told(*record)
        seen.append((seconds, record, len(terminal.lines) > before))
    assert seen == rows


def test_calls_are_not_told_but_what_they_raise_is(terminal):
    """The page asks for the status every few seconds."""
    host = logging.getLogger("host")
    host.info("Executing 'Functions.status'")
    host.error("'Functions.status' raised")
    logging.getLogger("shared.x").warning("something else")
    assert terminal.lines == ["ERROR 'Functions.status' raised", "WARNING something else"]


def test_other_handlers_get_the_line_as_it_is(terminal, caplog):
    """Alerts, the workbook and the runbook read it."""
    told(Outcome.IDLE, RESULT)
    told(Outcome.IDLE, RESULT)
    assert [record.getMessage().startswith('tick idle {"Outcome":"idle"') for record in caplog.records] == [True, True]
