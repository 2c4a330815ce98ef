"""A probe of a FHIR server's store: whether it can be read and written. The probe leaves nothing behind."""

import logging
from uuid import uuid4

import requests

from shared.clients.fhir.answers import entries_of, page_of, written_of
from shared.clients.fhir.outcomes import refusal_of
from shared.clients.http import HttpService
from shared.clients.http_answer import Answer
from shared.clients.json_body import json_bytes, json_of
from shared.errors import DicomCastError, OutageError, TransientError
from shared.model.fhir import Resource

_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
SYSTEM = "urn:dicom-cast:self-check"
NOT_JUDGED = frozenset({404, 405, 406, 408, 410, 413, 414, 415, 429, 501, 502, 503, 504})
"""Statuses that a proxy before the server may answer too, so that they say nothing of the transaction's content."""
_GONE = (404, 410)
_HEADERS = {"Accept": "application/fhir+json", "Cache-Control": "no-cache"}
_WRITING = _HEADERS | {"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}

logger = logging.getLogger(__name__)


class Probe:
    """Probes one server by a search and a transaction, as its metadata may be answered while its store is down."""

    def __init__(self, service: HttpService) -> None:
        self._service = service

    def run(self, *, writes: bool) -> None:
        """Raises OutageError unless a search, and with `writes` a transaction too, are answered as expected.

        The transaction makes an Endpoint and updates one that does not exist, with If-Match: so the server has to
        refuse all of it. If the server writes something nevertheless, that is removed.
        """
        name = str(uuid4())
        fault = self._transaction(name) if writes else None
        for left in self._search(name):
            self._remove(left)
        if fault:
            message = f"the server answers searches and refuses every transaction: {fault}"
            raise OutageError(self._service.name, message)

    def _search(self, name: str) -> list[str]:
        """References of the Endpoints of this name. The name is new, so that no cache can answer the search."""
        answer = self._send("GET", f"/Endpoint?{query_for(name)}")
        if answer.status_code >= requests.codes.bad_request:
            message = f"status {answer.status_code} to a search that finds nothing"
            raise OutageError(self._service.name, message)
        try:
            found = page_of(_object(answer), "Endpoint").resources
        except ValueError as error:
            raise OutageError(self._service.name, f"the answer to a search that finds nothing: {error}") from None
        own = {"system": SYSTEM, "value": name}
        return [f"Endpoint/{one['id']}" for one in found if own in _identifiers(one)]

    def _transaction(self, name: str) -> str | None:
        """Sends the transaction that is to be refused. What was wrong with the answer; None if nothing was."""
        absent = str(uuid4())
        made = {"resource": endpoint(name), "fullUrl": f"urn:uuid:{uuid4()}"}
        made["request"] = {"method": "POST", "url": "Endpoint", "ifNoneExist": query_for(name)}
        updated = {"resource": {**endpoint(name), "id": absent}}
        updated["request"] = {"method": "PUT", "url": f"Endpoint/{absent}", "ifMatch": 'W/"1"'}
        answer = self._send("POST", "", made, updated)
        status = answer.status_code
        if status < requests.codes.bad_request:
            return self._remove_written(answer)
        if status >= requests.codes.internal_server_error or not _is_judged(answer):
            return f"status {status} to one that is to be refused by a version"
        return None

    def _remove_written(self, answer: Answer) -> str | None:
        """Removes what a server that ignores If-Match has written. What was wrong with the answer, if anything."""
        try:
            written = [written_of(one) for one in entries_of(_object(answer), 2)]
        except ValueError as error:
            return f"the answer cannot be read: {error}"
        for one in written:
            if one.reference:
                self._remove(one.reference)
        return None

    def _remove(self, reference: str) -> None:
        try:
            status = self._send("POST", "", {"request": {"method": "DELETE", "url": reference}}).status_code
        except DicomCastError:
            status = 0
        if not requests.codes.ok <= status < requests.codes.bad_request:
            logger.warning("%s was made to try the FHIR server, and is left: delete it", reference)

    def _send(self, method: str, path: str, *entries: Resource) -> Answer:
        """The answer to a request, or to a transaction of these entries. Raises OutageError."""
        body = json_bytes({"resourceType": "Bundle", "type": "transaction", "entry": entries}) if entries else None
        try:
            return self._service.send(method, path, body=body, headers=_WRITING if entries else _HEADERS)
        except TransientError as error:
            raise OutageError(self._service.name, str(error)) from error


def endpoint(name: str) -> Resource:
    """An Endpoint of status `test`, to try a server with."""
    return {
        "resourceType": "Endpoint",
        "meta": {"source": SYSTEM, "tag": [{"system": SYSTEM, "code": "trial"}]},
        "identifier": [{"system": SYSTEM, "value": name}],
        "name": f"DICOM Cast self-check {name}",
        "status": "test",
        "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
        "payloadType": [{"text": "none"}],
        "address": "http://localhost",
    }


def _is_judged(answer: Answer) -> bool:
    """Whether the server itself refused the transaction's content. Some answer 404 or 410, with an OperationOutcome."""
    if answer.status_code not in NOT_JUDGED:
        return True
    try:
        return answer.status_code in _GONE and bool(refusal_of(json_of(answer)).text)
    except ValueError:
        return False


def _object(answer: Answer) -> Resource:
    content = json_of(answer)
    return content if isinstance(content, dict) else {}


def query_for(name: str) -> str:
    """The query for the Endpoint that `endpoint` makes of this name."""
    return f"identifier={SYSTEM.replace(':', '%3A')}%7C{name}"


def _identifiers(resource: Resource) -> list[object]:
    held = resource.get("identifier")
    return held if isinstance(held, list) else []
