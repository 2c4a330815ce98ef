"""A replay's body: every fault is named, at once, and no value is quoted."""

import json
from dataclasses import replace

import pytest

from shared.errors import RequestError
from shared.model.failures import ErrorTable
from shared.model.replay import ReplayRequest, SequenceRange, StoredErrors, StudyRebuild, TimeRange
from shared.web.as_json import request_json
from shared.web.replay_request import replay_of
from tests.fakes import entry

LATEST = replace(entry(1000), timestamp="2024-05-06T07:08:09.1234567+00:00")
DAY = {"from": "2024-05-05T00:00:00Z", "to": "2024-05-06T00:00:00+02:00"}

GOOD = [
    ({"sequence": {"from": 1, "to": 1000}}, SequenceRange(1, 1000)),
    ({"sequence": {"from": 7, "to": 7}}, SequenceRange(7, 7)),
    ({"time": DAY}, TimeRange("2024-05-05T00:00:00+00:00", "2024-05-06T00:00:00+02:00")),
    ({"study": "1.2.840.1"}, StudyRebuild("1.2.840.1")),
    ({"errors": "all"}, StoredErrors(tuple(ErrorTable))),
    ({"errors": "FhirFailToStoreExceptionTable", "exception": "FhirRefusedError"}, StoredErrors((ErrorTable.FHIR,), "FhirRefusedError")),
    ({"errors": "all", "study": "1.2.3"}, StoredErrors(tuple(ErrorTable), None, "1.2.3")),
]  # fmt: skip


@pytest.mark.parametrize(("body", "target"), GOOD)
@pytest.mark.parametrize(("dry_run", "patients"), [(False, False), (True, False), (False, True)])
def test_a_request(body, target, dry_run, patients):
    """And back: what is told of a replay could be sent again."""
    body = body | {"dryRun": dry_run} | ({"patients": True} if patients else {})
    request = replay_of(json.dumps(body).encode(), LATEST)
    assert request == ReplayRequest(target, dry_run, patients)
    assert replay_of(json.dumps(request_json(request)).encode(), LATEST) == request


@pytest.mark.parametrize("sequence", [{"from": 7}, {"from": 7, "to": None}, {"from": 7, "to": 1001}])
def test_a_range_ends_where_the_feed_does(sequence):
    """Whether it says no end, or one that the feed has not reached."""
    request = replay_of(json.dumps({"sequence": sequence}).encode(), LATEST)
    assert request.target == SequenceRange(7, 1000)


ONE_OF = "exactly one of sequence, time, study, errors is expected (a study may stand beside errors)"

BAD = [
    ({}, [ONE_OF]),
    ({"dryRun": True}, [ONE_OF]),
    ({"study": "1.2", "sequence": {"from": 1, "to": 2}}, [f"{ONE_OF}; sequence and study are given"]),
    ({"study": "1.2", "from": 1}, ["from: extra inputs are not permitted"]),
    ({"sequence": {"from": 0}, "x": 1}, ["sequence.from: input should be greater than or equal to 1", "x: extra inputs are not permitted"]),
    ({"sequence": {"to": 0}}, ["sequence.from: field required", "sequence.to: input should be greater than or equal to 1"]),
    ({"sequence": {"from": "1", "to": 2.5}}, ["sequence.from: input should be a valid integer", "sequence.to: input should be a valid integer"]),
    ({"sequence": {"from": 5, "to": 4}}, ["sequence: from is greater than to"]),
    ({"sequence": {"from": 1001, "to": 1002}}, ["sequence.from: the change feed ends at 1000"]),
    ({"sequence": {"from": 1001}}, ["sequence.from: the change feed ends at 1000"]),
    ({"time": {"from": DAY["to"], "to": DAY["from"]}}, ["time: from is not before to"]),
    ({"time": {"from": "2024-05-05T00:00:00", "to": 3}}, ["time.from: input should have timezone info", "time.to: a string with date, time and offset is expected"]),
    ({"time": {"from": "2024-05-07T00:00:00Z", "to": "2024-05-08T00:00:00Z"}}, ["time.from: the change feed ends at 2024-05-06T07:08:09.1234567+00:00"]),
    ({"time": {"from": "2020-01-01T00:00:00Z", "to": DAY["to"]}}, ["time: at most 366 days at once"]),
    ({"study": "1.02"}, ["study: only components of digits without leading zeros, joined by dots, are allowed"]),
    ({"study": 5}, ["study: input should be a valid string"]),
    ({"errors": "Secret"}, [f"errors: one of all, {', '.join(ErrorTable)} is expected"]),
    ({"errors": "all", "exception": "a b"}, ["exception: string should match pattern '^[A-Za-z]{1,100}$'"]),
    ({"study": "1.2", "exception": "A"}, ["exception: it narrows errors down, and errors is not given"]),
    ({"errors": "all", "dryRun": "yes"}, ["dryRun: input should be a valid boolean"]),
    ({"errors": "all", "patients": 1}, ["patients: input should be a valid boolean"]),
    ({"study": "1.2", "patients": ["P-1"]}, ["patients: input should be a valid boolean"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "faults"), BAD)
def test_a_bad_request(body, faults):
    """All of it in one answer."""
    with pytest.raises(RequestError) as caught:
        replay_of(json.dumps(body).encode(), LATEST)
    assert caught.value.faults == faults
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(("text", "fault"), [(b"", "JSON"), (b"{", "JSON"), (b"\xff", "JSON"), (b"[]", "JSON object")])
def test_what_is_no_request_at_all(text, fault):
    """Said plainly."""
    with pytest.raises(RequestError, match=f"the body is not a? ?{fault}"):
        replay_of(text, LATEST)


@pytest.mark.parametrize("body", [b'{"sequence": {"from": 1, "to": 1000001}}', b'{"sequence": {"from": 1}}'])
def test_more_than_a_million_at_once(body):
    """A slip of the finger must not keep the app busy for weeks; what is not said is not cut short in silence."""
    with pytest.raises(RequestError, match=r"at most 1,000,000 sequence numbers at once, .* ends at 2000000: .* to"):
        replay_of(body, replace(LATEST, sequence=2_000_000))


def test_an_empty_feed():
    """Nothing can be replayed of it by range; a study can."""
    with pytest.raises(RequestError, match="the change feed ends at 0"):
        replay_of(b'{"sequence": {"from": 1, "to": 1}}', None)
    assert replay_of(b'{"study": "1.2"}', None).target == StudyRebuild("1.2")
