"""The FHIR server: searches, reads and transactions over its REST API (FHIR R4, http.html)."""

from collections.abc import Iterator, Mapping, Sequence

import requests

from shared.clients.fhir import answers
from shared.clients.fhir.capabilities import Capabilities, Learned, told_capabilities
from shared.clients.fhir.faults import fault_of
from shared.clients.fhir.links import followed
from shared.clients.http import Answer, HttpService
from shared.clients.json_body import json_bytes, json_of
from shared.errors import (
    ConflictError,
    FhirRefusedError,
    IncompatibleServerError,
    OutageError,
    PagingError,
    ThrottledError,
    TransientError,
)
from shared.model import Resource, Written

FHIR_JSON = "application/fhir+json"
MAX_URL = 1_500
"""Characters of a search by GET: servers and proxies refuse from 2,000 (nginx 8,000) on; more is asked by POST."""
MAX_PAGES = 200
PAGE_SIZE = 200
"""Resources: some servers give 20 and no link to the rest. More than 200 many do not take."""


class FhirClient:
    """One FHIR R4 server."""

    def __init__(self, service: HttpService, learned: Learned | None = None) -> None:
        self.service = service
        self._learned = learned or Learned()
        self._checked = False

    @property
    def calls(self) -> int:
        """HTTP requests made so far."""
        return self.service.calls

    @property
    def capabilities(self) -> Capabilities:
        """What is known of the server by now."""
        return self._learned.known

    def manners(self) -> Mapping[str, str]:
        """The same in words."""
        return told_capabilities(self.capabilities)

    def check(self) -> None:
        """Raises IncompatibleServerError unless the server says it is R4 and takes transactions; asked once."""
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
        self._learned.declared(statement)
        self._checked = True

    def probe(self) -> None:
        """Raises OutageError unless the server answers: one study's fault is told apart from the server's."""
        self._statement("_elements=fhirVersion")  # HAPI's is 1.8 MB

    def search(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages. Raises PagingError, FhirRefusedError, TransientError, OutageError."""
        query = f"{query}&_count={PAGE_SIZE}"
        if len(query) > MAX_URL and self.capabilities.post_searches is not False:
            try:
                bundle = self._json("POST", f"/{resource_type}/_search", form=query)
            except FhirRefusedError:
                self._learned.learn(post_searches=False)
            else:
                self._learned.learn(post_searches=True)
                return self._matches(resource_type, bundle, f"{self._url}/{resource_type}/_search")
        path = f"/{resource_type}?{query}"
        return self._matches(resource_type, self._json("GET", path), self._url + path)

    def pages(self, resource_type: str, query: str, most: int) -> Iterator[list[Resource]]:
        """The matches page by page, at most so many pages: for a search whose matches are too many to hold at once."""
        path = f"/{resource_type}?{query}&_count={PAGE_SIZE}"
        return self._pages(resource_type, self._json("GET", path), self._url + path, most)

    def search_many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        """The matches of each search: in one request where the server takes batches (http.html#transaction)."""
        if len(searches) == 1 or self.capabilities.batches is False:
            return [self.search(*one) for one in searches]
        urls = [f"{resource_type}?{query}&_count={PAGE_SIZE}" for resource_type, query in searches]
        requests_ = [{"request": {"method": "GET", "url": url}} for url in urls]
        try:
            answer = self._json("POST", "", body={"resourceType": "Bundle", "type": "batch", "entry": requests_})
        except FhirRefusedError:
            self._learned.learn(batches=False)
            return [self.search(*one) for one in searches]
        try:
            entries = answers.entries_of(answer, len(searches))
        except ValueError as error:
            raise TransientError(f"{self._name}: the answer to a batch does not match what was sent: {error}") from None
        if any(map(answers.is_throttled, entries)):
            raise ThrottledError(f"{self._name}: status 429 to a search of a batch")
        # Some answer 200 to a batch and do none of it: that is no batch to pay for twice.
        self._learned.learn(batches=any(map(answers.is_done, entries)))
        # A search that failed in the batch is asked again by itself: its own answer tells why.
        return [
            self._matches(one[0], entry["resource"], f"{self._url}/{url}")
            if answers.is_done(entry) and isinstance(entry.get("resource"), dict)
            else self.search(*one)
            for one, url, entry in zip(searches, urls, entries, strict=True)
        ]

    def read(self, reference: str) -> Resource | None:
        """The resource as it is now, whatever searches say of it yet; `reference` is `Patient/7`. None: it is gone.

        Its version is filled in from the ETag where `meta` does not tell it.
        """
        answer = self._send("GET", f"/{reference}")
        if answer.status_code in (requests.codes.not_found, requests.codes.gone):
            return None
        try:
            resource = answers.resource_of(self._content(answer), reference.split("/", maxsplit=1)[0])
        except ValueError as error:
            raise TransientError(f"{self._name}: the answer to a read: {error}") from None
        version = answers.version_of(answer.headers.get("ETag", ""))
        if version and "versionId" not in resource.get("meta", {}):
            resource["meta"] = {**resource.get("meta", {}), "versionId": version}
        return resource

    def transact(self, bundle: Resource) -> list[Written]:
        """What became of each entry, in their order. Raises ConflictError, FhirRefusedError, TransientError."""
        size, conditional = len(bundle["entry"]), _is_conditional(bundle)
        answer = self._send("POST", "", body=json_bytes(bundle), headers={"Prefer": "return=minimal"})
        if answer.status_code >= requests.codes.bad_request:
            is_largest = size > self.capabilities.limit(conditional=conditional).taken
            error = fault_of(self._name, answer, sent=size, is_largest=is_largest)
            if isinstance(error, ConflictError):
                self._learned.learn(conflict_status=answer.status_code)
            raise error
        try:
            written = [answers.written_of(one) for one in answers.entries_of(self._content(answer), size)]
        except ValueError as error:
            raise TransientError(
                f"{self._name}: the answer to a transaction does not match what was sent: {error}"
            ) from None
        self._learned.took(size, conditional=conditional)
        return written

    def most_entries(self, *, conditional: bool) -> int:
        """Entries that a transaction may have, with `ifNoneExist` or without."""
        return self.capabilities.limit(conditional=conditional).most

    def too_many_entries(self, size: int, *, conditional: bool) -> None:
        """A transaction of so many was refused, and its parts were taken."""
        self._learned.too_many(size, conditional=conditional)

    def kept(self, **seen: bool) -> None:
        """What was seen by reading back: `source_kept`, `tag_kept`, `delete_if_match`."""
        self._learned.learn(**seen)

    def _matches(self, resource_type: str, bundle: Resource, asked: str) -> list[Resource]:
        """Of all pages."""
        found = [one for page in self._pages(resource_type, bundle, asked, MAX_PAGES) for one in page]
        self._learned.found(found)
        return found

    def _pages(self, resource_type: str, bundle: Resource, asked: str, most: int) -> Iterator[list[Resource]]:
        """Each page is asked for once."""
        seen = {asked}
        for _ in range(most):
            try:
                page = answers.page_of(bundle, resource_type)
            except ValueError as error:
                raise TransientError(f"{self._name}: the answer to a search for {resource_type}: {error}") from None
            given = len(page.resources)
            if page.following is None and len(seen) == 1 and given < page.total:
                raise PagingError(f"{self._name}: {given} of {page.total} {resource_type}s, and no next page")
            yield page.resources
            if page.following is None:
                return
            if given > (self.capabilities.page_size or 0):
                self._learned.learn(page_size=given)
            asked = followed(self._url, asked, page.following, self.capabilities.base)
            if asked in seen:
                raise PagingError(f"{self._name}: a link to the next page of {resource_type} leads to one read before")
            seen.add(asked)
            bundle = self._json("GET", asked)
        raise PagingError(f"{self._name}: a search for {resource_type} has more than {most} pages")

    def _statement(self, elements: str = "") -> Resource:
        """The CapabilityStatement. A server that cannot even give that is down."""
        try:
            return self._json("GET", f"/metadata?{elements}" if elements else "/metadata")
        except TransientError as error:
            raise OutageError(self._name, str(error)) from error

    def _json(self, method: str, path: str, body: Resource | None = None, form: str | None = None) -> Resource:
        """The answer to a request that changes nothing. `form`: a query that is sent in the body."""
        content = json_bytes(body) if body else form.encode() if form else None
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        return self._content(self._send(method, path, body=content, headers=kind))

    def _send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Servers may answer a search from memory, for a minute: what was written since would be missing."""
        said = {"Accept": FHIR_JSON, "Cache-Control": "no-cache"}
        said |= {"Content-Type": FHIR_JSON} if body else {}
        return self.service.send(method, path, body=body, headers=said | (headers or {}))

    def _content(self, answer: Answer) -> Resource:
        if answer.status_code >= requests.codes.bad_request:
            raise fault_of(self._name, answer)
        try:
            content = json_of(answer)
        except ValueError as error:
            raise TransientError(f"{self._name}: {error}") from None
        if not isinstance(content, dict):
            raise TransientError(f"{self._name}: the answer is not a JSON object")
        return content

    @property
    def _name(self) -> str:
        return self.service.name

    @property
    def _url(self) -> str:
        return self.service.url


def _is_conditional(bundle: Resource) -> bool:
    return any("ifNoneExist" in entry["request"] for entry in bundle["entry"])
