"""Endpoints that a run makes to try the server: of status `test`, each with an identifier of its own, the mark."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from local.acceptance.ledger import Ledger
from local.acceptance.server import BAD_REQUEST, CREATED, OK, FhirAnswerError, FhirServer, Resource, created

TAG_SYSTEM = "urn:dicom-cast:source"
_CONNECTION = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


class OwnEndpoints:
    """Makes and finds such Endpoints. Raises FhirAnswerError if the server does not do what every server must."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger

    def updated_once(self) -> tuple[str, Mapping[str, Any]]:
        """Makes an Endpoint and updates it, so that its first version is stale. Returns its reference and content."""
        reference, mark = self.make()
        endpoint = {**self.find(mark), "name": "updated"}
        status = self._server.send("PUT", f"/{reference}", endpoint).status_code
        if status >= BAD_REQUEST:
            raise FhirAnswerError(f"status {status} to an update")
        return reference, endpoint

    def make(self, mark: str | None = None) -> tuple[str, str]:
        """Makes an Endpoint. Returns `Endpoint/id` and its mark, which is a new one if `mark` is None."""
        mark = mark or uuid4().hex
        status, entries = self._server.transact(self.post(mark))
        if status not in (OK, CREATED) or not entries:
            raise FhirAnswerError(f"status {status} to a transaction that creates an Endpoint")
        reference = created(entries[0]) or f"Endpoint/{self.find(mark)['id']}"
        self._ledger.was_made([reference])
        return reference, mark

    def post(self, mark: str) -> Resource:
        """The entry of a transaction that creates an Endpoint."""
        source = self._ledger.service_url
        endpoint = {
            "resourceType": "Endpoint",
            "meta": {"source": source, "tag": [{"system": TAG_SYSTEM, "code": source}]},
            "identifier": [{"system": self._ledger.system, "value": mark}],
            "status": "test",
            "name": "probe",
            "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
            "payloadType": [{"text": "none"}],
            "address": source,
        }
        request = {"method": "POST", "url": "Endpoint"}
        return {"fullUrl": f"urn:uuid:{uuid4()}", "resource": endpoint, "request": request}

    def put(self, endpoint: Mapping[str, Any], if_match: str, reference: str) -> Resource:
        """The entry of a transaction that updates an Endpoint. `if_match`: an ETag."""
        return {"resource": dict(endpoint), "request": {"method": "PUT", "url": reference, "ifMatch": if_match}}

    def with_mark(self, mark: str) -> list[Resource]:
        """All Endpoints with the mark, by a search."""
        return self._server.identified("Endpoint", self._ledger.system, mark)

    def find(self, mark: str) -> Resource:
        """The first Endpoint with the mark. Raises FhirAnswerError if there is none."""
        found = self.with_mark(mark)
        if not found:
            raise FhirAnswerError("what was just made is not found")
        return found[0]
