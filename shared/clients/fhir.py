"""The FHIR server: searches and transactions over its REST API (FHIR R4, http.html)."""

import json
from typing import Any

import requests

from shared.clients.http import TRANSIENT_STATUSES, HttpService, json_of, retry_after_seconds
from shared.errors import (
    ConflictError,
    FhirRefusedError,
    IncompatibleServerError,
    OutageError,
    StudyTooLargeError,
    TransientError,
)
from shared.model import Resource

FHIR_JSON = "application/fhir+json"


class FhirClient:
    """One FHIR R4 server."""

    def __init__(self, service: HttpService) -> None:
        self.service = service
        self._checked = False

    @property
    def calls(self) -> int:
        """HTTP requests made so far."""
        return self.service.calls

    def check(self) -> None:
        """Raises IncompatibleServerError unless the server says it is R4 and takes transactions; asked once."""
        if self._checked:
            return
        statement = self._statement()
        version = str(statement.get("fhirVersion", "none"))
        if statement.get("resourceType") != "CapabilityStatement" or not version.startswith("4.0."):
            raise IncompatibleServerError(self._name, f"{self._url} is not a FHIR R4 server (fhirVersion {version})")
        rest = statement.get("rest") or [{}]
        if "transaction" not in [one.get("code") for one in rest[0].get("interaction", [])]:
            raise IncompatibleServerError(self._name, f"{self._url} does not support transactions")
        self._checked = True

    def probe(self) -> None:
        """Raises OutageError unless the server answers: one study's fault is told apart from the server's."""
        self._statement()

    def search(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages."""
        found: list[Resource] = []
        path: str | None = f"/{resource_type}?{query}"
        while path:
            bundle = self._json("GET", path)
            if bundle.get("resourceType") != "Bundle":
                raise TransientError(f"{self._name}: the answer to a search for {resource_type} is not a Bundle")
            resources = [entry.get("resource", {}) for entry in bundle.get("entry", [])]
            found += [resource for resource in resources if resource.get("resourceType") == resource_type]
            path = next((link["url"] for link in bundle.get("link", []) if link.get("relation") == "next"), None)
        return found

    def transact(self, bundle: Resource) -> list[Resource]:
        """The answer's entries, one per entry sent, each a 2xx."""
        answer = self._json("POST", "", body=json.dumps(bundle, ensure_ascii=False).encode())
        entries = answer.get("entry", [])
        statuses = [str(entry.get("response", {}).get("status", "")) for entry in entries]
        if len(entries) != len(bundle["entry"]) or not all(status.startswith("2") for status in statuses):
            raise TransientError(f"{self._name}: the answer to a transaction does not match what was sent")
        return list(entries)

    def _statement(self) -> Resource:
        """The CapabilityStatement. A server that cannot even give that is down."""
        try:
            return self._json("GET", "/metadata")
        except TransientError as error:
            raise OutageError(self._name, str(error)) from error

    def _json(self, method: str, path: str, body: bytes | None = None) -> Resource:
        headers = {"Accept": FHIR_JSON} | ({"Content-Type": FHIR_JSON} if body else {})
        answer = self.service.send(method, path, body=body, headers=headers)
        if not answer.ok:
            raise self._fault(answer)
        try:
            content = json_of(answer)
        except ValueError as error:
            raise TransientError(f"{self._name}: {error}") from None
        if not isinstance(content, dict):
            raise TransientError(f"{self._name}: the answer is not a JSON object")
        return content

    def _fault(self, answer: requests.Response) -> TransientError | FhirRefusedError:
        status = answer.status_code
        if status in (requests.codes.precondition_failed, requests.codes.conflict):
            return ConflictError(f"{self._name}: {status}, somebody else wrote first")
        if status in TRANSIENT_STATUSES or status >= requests.codes.internal_server_error:
            return TransientError(f"{self._name}: status {status}", retry_after_seconds(answer))
        if status == requests.codes.request_entity_too_large:
            return StudyTooLargeError(f"status {status}{_issues(answer)}")
        return FhirRefusedError(f"status {status}{_issues(answer)}")

    @property
    def _name(self) -> str:
        return self.service.name

    @property
    def _url(self) -> str:
        return self.service.url


def _issues(answer: requests.Response) -> str:
    """Codes and places of an OperationOutcome. Its texts are left out: servers quote patient data in them."""
    try:
        outcome: Any = json_of(answer)
    except ValueError:
        return ""
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return ""
    told = []
    for issue in outcome.get("issue", []):
        places = ", ".join(map(str, issue.get("expression") or issue.get("location") or ()))
        told.append(f"{issue.get('severity')} {issue.get('code')}" + (f" at {places}" if places else ""))
    return ": " + "; ".join(told)
