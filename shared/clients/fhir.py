"""The FHIR server: searches and transactions over its REST API (FHIR R4, http.html)."""

from collections.abc import Sequence
from typing import Any

import requests

from shared.clients.http import TRANSIENT_STATUSES, Answer, HttpService, retry_after_seconds
from shared.clients.json_body import json_bytes, json_of
from shared.errors import (
    ConflictError,
    FhirRefusedError,
    IncompatibleServerError,
    OutageError,
    StudyTooLargeError,
    ThrottledError,
    TransientError,
)
from shared.model import Resource

FHIR_JSON = "application/fhir+json"


class FhirClient:
    """One FHIR R4 server."""

    def __init__(self, service: HttpService) -> None:
        self.service = service
        self._checked = False
        self._takes_batches = False

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
        interactions = [one.get("code") for one in rest[0].get("interaction", [])]
        if "transaction" not in interactions:
            raise IncompatibleServerError(self._name, f"{self._url} does not support transactions")
        self._takes_batches = "batch" in interactions
        self._checked = True

    def probe(self) -> None:
        """Raises OutageError unless the server answers: one study's fault is told apart from the server's."""
        self._statement()

    def search(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages."""
        return self._matches(resource_type, self._json("GET", f"/{resource_type}?{query}"))

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        """The matches of each search: in one request where the server takes batches (http.html#transaction)."""
        if len(searches) == 1 or not self._takes_batches:
            return [self.search(*one) for one in searches]
        requests_ = [{"request": {"method": "GET", "url": f"{type_}?{query}"}} for type_, query in searches]
        try:
            answer = self._json("POST", "", body={"resourceType": "Bundle", "type": "batch", "entry": requests_})
        except FhirRefusedError:
            return [self.search(*one) for one in searches]
        entries = answer.get("entry", [])
        if len(entries) != len(searches):
            raise TransientError(f"{self._name}: the answer to a batch does not match what was sent")
        # A search that failed in the batch is asked again by itself: its own answer tells why.
        return [
            self._matches(one[0], entry["resource"]) if _is_good(entry) else self.search(*one)
            for one, entry in zip(searches, entries, strict=True)
        ]

    def _matches(self, resource_type: str, bundle: Resource) -> list[Resource]:
        found: list[Resource] = []
        while True:
            if bundle.get("resourceType") != "Bundle":
                raise TransientError(f"{self._name}: the answer to a search for {resource_type} is not a Bundle")
            resources = [entry.get("resource", {}) for entry in bundle.get("entry", [])]
            found += [resource for resource in resources if resource.get("resourceType") == resource_type]
            path = next((link["url"] for link in bundle.get("link", []) if link.get("relation") == "next"), None)
            if path is None:
                return found
            bundle = self._json("GET", path)

    def transact(self, bundle: Resource) -> list[Resource]:
        """The answer's entries, one per entry sent, each a 2xx."""
        answer = self._json("POST", "", body=bundle, headers={"Prefer": "return=minimal"})
        entries = answer.get("entry", [])
        if len(entries) != len(bundle["entry"]) or not all(map(_is_good, entries)):
            raise TransientError(f"{self._name}: the answer to a transaction does not match what was sent")
        return list(entries)

    def _statement(self) -> Resource:
        """The CapabilityStatement. A server that cannot even give that is down."""
        try:
            return self._json("GET", "/metadata")
        except TransientError as error:
            raise OutageError(self._name, str(error)) from error

    def _json(
        self, method: str, path: str, body: Resource | None = None, headers: dict[str, str] | None = None
    ) -> Resource:
        said = {"Accept": FHIR_JSON} | ({"Content-Type": FHIR_JSON} if body else {}) | (headers or {})
        answer = self.service.send(method, path, body=json_bytes(body) if body else None, headers=said)
        if answer.status_code >= requests.codes.bad_request:
            raise self._fault(answer)
        try:
            content = json_of(answer)
        except ValueError as error:
            raise TransientError(f"{self._name}: {error}") from None
        if not isinstance(content, dict):
            raise TransientError(f"{self._name}: the answer is not a JSON object")
        return content

    def _fault(self, answer: Answer) -> TransientError | FhirRefusedError:
        status = answer.status_code
        if status in (requests.codes.precondition_failed, requests.codes.conflict):
            return ConflictError(f"{self._name}: {status}, somebody else wrote first")
        if status in TRANSIENT_STATUSES or status >= requests.codes.internal_server_error:
            kind = ThrottledError if status == requests.codes.too_many_requests else TransientError
            return kind(f"{self._name}: status {status}", retry_after_seconds(answer))
        if status == requests.codes.request_entity_too_large:
            return StudyTooLargeError(f"status {status}{_issues(answer)}")
        return FhirRefusedError(f"status {status}{_issues(answer)}")

    @property
    def _name(self) -> str:
        return self.service.name

    @property
    def _url(self) -> str:
        return self.service.url


def _is_good(entry: Resource) -> bool:
    return str(entry.get("response", {}).get("status", "")).startswith("2")


def _issues(answer: Answer) -> str:
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
