"""Searches of a FHIR server: by GET or POST, one by one or as a batch, over all pages (FHIR R4, search.html)."""

import re
from collections.abc import Iterator, Sequence

import requests

from shared.clients.fhir import answers
from shared.clients.fhir.capabilities import LearnedCapabilities
from shared.clients.fhir.exchange import Exchange
from shared.clients.fhir.forms import Forms
from shared.clients.fhir.links import followed
from shared.errors import FhirRefusedError, PagingError, ThrottledError, TransientError
from shared.model.fhir import Resource

MAX_URL = 1_500
"""Characters of a query by GET; longer ones go by POST. Servers and proxies refuse URLs from 2,000 (nginx 8,000) on."""
MAX_PAGES = 200
PAGE_SIZE = 200
"""Resources on a page. Without a number some servers give 20 and no link to the rest; many refuse more than 200."""

MAX_JOINED = 50
"""Identifiers in one search: few enough for all matches to fit one page."""
_JOINABLE = re.compile("(?P<name>(identifier|_id)=)(?P<value>[^&]*)(?P<rest>(&_elements=[^&]*)?)")


class Searches:
    """Searches of one server. What the answers show of the server goes into `learned`."""

    def __init__(self, exchange: Exchange, learned: LearnedCapabilities) -> None:
        self._exchange = exchange
        self._name = exchange.name
        self._learned = learned
        self._forms = Forms(exchange, learned)

    def one(self, resource_type: str, query: str) -> list[Resource]:
        """All matches, over all pages. Raises PagingError, FhirRefusedError, TransientError, OutageError."""
        query = f"{query}&_count={PAGE_SIZE}"
        bundle, asked = self._first_page(resource_type, query, by_post=len(query) > MAX_URL)
        return self._matches(resource_type, bundle, asked)

    def first(self, resource_type: str, query: str) -> list[Resource]:
        """The first page of the matches, by POST if the server takes forms, so that no log of URLs has the query."""
        bundle, asked = self._first_page(resource_type, f"{query}&_count={PAGE_SIZE}", by_post=True)
        return next(self._pages(resource_type, bundle, asked, 1), [])

    def pages(self, resource_type: str, query: str, most: int) -> Iterator[list[Resource]]:
        """The matches page by page, for searches whose matches are too many to hold at once.

        Raises PagingError if there are more than `most` pages.
        """
        bundle, asked = self._first_page(resource_type, f"{query}&_count={PAGE_SIZE}", by_post=False)
        return self._pages(resource_type, bundle, asked, most)

    def _first_page(self, resource_type: str, query: str, *, by_post: bool) -> tuple[Resource, str]:
        """The Bundle of the first page, and the URL that it came from."""
        if by_post and (bundle := self._forms.search(resource_type, query)) is not None:
            return bundle, f"{self._exchange.url}/{resource_type}/_search"
        path = f"/{resource_type}?{query}"
        return self._exchange.json("GET", path), self._exchange.url + path

    def many(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource]]:
        """For each search a list that holds its matches, by as few requests and searches as the server takes.

        Searches by one identifier are joined to one search of several values (search.html#combining), which costs the
        server a tenth. So a list may also hold matches of the other searches, and the caller compares identifiers.
        """
        is_taken = self._learned.known.joined_searches is not False
        joined = _joined(searches) if is_taken else {one: [one] for one in searches}
        found: dict[tuple[str, str], list[Resource]] = {}
        for search, matches in zip(joined, self._matches_or_refusals(list(joined)), strict=True):
            if isinstance(matches, FhirRefusedError):
                found |= self._one_by_one(joined[search], matches)
                continue
            if len(joined[search]) > 1:
                self._learned.learn(joined_searches=True)
            found |= dict.fromkeys(joined[search], matches)
        return [found[one] for one in searches]

    def _one_by_one(
        self, searches: Sequence[tuple[str, str]], error: FhirRefusedError
    ) -> dict[tuple[str, str], list[Resource]]:
        """The matches of searches that were refused when joined to one. Raises the error of one that fails alone."""
        found = {one: self.one(*one) for one in searches}
        if len(searches) > 1:  # each was answered alone, so it was the joining that was refused
            self._learned.learn_refusal(error, joined_searches=False)
        return found

    def _matches_or_refusals(self, searches: Sequence[tuple[str, str]]) -> list[list[Resource] | FhirRefusedError]:
        """The matches of each search, or the error if it is refused; by a batch, if the server takes batches."""
        entries = None
        if len(searches) > 1 and self._learned.known.batches is not False:
            entries = self._batch([f"{resource_type}?{query}&_count={PAGE_SIZE}" for resource_type, query in searches])
        if entries is None:
            return [self._matches_or_refusal(*one) for one in searches]
        return [self._matches_of_entry(*search, entry) for search, entry in zip(searches, entries, strict=True)]

    def _batch(self, urls: Sequence[str]) -> list[Resource] | None:
        """The entries of the answer to a batch of searches (http.html#transaction); None if batches are refused."""
        requests_ = [{"request": {"method": "GET", "url": url}} for url in urls]
        try:
            answer = self._exchange.json("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": requests_})
        except FhirRefusedError as error:
            self._learned.learn_refusal(error, batches=False)
            return None
        try:
            entries = answers.entries_of(answer, len(urls))
        except ValueError as error:
            raise TransientError(f"{self._name}: the answer to a batch does not match what was sent: {error}") from None
        if any(map(answers.is_throttled, entries)):
            raise ThrottledError(f"{self._name}: status 429 to a search of a batch")
        # Some servers answer 200 to a batch and do nothing of it: they get no further batch.
        self._learned.learn(batches=any(map(answers.is_done, entries)))
        return entries

    def _matches_of_entry(self, resource_type: str, query: str, entry: Resource) -> list[Resource] | FhirRefusedError:
        """The matches of one search of a batch, over all pages."""
        if not answers.is_done(entry) or not isinstance(entry.get("resource"), dict):
            return FhirRefusedError(f"{self._name}: a search of a batch was refused", status=requests.codes.bad_request)
        url = f"{self._exchange.url}/{resource_type}?{query}&_count={PAGE_SIZE}"
        return self._matches(resource_type, entry["resource"], url)

    def _matches_or_refusal(self, resource_type: str, query: str) -> list[Resource] | FhirRefusedError:
        """The matches of one search. Raises the refusal of a search of one value, which cannot be asked in parts."""
        try:
            return self.one(resource_type, query)
        except FhirRefusedError as error:
            if "," not in query:
                raise
            return error

    def _matches(self, resource_type: str, bundle: Resource, asked: str) -> list[Resource]:
        """The matches on this page and all that follow."""
        found = [one for page in self._pages(resource_type, bundle, asked, MAX_PAGES) for one in page]
        self._learned.learn_from_matches(found)
        return found

    def _pages(self, resource_type: str, bundle: Resource, asked: str, most: int) -> Iterator[list[Resource]]:
        """The resources page by page, from this Bundle on, which `asked` was answered with. No URL is read twice."""
        seen = {asked}
        for _ in range(most):
            try:
                page = answers.page_of(bundle, resource_type)
            except ValueError as error:
                raise TransientError(f"{self._name}: the answer to a search for {resource_type}: {error}") from None
            for one in page.resources:
                answers.made_relative(one, (self._exchange.url, self._learned.known.base))
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


def _joined(searches: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The searches to make, each with the given searches that it answers.

    Searches by the same parameter of one resource type, for the same elements, are joined: their values are separated
    by commas. A comma within a value is escaped already.
    """
    alike: dict[tuple[str, str, str], dict[str, str]] = {}
    joined: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for resource_type, query in searches:
        if found := _JOINABLE.fullmatch(query):
            alike.setdefault((resource_type, found["name"], found["rest"]), {})[query] = found["value"]
        else:
            joined[resource_type, query] = [(resource_type, query)]
    for (resource_type, name, rest), queries in alike.items():
        asked = list(queries)
        for part in (asked[start : start + MAX_JOINED] for start in range(0, len(asked), MAX_JOINED)):
            values = ",".join(queries[query] for query in part)
            joined[resource_type, f"{name}{values}{rest}"] = [(resource_type, query) for query in part]
    return joined
