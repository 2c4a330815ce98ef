"""One study's own fault, a conflict and an outage: told apart by what becomes of the others, never by a status alone."""

import json
from datetime import timedelta

import pytest

from shared.errors import ConflictError, FhirRefusedError, OutageError, ThrottledError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.failures import ErrorTable
from shared.sync.batch import BatchOptions, run_batch
from shared.sync.merge.resource_cache import ResourceCache
from shared.sync.queue.retry import ATTEMPTS_IN_A_TICK
from tests.fakes import FakeClock, FakeErrors, FakeFhir, entry, is_of_endpoint, ports

OPTIONS = BatchOptions(MappingOptions("https://dicom.example.org"), size=100)
BAD = "1.1.3"


class Failing(FakeFhir):
    """Each transaction that speaks of `BAD` is answered with the next of these, the last again and again."""

    def __init__(self, *errors, strikes=BAD):
        super().__init__()
        self.errors, self.strikes, self.failed, self.probes = list(errors), strikes, 0, 0

    def probe(self):
        self.probes += 1

    def transact(self, bundle):
        if not is_of_endpoint(bundle) and f'"{self.strikes}' in json.dumps(bundle):
            self.failed += 1
            raise self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        return super().transact(bundle)


def bad_study(instances=4):
    return [entry(n, study="1.1", instance=f"1.1.{n}", t00100020="P-1") for n in range(1, instances + 1)]


def others(count=2):
    return [entry(10 + n, study=f"1.2.{n}", instance=f"1.2.{n}.1", t00100020=f"Q-{n}") for n in range(count)]


def rows(fakes, table):
    return [row.sequence for row in fakes.errors.rows if row.table is table]


def status(code):
    kind = {409: ConflictError, 412: ConflictError, 429: ThrottledError}.get(code, TransientError)
    return kind(f"status {code}", status=code)


@pytest.mark.parametrize("code", [408, 409, 412, 500])
def test_one_study_that_fails_in_one_way_again_and_again(code):
    """While others are written: it is narrowed down like a refusal, the rest of it is written, and it is over in one tick."""
    fakes = ports([*bad_study(), *others()], fhir=Failing(status(code)))
    result = run_batch(fakes, OPTIONS)
    assert rows(fakes, ErrorTable.FHIR) == [3]
    (row,) = (row for row in fakes.errors.rows if row.is_final)
    assert f"status {code}, again and again, while others are written" in row.message
    assert (result.written, result.failed, result.carried) == (5, 1, 0)
    assert fakes.watermarks.watermark.sequence == 11
    (study,) = [one for one in fakes.fhir.resources if one.get("series", [{}])[0].get("uid") and one["identifier"][0]["value"] == "urn:oid:1.1"]  # fmt: skip
    assert [one["uid"] for one in study["series"][0]["instance"]] == ["1.1.1", "1.1.2", "1.1.4"]


IN_PASSING = [
    # name, the errors, the entries beside
    ("503", [status(503)], others()),
    ("502", [status(502)], others()),
    ("504", [status(504)], others()),
    ("429", [status(429)], others()),
    ("the connection broke", [TransientError("the connection broke")], others()),
    ("now one, now another", [status(500), status(503)] * 20, others()),
    ("500 and the like", [status(500), status(408)] * 20, others()),
    ("500 at the last try", [status(503)] * 4 + [status(500)], others()),
    ("503 in between, at the very last", [status(500)] * 6 + [status(503), status(500)], others()),
    ("500, and nothing succeeds", [status(500)], []),
]


@pytest.mark.parametrize(("name", "errors", "beside"), IN_PASSING, ids=[row[0] for row in IN_PASSING])
def test_what_may_pass_is_carried(name, errors, beside):
    """It is no word on the study: nothing final is recorded of it, and the watermark stands before it."""
    fakes = ports([*bad_study(), *beside], fhir=Failing(*errors))
    result = run_batch(fakes, OPTIONS)
    assert [row for row in fakes.errors.rows if row.is_final] == []
    assert (result.carried, result.written) == (4, len(beside))
    assert fakes.watermarks.watermark.sequence == 0


def test_a_suspect_that_is_well_again_is_written():
    """The last try of a tick is a try like the others."""
    errors = [status(500)] * (ATTEMPTS_IN_A_TICK + 1)

    class Recovering(Failing):
        def transact(self, bundle):
            if self.failed == len(errors):
                return FakeFhir.transact(self, bundle)
            return super().transact(bundle)

    fakes = ports([*bad_study(), *others()], fhir=Recovering(*errors))
    result = run_batch(fakes, OPTIONS)
    assert (result.written, result.carried, result.failed) == (6, 0, 0)
    assert fakes.fhir.failed == len(errors)


def forbidden():
    return FhirRefusedError("403 from https://fhir.example.org; other requests are answered", status=403)


def test_one_study_that_is_forbidden():
    """By a firewall, while others are written: the entry to blame gets the row, at once."""
    fakes = ports([*bad_study(), *others()], fhir=Failing(forbidden()))
    result = run_batch(fakes, OPTIONS)
    assert (rows(fakes, ErrorTable.FHIR), result.written, fakes.watermarks.watermark.sequence) == ([3], 5, 11)


def test_a_study_that_is_forbidden_in_a_quiet_feed():
    """It does not hold the feed."""
    fakes = ports(bad_study(1), fhir=Failing(forbidden(), strikes="1.1."))
    assert run_batch(fakes, OPTIONS).failed == 1
    assert rows(fakes, ErrorTable.FHIR) == [1]


def test_study_after_study_that_is_forbidden():
    """Where none succeeds it may be a scope that the app's token lacks: nothing is recorded, the feed holds."""
    fakes = ports(others(5), fhir=Failing(forbidden(), strikes="1.2."))
    with pytest.raises(OutageError, match=r"FHIR server: 403 from .*nothing succeeds, 3 studies fell"):
        run_batch(fakes, OPTIONS)
    assert fakes.errors.rows == []


def versionless(fakes, *studies):
    """The server tells no version of these studies."""
    for one in fakes.fhir.resources:
        if one["resourceType"] == "ImagingStudy" and one["identifier"][0]["value"].removeprefix("urn:oid:") in studies:
            del one["meta"]["versionId"]


@pytest.mark.parametrize(("count", "is_outage"), [(1, False), (2, False), (5, True)])
def test_studies_whose_version_is_not_told(count, is_outage):
    """One harms itself alone; where study after study has none, and none succeeds, it is the server."""
    fakes = ports(others(5), fhir=FakeFhir(), cache=ResourceCache(max_weight=0))
    run_batch(fakes, OPTIONS)
    versionless(fakes, *(f"1.2.{n}" for n in range(count)))
    fakes.feed.held += [entry(20 + n, study=f"1.2.{n}", instance=f"1.2.{n}.2", t00100020=f"Q-{n}") for n in range(5)]
    if is_outage:
        with pytest.raises(OutageError, match=r"FHIR server: neither .* tells the version"):
            run_batch(fakes, OPTIONS)
        assert fakes.errors.rows == []
        return
    assert run_batch(fakes, OPTIONS).written == 5 - count
    assert rows(fakes, ErrorTable.FHIR) == list(range(20, 20 + count))
    assert {row.exception for row in fakes.errors.rows} == {"UnversionedResourceError"}


def test_that_others_write_first_is_no_outage():
    """Conflicts of study after study, and nothing else: they are carried, the tick goes on, and the server is not asked."""
    fakes = ports(others(5), fhir=Failing(ConflictError("409"), strikes="1.2."))
    result = run_batch(fakes, OPTIONS)
    assert (result.carried, result.written) == (5, 0)
    assert fakes.fhir.probes == 0


def test_a_group_that_is_throttled_once_is_no_outage():
    """It is one request that was refused, however many studies it was for; all are written in the same tick."""
    fakes = ports(others(5), fhir=FakeFhir(faults=[status(429)]))
    assert run_batch(fakes, OPTIONS).written == 5


def test_a_server_that_throttles_everything_is_an_outage():
    """Then each study is tried by itself, and nothing is skipped."""
    fakes = ports(others(5), fhir=Failing(*[status(429) for _ in range(30)], strikes="1.2."))
    with pytest.raises(OutageError):
        run_batch(fakes, OPTIONS)
    assert fakes.errors.retries == {}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (status(503), "FHIR server: status 503; nothing succeeds, 3 studies"),
        (TransientError("the connection broke"), "FHIR server: the connection broke; nothing succeeds, 3 studies"),
    ],
)
def test_study_after_study_is_an_outage(error, told):
    """Where none succeeds it is the server: nothing is recorded of any."""
    fakes = ports(others(5), fhir=Failing(error, strikes="1.2."))
    with pytest.raises(OutageError) as caught:
        run_batch(fakes, OPTIONS)
    assert told in str(caught.value)
    assert fakes.errors.rows == []
    assert fakes.errors.retries == {}


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("code", [408, 500])
def test_studies_at_fault_in_a_quiet_feed(code, count):
    """The server's store is well: they are carried, and after their time given up; it is asked for some of them only."""
    clock = FakeClock()
    fhir = Failing(status(code), strikes="1.2.")
    fakes = ports(others(count), fhir=fhir, now=clock.now, sleep=clock.sleep, errors=FakeErrors(clock.now))
    assert run_batch(fakes, OPTIONS).carried == count
    assert fhir.probes == min(4 * count, 3)
    for _ in range(20):
        clock.at += timedelta(seconds=90)
        run_batch(fakes, OPTIONS)
    assert sorted(rows(fakes, ErrorTable.TRANSIENT_FAILURE)) == list(range(10, 10 + count))
    assert fakes.watermarks.watermark.sequence == 9 + count


@pytest.mark.parametrize("count", [1, 3])
def test_studies_at_500_and_a_store_that_is_down(count):
    """It is an outage, however few wait: nothing is recorded of any, and no retry is spent."""

    class Down(Failing):
        def probe(self):
            raise OutageError("FHIR server", "status 500 to a transaction that is to be refused by a version")

    fakes = ports(others(count), fhir=Down(status(500), strikes="1.2."))
    with pytest.raises(OutageError, match="to be refused by a version"):
        run_batch(fakes, OPTIONS)
    assert (fakes.errors.rows, fakes.errors.retries, fakes.watermarks.watermark.sequence) == ([], {}, 0)


@pytest.mark.parametrize("code", [400, 404, 405])
def test_a_server_that_refuses_whatever_it_is_asked(code):
    """A gateway without a server behind it: it is an outage, and makes no rows of studies."""

    class Gateway(Failing):
        def probe(self):
            raise OutageError("FHIR server", "status 404 to a search that finds nothing")

    fakes = ports(others(2), fhir=Gateway(FhirRefusedError(f"status {code}", status=code), strikes="1.2."))
    with pytest.raises(OutageError, match="404"):
        run_batch(fakes, OPTIONS)
    assert (fakes.errors.rows, fakes.watermarks.watermark.sequence) == ([], 0)
