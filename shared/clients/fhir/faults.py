"""What an error answer of the FHIR server means. The status alone never decides: servers differ in theirs."""

from collections.abc import Sequence

import requests

from shared.clients.fhir.outcomes import Refusal, refusal_of
from shared.clients.header_times import retry_after_seconds
from shared.clients.http import TRANSIENT_STATUSES, Answer
from shared.clients.json_body import json_of
from shared.errors import ConflictError, FhirRefusedError, StudyTooLargeError, ThrottledError, TransientError

LEAST_LIMIT = 3
"""A Patient, an Endpoint and an ImagingStudy: a server that does not take so many entries at once is none for us."""


def fault_of(
    name: str, answer: Answer, *, sent: int | None = None, is_largest: bool = False
) -> TransientError | FhirRefusedError:
    """`sent`: entries of the transaction that was answered, None where it was no transaction.

    `is_largest`: none of as many was taken before.
    """
    status, refusal = answer.status_code, _refusal(answer)
    if sent is not None and status in (requests.codes.precondition_failed, requests.codes.conflict):
        return ConflictError(f"{name}: conflict, status {status}{refusal.text}{_linked(refusal)}", status=status)
    # A batch, or a search by POST, that the server does not know is asked in another way.
    is_unknown = sent is None and status == requests.codes.not_implemented
    if not is_unknown and (status in TRANSIENT_STATUSES or status >= requests.codes.internal_server_error):
        kind = ThrottledError if status == requests.codes.too_many_requests else TransientError
        asked = "" if sent is None else " to a transaction"
        of_transaction = None if sent is None else status
        wait = retry_after_seconds(answer.headers)
        return kind(f"{name}: status {status}{asked}{refusal.text}", wait, status=of_transaction)
    is_too_large = status == requests.codes.request_entity_too_large  # in bytes, however few its entries are
    may_be_limit = sent is not None and sent > LEAST_LIMIT and (is_largest or is_too_large) and not refusal.has_places
    kind_ = StudyTooLargeError if is_too_large else FhirRefusedError
    return kind_(f"status {status}{refusal.text}{_linked(refusal)}", may_be_limit=may_be_limit, status=status)


def _linked(refusal: Refusal) -> str:
    return f"; it names {_some(refusal.references)}" if refusal.references else ""


def _some(references: Sequence[str]) -> str:
    return ", ".join(references[:3])


def _refusal(answer: Answer) -> Refusal:
    try:
        return refusal_of(json_of(answer))
    except ValueError:
        return Refusal()
