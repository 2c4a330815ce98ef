"""Searches of a FHIR server: by GET or POST, one by one or as a batch, over all pages (FHIR R4, search.html)."""

from collections.abc import Iterator, Sequence

from shared.clients.fhir import answers
from shared.clients.fhir.capabilities import Learned
from shared.clients.fhir.exchange import Exchange
from shared.clients.fhir.links import followed
from shared.errors import FhirRefusedError, PagingError, ThrottledError, TransientError
from shared.model import Resource

MAX_URL = 1_500
"""Characters of a search by GET: servers and proxies refuse from 2,000 (nginx 8,000) on; more is asked by POST."""
MAX_PAGES = 200
PAGE_SIZE = 200
"""Resources: some servers give 20 and no link to the rest. More than 200 many do not take."""


class Searches:
    """What they show of the server is learned."""

    def __init__(self, exchange: Exchange, learned: Learned) -> None:
        self._exchange = exchange
        self._name = exchange.name
        self._learned = learned

    def one(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages. Raises PagingError, FhirRefusedError, TransientError, OutageError."""
        query = f"{query}&_count={PAGE_SIZE}"
        if len(query) > MAX_URL and self._learned.known.post_searches is not False:
            try:
                bundle = self._exchange.json("POST", f"/{resource_type}/_search", form=query)
            except FhirRefusedError:
                self._learned.learn(post_searches=False)
            else:
                self._learned.learn(post_searches=True)
                return self._matches(resource_type, bundle, f"{self._exchange.url}/{resource_type}/_search")
        path = f"/{resource_type}?{query}"
        return self._matches(resource_type, self._exchange.json("GET", path), self._exchange.url + path)

    def pages(self, resource_type: str, query: str, most: int) -> Iterator[list[Resource]]:
        """The matches page by page, at most so many pages: for a search whose matches are too many to hold at once."""
        path = f"/{resource_type}?{query}&_count={PAGE_SIZE}"
        return self._pages(resource_type, self._exchange.json("GET", path), self._exchange.url + path, most)

    def many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        """The matches of each search: in one request where the server takes batches (http.html#transaction)."""
        if len(searches) == 1 or self._learned.known.batches is False:
            return [self.one(*one) for one in searches]
        urls = [f"{resource_type}?{query}&_count={PAGE_SIZE}" for resource_type, query in searches]
        requests_ = [{"request": {"method": "GET", "url": url}} for url in urls]
        try:
            answer = self._exchange.json(
                "POST", "", body={"resourceType": "Bundle", "type": "batch", "entry": requests_}
            )
        except FhirRefusedError:
            self._learned.learn(batches=False)
            return [self.one(*one) for one in searches]
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
            self._matches(one[0], entry["resource"], f"{self._exchange.url}/{url}")
            if answers.is_done(entry) and isinstance(entry.get("resource"), dict)
            else self.one(*one)
            for one, url, entry in zip(searches, urls, entries, strict=True)
        ]

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
            if given > (self._learned.known.page_size or 0):
                self._learned.learn(page_size=given)
            asked = followed(self._exchange.url, asked, page.following, self._learned.known.base)
            if asked in seen:
                raise PagingError(f"{self._name}: a link to the next page of {resource_type} leads to one read before")
            seen.add(asked)
            bundle = self._exchange.json("GET", asked)
        raise PagingError(f"{self._name}: a search for {resource_type} has more than {most} pages")
