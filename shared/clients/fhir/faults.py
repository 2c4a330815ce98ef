"""What an error answer of the FHIR server means. Servers use the statuses differently, so they alone never decide."""

from collections.abc import Sequence

import requests

from shared.clients.fhir.outcomes import Refusal, refusal_of
from shared.clients.header_times import retry_after_seconds
from shared.clients.http import TRANSIENT_STATUSES
from shared.clients.http_answer import Answer
from shared.clients.json_body import json_of
from shared.errors import ConflictError, FhirRefusedError, StudyTooLargeError, ThrottledError, TransientError

LEAST_LIMIT = 3
"""A Patient, an Endpoint and an ImagingStudy: the app needs a server that takes this many entries at once."""


def fault_of(
    name: str, answer: Answer, *, sent: int | None = None, is_largest: bool = False
) -> TransientError | FhirRefusedError:
    """The error to raise for an answer of status 400 or more.

    `sent`: the number of entries if a transaction was answered. `is_largest`: none of this size was taken before.
    """
    status, refusal = answer.status_code, _refusal(answer)
    if sent is not None and status in (requests.codes.precondition_failed, requests.codes.conflict):
        return ConflictError(f"{name}: conflict, status {status}{refusal.text}{_linked(refusal)}", status=status)
    # 501 to a batch or to a search by POST: the server does not have it, and the caller asks in another way.
    is_unknown = sent is None and status == requests.codes.not_implemented
    if not is_unknown and (status in TRANSIENT_STATUSES or status >= requests.codes.internal_server_error):
        kind = ThrottledError if status == requests.codes.too_many_requests else TransientError
        asked = "" if sent is None else " to a transaction"
        of_transaction = None if sent is None else status
        wait = retry_after_seconds(answer.headers)
        return kind(f"{name}: status {status}{asked}{refusal.text}", wait, status=of_transaction)
    is_too_large = status == requests.codes.request_entity_too_large  # in bytes, however few its entries are
    may_be_limit = sent is not None and sent > LEAST_LIMIT and (is_largest or is_too_large) and not refusal.has_paths
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
