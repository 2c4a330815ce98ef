"""The FHIR server: searches, reads and transactions over its REST API (FHIR R4, http.html)."""

from collections.abc import Iterator, Mapping, Sequence

import requests

from shared.clients.fhir import answers
from shared.clients.fhir.capabilities import Capabilities, LearnedCapabilities, capability_texts
from shared.clients.fhir.exchange import Exchange
from shared.clients.fhir.faults import fault_of
from shared.clients.fhir.searches import Searches
from shared.clients.http import HttpService
from shared.clients.json_body import json_bytes
from shared.errors import (
    ConflictError,
    FhirRefusedError,
    IncompatibleServerError,
    OutageError,
    TransientError,
)
from shared.model.fhir import Resource, Written
from shared.model.options import BundleProcessing


class FhirClient:
    """One FHIR R4 server. `learned`: what is known of it, which several clients of it may share."""

    def __init__(
        self,
        service: HttpService,
        learned: LearnedCapabilities | None = None,
        processing: BundleProcessing = BundleProcessing.SERVER,
    ) -> None:
        self.service = service
        self._learned = learned or LearnedCapabilities()
        self._exchange = Exchange(service, processing)
        self._searches = Searches(self._exchange, self._learned)
        self._checked = False

    @property
    def calls(self) -> int:
        """The number of HTTP requests so far."""
        return self.service.calls

    @property
    def quickest(self) -> float:
        """The time in seconds that the quickest answer took so far; 0 before the first."""
        return self.service.quickest

    @property
    def capabilities(self) -> Capabilities:
        """What is known of the server so far."""
        return self._learned.known

    def capability_texts(self) -> Mapping[str, str]:
        """The same as texts by name."""
        return capability_texts(self.capabilities)

    def check(self) -> None:
        """Raises IncompatibleServerError unless the server is R4 and takes transactions. It is asked only once."""
        if self._checked:
            return
        try:
            statement = answers.statement_of(self._statement())
        except ValueError:
            raise IncompatibleServerError(
                self._name, f"{self._url} is not a FHIR R4 server (its metadata is no CapabilityStatement)"
            ) from None
        if not f"{statement.fhir_version}.".startswith("4.0."):
            raise IncompatibleServerError(
                self._name, f"{self._url} is not a FHIR R4 server (fhirVersion {statement.fhir_version})"
            )
        if statement.transactions is False:
            raise IncompatibleServerError(self._name, f"{self._url} does not support transactions")
        self._learned.learn_from_statement(statement)
        self._checked = True

    def ensure_answers(self) -> None:
        """Raises OutageError unless the server answers a search. Nothing is written."""
        self._exchange.probe.run(writes=False)

    def probe(self) -> None:
        """Raises OutageError unless the server can read and write its store; if it can, a fault is one study's own."""
        self._exchange.probe.run(writes=True)

    def search(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages. Raises PagingError, FhirRefusedError, TransientError, OutageError."""
        return self._searches.one(resource_type, query)

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        """The matches of each search, by one request if the server takes batches."""
        return self._searches.many(searches)

    def pages(self, resource_type: str, query: str, most: int) -> Iterator[list[Resource]]:
        """The matches page by page. Raises PagingError if there are more than `most` pages."""
        return self._searches.pages(resource_type, query, most)

    def first(self, resource_type: str, query: str) -> list[Resource]:
        """The first page of the matches, by POST if the server takes that, so that no log of URLs has the query."""
        return self._searches.first(resource_type, query)

    def read(self, reference: str) -> Resource | None:
        """The resource `reference` (`Patient/7`) as it is now, also if searches lag behind; None if it does not exist.

        If `meta` has no version, it is taken from the ETag.
        """
        answer = self._exchange.send("GET", f"/{reference}")
        if answer.status_code in (requests.codes.not_found, requests.codes.gone):
            return None
        try:
            resource = answers.resource_of(self._exchange.content(answer), reference.split("/", maxsplit=1)[0])
        except ValueError as error:
            raise TransientError(f"{self._name}: the answer to a read: {error}") from None
        version = answers.version_of(answer.headers.get("ETag", ""))
        meta = resource.get("meta", {})
        if version and isinstance(meta, dict) and "versionId" not in meta:
            resource["meta"] = {**meta, "versionId": version}
        return answers.made_relative(resource, (self._url, self.capabilities.base))

    def transact(self, bundle: Resource) -> list[Written]:
        """What became of each entry, in the order of the bundle.

        Raises ConflictError, FhirRefusedError, TransientError, OutageError.
        """
        size, conditional = len(bundle["entry"]), _is_conditional(bundle)
        answer = self._exchange.send(
            "POST", "", body=json_bytes(bundle), headers={"Prefer": "return=minimal"}, writes=True
        )
        if answer.status_code >= requests.codes.bad_request:
            is_largest = size > self.capabilities.limit(conditional=conditional).taken
            error = fault_of(self._name, answer, sent=size, is_largest=is_largest)
            if isinstance(error, ConflictError):
                self._learned.learn(conflict_status=answer.status_code)
            raise error
        try:
            written = [answers.written_of(one) for one in answers.entries_of(self._exchange.content(answer), size)]
        except ValueError as error:
            raise TransientError(
                f"{self._name}: the answer to a transaction does not match what was sent: {error}"
            ) from None
        self._learned.learn_taken(size, conditional=conditional)
        return written

    def most_entries(self, *, conditional: bool) -> int:
        """The most entries that a transaction may have, with `ifNoneExist` or without."""
        return self.capabilities.limit(conditional=conditional).most

    def too_many_entries(self, size: int, *, conditional: bool) -> None:
        """To be called when a transaction of `size` entries was refused, and then its parts were taken."""
        self._learned.learn_too_many(size, conditional=conditional)

    def learn(self, **seen: bool) -> None:
        """Takes down what the self-check saw: `source_kept`, `tag_kept`, `delete_if_match`, `deleted_kept`."""
        self._learned.learn(**seen)

    def _statement(self) -> Resource:
        """The CapabilityStatement. A server that cannot give it, or refuses it to the app (403), counts as down."""
        try:
            return self._exchange.json("GET", "/metadata")
        except TransientError as error:
            raise OutageError(self._name, str(error)) from error
        except FhirRefusedError as error:
            if error.status == requests.codes.forbidden:
                raise OutageError(self._name, str(error)) from error
            raise

    @property
    def _name(self) -> str:
        return self.service.name

    @property
    def _url(self) -> str:
        return self.service.url


def _is_conditional(bundle: Resource) -> bool:
    return any("ifNoneExist" in entry["request"] for entry in bundle["entry"])
