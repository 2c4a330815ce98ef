"""A FHIR client for the checks: it authenticates as the app does, and uses none of the app's FHIR code."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from shared.clients.http import HttpService
from shared.clients.http_answer import Answer
from shared.errors import TransientError

Resource = dict[str, Any]

MAX_PAGES = 200
OK, CREATED, BAD_REQUEST, NOT_FOUND, GONE = 200, 201, 400, 404, 410
_FHIR_JSON = "application/fhir+json"
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64})(?:/_history/.*)?$")


class FhirAnswerError(Exception):
    """The server's answer is an error or cannot be read. The message has nothing of its content."""


class FhirServer:
    """One FHIR R4 server; nothing is read from a cache (RFC 9111, 5.2.1.4).

    All methods raise OutageError and TransientError; all but `send` raise FhirAnswerError.
    """

    def __init__(self, service: HttpService) -> None:
        self.service = service
        self.url = service.url
        self._inner_path = ""

    def statement(self) -> Resource:
        """The CapabilityStatement. The path of the URL that it has for the server is kept, for links to pages."""
        statement = self._object(self.send("GET", "/metadata"), "metadata")
        self._inner_path = urlsplit(statement.get("implementation", {}).get("url", "")).path.rstrip("/")
        return statement

    def send(
        self, method: str, path: str, body: Resource | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends a request. Returns the answer, whatever its status is."""
        defaults = {"Accept": _FHIR_JSON, "Cache-Control": "no-cache"} | ({"Content-Type": _FHIR_JSON} if body else {})
        content = json.dumps(body).encode() if body else None
        return self.service.send(method, path, body=content, headers={**defaults, **(headers or {})})

    def transact(self, *entries: Resource) -> tuple[int, list[Resource]]:
        """Sends a transaction. Returns the status, and the entries of the answer; none if the status is an error."""
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
        answer = self.send("POST", "", bundle)
        if answer.status_code >= BAD_REQUEST:
            return answer.status_code, []
        return answer.status_code, list(self._object(answer, "transaction").get("entry", []))

    def read(self, reference: str) -> Resource | None:
        """The resource; None if it does not exist. `reference`: `Type/id`."""
        answer = self.send("GET", f"/{reference}")
        return None if answer.status_code in (NOT_FOUND, GONE) else self._object(answer, f"read of {reference}")

    def search(self, resource_type: str, query: Mapping[str, str]) -> list[Resource]:
        """All matches of a search, from all pages."""
        bundles = self.pages(f"/{resource_type}?{urlencode(query)}")
        found = [entry.get("resource", {}) for bundle in bundles for entry in bundle.get("entry", [])]
        return [one for one in found if one.get("resourceType") == resource_type]

    def identified(self, resource_type: str, system: str, value: str) -> list[Resource]:
        """All resources of the type that have the identifier."""
        return self.search(resource_type, {"identifier": f"{system}|{value}"})

    def pages(self, path: str) -> Iterator[Resource]:
        """The pages of a search, as Bundles. Raises FhirAnswerError if they repeat or are more than MAX_PAGES."""
        asked: set[str] = set()
        while path not in asked and len(asked) < MAX_PAGES:
            asked.add(path)
            bundle = self._object(self.send("GET", path), "search")
            yield bundle
            link = next_link(bundle)
            if link is None:
                return
            path = self._below(link)
        raise FhirAnswerError(f"the pages of a search have no end: {len(asked)} were read")

    def _below(self, link: str) -> str:
        """Path and query of a page, below the base URL. The link's host is ignored: we only ask our own server.

        Raises FhirAnswerError if the link is not below the base URL, nor below the URL that the server has for itself.
        """
        target, base = urlsplit(urljoin(f"{self.url}/", link)), urlsplit(self.url).path
        for root in (base, self._inner_path):
            if target.path == root or target.path.startswith(f"{root}/"):
                return target.path.removeprefix(root) + (f"?{target.query}" if target.query else "")
        raise FhirAnswerError("the next page of a search is not below the base URL")

    def _object(self, answer: Answer, asked: str) -> Resource:
        if answer.status_code >= BAD_REQUEST:
            raise FhirAnswerError(f"status {answer.status_code} to a {asked}")
        try:
            content = json.loads(answer.content)
        except ValueError:
            raise FhirAnswerError(f"the answer to a {asked} is not JSON") from None
        if not isinstance(content, dict):
            raise FhirAnswerError(f"the answer to a {asked} is not an object")
        return content


FAULTS = (FhirAnswerError, TransientError)
"""Errors of one request; after an OutageError, further requests are of no use."""


def next_link(bundle: Resource) -> str | None:
    """The link to the next page; None on the last."""
    return next((link.get("url") for link in bundle.get("link", []) if link.get("relation") == "next"), None)


def reference_of(location: str) -> str | None:
    """`Type/id` of a URL, with or without a version; None if the URL has none."""
    found = _REFERENCE.search(location)
    return found[1] if found else None


def created(entry: Resource) -> str | None:
    """`Type/id` of the resource that an entry of a transaction created; None if it created none, or does not say which.

    `entry`: of the answer.
    """
    response = entry.get("response", {})
    if not str(response.get("status", "")).startswith("201"):
        return None
    resource = entry.get("resource") or {}
    from_resource = f"{resource.get('resourceType')}/{resource.get('id')}" if "id" in resource else ""
    return reference_of(str(response.get("location") or from_resource))


def code_of(entry: Resource) -> str:
    """The HTTP status of one entry of a transaction's answer."""
    return str(entry.get("response", {}).get("status", "none")).split()[0]
