"""What an error answer means: by its status, by what it answered, and by whether it can be a limit."""

import pytest

from shared.clients.fhir.faults import fault_of
from shared.errors import ConflictError, FhirRefusedError, StudyTooLargeError, ThrottledError, TransientError
from tests.unit.clients.fhir.http_fake import answer

STATUSES = [
    # status, the error for a transaction, for all else
    (400, FhirRefusedError, FhirRefusedError),
    (404, FhirRefusedError, FhirRefusedError),
    (405, FhirRefusedError, FhirRefusedError),
    (408, TransientError, TransientError),
    (409, ConflictError, FhirRefusedError),
    (410, FhirRefusedError, FhirRefusedError),
    (412, ConflictError, FhirRefusedError),
    (413, StudyTooLargeError, StudyTooLargeError),
    (414, FhirRefusedError, FhirRefusedError),
    (422, FhirRefusedError, FhirRefusedError),
    (425, TransientError, TransientError),
    (429, ThrottledError, ThrottledError),
    (431, FhirRefusedError, FhirRefusedError),
    (500, TransientError, TransientError),
    (501, TransientError, FhirRefusedError),
    (502, TransientError, TransientError),
    (503, TransientError, TransientError),
    (504, TransientError, TransientError),
    (507, TransientError, TransientError),
    (599, TransientError, TransientError),
]


@pytest.mark.parametrize(("status", "of_transaction", "of_other"), STATUSES)
def test_the_fault_of_a_status(status, of_transaction, of_other):
    """The status that a transaction was answered goes along where trying again may help; a search's does not."""
    error, other = (
        fault_of("FHIR server", answer(status=status), sent=2),
        fault_of("FHIR server", answer(status=status)),
    )
    assert (type(error), type(other)) == (of_transaction, of_other)
    assert f"status {status}" in str(error)
    if isinstance(error, TransientError):
        assert error.status == status
    if isinstance(other, TransientError):
        assert other.status is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"Retry_After": "7"}, 7.0), ({"x_ms_retry_after_ms": "1500", "Retry_After": "7"}, 1.5)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_the_server_asks_to_wait(status, headers, seconds):
    """By either header."""
    error = fault_of("FHIR server", answer(status=status, **headers), sent=2)
    assert error.retry_after_seconds == seconds


OF_CONTENT = {"severity": "error", "code": "invalid", "expression": ["Patient.gender"]}
OF_SIZE = {"severity": "error", "code": "too-long", "diagnostics": "too many, see Patient/7, List/1, Task/2, Flag/3"}

LIMITS = [
    # status, entries sent, whether as many were never taken, the issue, whether it may be a limit
    (400, 9, True, OF_SIZE, True),
    (413, 9, True, OF_SIZE, True),
    (422, 4, True, OF_SIZE, True),
    (400, 9, True, None, True),
    (400, 9, False, OF_SIZE, False),  # as many were taken before
    (400, 3, True, OF_SIZE, False),  # fewer than any server refuses
    (400, 9, True, OF_CONTENT, False),  # it points at what is wrong
    (400, None, True, OF_SIZE, False),  # no transaction
]


@pytest.mark.parametrize(("status", "sent", "is_largest", "issue", "may_be"), LIMITS)
def test_what_may_be_a_limit(status, sent, is_largest, issue, may_be):
    """A refusal of more entries than were ever taken, of none of which anything is said."""
    body = {"resourceType": "OperationOutcome", "issue": [issue]} if issue else None
    assert fault_of("FHIR server", answer(body, status), sent=sent, is_largest=is_largest).may_be_limit is may_be


@pytest.mark.parametrize("status", [409, 400])
def test_three_of_the_resources_that_it_names_are_told(status):
    """Who links to what is to go; of its words nothing."""
    body = {"resourceType": "OperationOutcome", "issue": [OF_SIZE]}
    told = str(fault_of("FHIR server", answer(body, status), sent=2))
    assert told.endswith(f"status {status}: error too-long; it names Patient/7, List/1, Task/2")


@pytest.mark.parametrize(
    "body", [b"", b"<html>Plantagenet</html>", b"\xff\xfe", b"[1]", b'"x"', b"{" * 100_000], ids=repr
)
def test_a_body_that_is_no_outcome(body):
    """A gateway's page, or nothing at all: the status alone is told."""
    assert str(fault_of("FHIR server", answer(body, 400), sent=2)) == "status 400"
