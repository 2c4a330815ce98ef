"""A bulkhead around each study: what nobody foresaw becomes its row, an ERROR line and no more."""

import logging
from datetime import timedelta

import pytest

from shared.errors import DicomCastError, OutageError, UnforeseenError
from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable
from shared.model.outcome import Outcome
from shared.model.replay import ReplayRequest, ReplayState, SequenceRange, StudyRebuild
from shared.sync.batch import BatchOptions, run_slice
from shared.sync.bulkhead import Bulkhead
from shared.sync.read.read_ahead import ReadAhead
from shared.sync.status.outages import OutageLog
from shared.sync.tick import tick
from tests.dose_reports import ct, ct_event
from tests.fakes import FakeArchive, FakeFeed, FakeFhir, FakeWatermarks, entry, ports, report_entry

OPTIONS = BatchOptions(MappingOptions("https://d", generate_observations=True), size=100)
SECRET = "Nightingale^Florence"


class Falling(FakeFhir):
    """Answers of some studies and patients are not what anybody foresaw; `on`: search or transaction."""

    def __init__(self, bad, on):
        super().__init__()
        self.bad, self.on = bad, on

    def found(self, resource_type, query):
        if self.on == "search" and any(f"oid%3A{uid}" in query and not query.endswith("0") for uid in self.bad):
            raise KeyError(SECRET)
        return super().found(resource_type, query)

    def transact(self, bundle):
        if self.on == "transaction" and any(f'"urn:oid:{uid}"' in str(bundle).replace("'", '"') for uid in self.bad):
            raise TypeError(SECRET)
        return super().transact(bundle)


def feed(count):
    return [entry(n, study=f"1.{n}9", instance=f"1.2.{n}", t00100020=f"P-{n}") for n in range(1, count + 1)]


def studies(fakes):
    return {one["identifier"][0]["value"] for one in fakes.fhir.resources if one["resourceType"] == "ImagingStudy"}


def run(fakes):
    return run_slice(fakes, OPTIONS, fakes.now() + timedelta(hours=1))[0]


@pytest.mark.parametrize(("on", "name"), [("search", "KeyError"), ("transaction", "TypeError")])
@pytest.mark.parametrize("bad", [3, 1, 6])
def test_one_study_falls_alone(on, name, bad, caplog):
    """The others are written, the watermark passes; the row and the log name the exception's class, never its text."""
    fakes = ports(feed(6), fhir=Falling([f"1.{bad}9"], on))
    result = run(fakes)
    assert (len(studies(fakes)), result.failed, fakes.watermarks.watermark.sequence) == (5, 1, 6)
    (row,) = fakes.errors.rows
    assert (row.table, row.exception, row.sequence) == (ErrorTable.FHIR, name, bad)
    (line,) = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert "test_bulkhead.py" in line.getMessage()
    assert SECRET not in caplog.text + row.message


def test_an_entry_whose_mapping_falls_falls_alone(caplog):
    """In DicomFailToStoreExceptionTable; the others of its study are written."""

    class Odd(FakeArchive):
        def metadata(self, entry):
            raise ZeroDivisionError(SECRET)

    report = ct(ct_event(1))
    del report["0040A730"]  # its content is asked for
    bad = report_entry(report, 2)
    first = entry(1, study=bad.study_instance_uid, instance="1.2.1", t00100020=report["00100020"]["Value"][0])
    fakes = ports([first, bad], archive=Odd())
    assert run(fakes).failed == 1
    (row,) = fakes.errors.rows
    assert (row.table, row.exception, row.sequence) == (ErrorTable.DICOM, "ZeroDivisionError", 2)
    assert (len(studies(fakes)), SECRET in caplog.text) == (1, False)


def test_the_entry_to_blame_is_narrowed_down():
    """Within a study, as for a refusal."""

    class OneInstance(FakeFhir):
        def transact(self, bundle):
            if "1.2.93'" in str(bundle):
                raise KeyError(SECRET)
            return super().transact(bundle)

    fakes = ports([entry(n, instance=f"1.2.9{n}") for n in range(1, 6)], fhir=OneInstance())
    assert run(fakes).failed == 1
    assert [row.sequence for row in fakes.errors.rows] == [3]


def test_a_bad_release_makes_no_rows():
    """The same falls on study after study and none succeeds: the feed holds, as in an outage; then it goes on."""
    fhir = Falling([f"1.{n}9" for n in range(1, 9)], "transaction")
    fakes = ports(feed(8), fhir=fhir)
    with pytest.raises(OutageError, match=r"TypeError.*3 studies fell"):
        run(fakes)
    assert (fakes.errors.rows, fakes.watermarks.watermark.sequence) == ([], 0)
    fhir.bad = []
    assert (run(fakes).written, fakes.watermarks.watermark.sequence) == (8, 8)


def test_few_odd_studies_in_a_quiet_feed_get_their_rows():
    """Nothing stops the feed."""
    fakes = ports(feed(2), fhir=Falling(["1.19", "1.29"], "transaction"))
    assert run(fakes).failed == 2
    assert (len(fakes.errors.rows), fakes.watermarks.watermark.sequence) == (2, 2)


@pytest.mark.parametrize("error", [MemoryError(), OutageError("storage", "down")])
def test_what_is_not_the_studys_goes_on_up(error):
    """No row, no line."""
    with pytest.raises(type(error)), Bulkhead():
        raise error


def test_a_replay_that_falls_fails_alone(caplog):
    """The next one is done."""

    class Odd(FakeArchive):
        def instances(self, *where):
            raise KeyError(SECRET)

    fakes = ports(feed(2), archive=Odd())
    first = fakes.replays.create(ReplayRequest(StudyRebuild("1.19")))
    second = fakes.replays.create(ReplayRequest(SequenceRange(1, 2)))
    tick(fakes, OPTIONS, OutageLog(fakes.now))
    assert fakes.replays.read(first.id).state is ReplayState.FAILED
    assert "KeyError" in fakes.replays.read(first.id).errors[0].message
    assert fakes.replays.read(second.id).state is ReplayState.DONE
    assert SECRET not in caplog.text


def test_a_tick_that_falls_says_so_and_frees_the_lease(caplog):
    """`lastTick` tells it; the next tick tries again."""

    class Odd(FakeWatermarks):
        def read(self):
            raise KeyError(SECRET)

    fakes = ports(feed(2), watermarks=Odd())
    record = tick(fakes, OPTIONS, OutageLog(fakes.now))
    assert record.outcome is Outcome.FAILED
    assert "KeyError" in record.error
    assert fakes.lease.released
    assert fakes.journal.record.error == record.error
    assert SECRET not in caplog.text + record.error


def test_the_reader_that_falls_is_told_where_the_page_is_waited_for():
    """It would else be waited for, for ever."""

    class Odd(FakeFeed):
        def pages(self, after, at_once=1):
            raise KeyError(SECRET)
            yield

    with ReadAhead(Odd(feed(2))) as ahead, pytest.raises(KeyError):
        next(iter(ahead.pages(FakeWatermarks().watermark)))


def test_an_error_that_the_app_raises_knowingly_keeps_its_name():
    """Only what nobody foresaw is renamed."""
    with pytest.raises(UnforeseenError, match="ValueError"), Bulkhead():
        raise ValueError(SECRET)
    with pytest.raises(DicomCastError, match="down"), Bulkhead():
        raise OutageError("x", "down")
