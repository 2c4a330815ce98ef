"""Whether a FHIR server's store can be read and written: a search and a transaction that leave nothing behind."""

import logging
from uuid import uuid4

import requests

from shared.clients.fhir.answers import entries_of, page_of, written_of
from shared.clients.fhir.outcomes import refusal_of
from shared.clients.http import Answer, HttpService
from shared.clients.json_body import json_bytes, json_of
from shared.errors import DicomCastError, OutageError, TransientError
from shared.model.fhir import Resource

_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
SYSTEM = "urn:dicom-cast:self-check"
NOT_JUDGED = frozenset({404, 405, 406, 408, 410, 413, 414, 415, 429, 501, 502, 503, 504})
"""Answers to the request, by whoever stands before the server too, and not to what the transaction says."""
_GONE = (404, 410)
_HEADERS = {"Accept": "application/fhir+json", "Cache-Control": "no-cache"}
_WRITING = _HEADERS | {"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}

logger = logging.getLogger(__name__)


class Probe:
    """Of one server, whose metadata may come from a memory while the store behind it is down."""

    def __init__(self, service: HttpService) -> None:
        self._service = service

    def run(self, *, writes: bool) -> None:
        """Raises OutageError unless a search, and where it is about `writes` a transaction too, are answered rightly.

        The transaction makes an Endpoint and updates one that is not there by a version, for which all of it is to be
        refused. What a server of other manners makes of it is removed.
        """
        name = str(uuid4())
        fault = self._transaction(name) if writes else None
        for left in self._search(name):
            self._remove(left)
        if fault:
            said = f"the server answers searches and refuses every transaction: {fault}"
            raise OutageError(self._service.name, said)

    def _search(self, name: str) -> list[str]:
        """What is there of the name, which no search has asked for before."""
        answer = self._sent("GET", f"/Endpoint?{found_by(name)}")
        if answer.status_code >= requests.codes.bad_request:
            said = f"status {answer.status_code} to a search that finds nothing"
            raise OutageError(self._service.name, said)
        try:
            found = page_of(_object(answer), "Endpoint").resources
        except ValueError as error:
            raise OutageError(self._service.name, f"the answer to a search that finds nothing: {error}") from None
        own = {"system": SYSTEM, "value": name}
        return [f"Endpoint/{one['id']}" for one in found if own in _identifiers(one)]

    def _transaction(self, name: str) -> str | None:
        """What was wrong with the answer."""
        absent = str(uuid4())
        made = {"resource": endpoint(name), "fullUrl": f"urn:uuid:{uuid4()}"}
        made["request"] = {"method": "POST", "url": "Endpoint", "ifNoneExist": found_by(name)}
        updated = {"resource": {**endpoint(name), "id": absent}}
        updated["request"] = {"method": "PUT", "url": f"Endpoint/{absent}", "ifMatch": 'W/"1"'}
        answer = self._sent("POST", "", made, updated)
        status = answer.status_code
        if status < requests.codes.bad_request:
            return self._remove_written(answer)
        if status >= requests.codes.internal_server_error or not _is_judged(answer):
            return f"status {status} to one that is to be refused by a version"
        return None

    def _remove_written(self, answer: Answer) -> str | None:
        """Of a server that heeds no version. What was wrong with the answer."""
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
            gone = self._sent("POST", "", {"request": {"method": "DELETE", "url": reference}}).status_code
        except DicomCastError:
            gone = 0
        if not requests.codes.ok <= gone < requests.codes.bad_request:
            logger.warning("%s was made to try the FHIR server, and is left: delete it", reference)

    def _sent(self, method: str, path: str, *entries: Resource) -> Answer:
        """Raises OutageError."""
        body = json_bytes({"resourceType": "Bundle", "type": "transaction", "entry": entries}) if entries else None
        try:
            return self._service.send(method, path, body=body, headers=_WRITING if entries else _HEADERS)
        except TransientError as error:
            raise OutageError(self._service.name, str(error)) from error


def endpoint(name: str) -> Resource:
    """One of status `test`, made to try a server."""
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
    """Whether the server itself refused what the transaction says: some answer 404, in FHIR's own words."""
    if answer.status_code not in NOT_JUDGED:
        return True
    try:
        return answer.status_code in _GONE and bool(refusal_of(json_of(answer)).text)
    except ValueError:
        return False


def _object(answer: Answer) -> Resource:
    content = json_of(answer)
    return content if isinstance(content, dict) else {}


def found_by(name: str) -> str:
    """The query that finds what `endpoint` made of the name."""
    return f"identifier={SYSTEM.replace(':', '%3A')}%7C{name}"


def _identifiers(resource: Resource) -> list[object]:
    held = resource.get("identifier")
    return held if isinstance(held, list) else []
