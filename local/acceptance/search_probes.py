"""Probes of the server's searches, with Endpoints of the run and with the Observations of its dose report."""

import json
import time

from local.acceptance.ledger import Ledger
from local.acceptance.own_endpoints import OwnEndpoints
from local.acceptance.paging import next_link_shape
from local.acceptance.probe import Probe
from local.acceptance.server import OK, FhirAnswerError, FhirServer, Resource, next_link

_VISIBLE_SECONDS = 10.0
_AT_ONCE_SECONDS = 1.0


class SearchProbes:
    """The probes. Each returns the text for its row of the table."""

    def __init__(self, server: FhirServer, ledger: Ledger) -> None:
        self._server = server
        self._ledger = ledger
        self._endpoints = OwnEndpoints(server, ledger)

    def rows(self) -> list[tuple[str, Probe]]:
        """The probes with Endpoints, by the names of their rows."""
        return [
            ("meta.versionId in searches", self._versions),
            ("POST _search", self._post_search),
            ("a search after a write", self._delay),
            ("the same search without no-cache", self._cache),
        ]

    def page_rows(self, report: str) -> list[tuple[str, Probe]]:
        """The probes of pages, by the names of their rows. `report`: SOPInstanceUID of a large dose report in FHIR."""
        path = f"/Observation?identifier=urn:dicom:uid%7Curn:oid:{report}"
        return [
            ("page size", lambda: self._page_size(path)),
            ("link to the next page", lambda: self._next_link(f"{path}&_count=10")),
        ]

    def _versions(self) -> str:
        _, mark = self._endpoints.make()
        return "there" if self._endpoints.find(mark).get("meta", {}).get("versionId") else "missing"

    def _post_search(self) -> str:
        _, mark = self._endpoints.make()
        asked = f"identifier={self._ledger.system}%7C{mark}".encode()
        headers = {
            "Accept": "application/fhir+json",
            "Cache-Control": "no-cache",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = self._server.service.send("POST", "/Endpoint/_search", body=asked, headers=headers)
        if answer.status_code != OK:
            return f"refused ({answer.status_code})"
        return "taken" if mark.encode() in answer.content else "taken, and finds nothing"

    def _delay(self) -> str:
        _, mark = self._endpoints.make()
        began = time.monotonic()
        while not self._endpoints.with_mark(mark):
            if time.monotonic() - began > _VISIBLE_SECONDS:
                return f"does not find it within {_VISIBLE_SECONDS:.0f} s"
            time.sleep(0.1)
        took = time.monotonic() - began
        return "finds it at once" if took < _AT_ONCE_SECONDS else f"finds it after {took:.1f} s"

    def _cache(self) -> str:
        _, mark = self._endpoints.make()
        before = self._count_without_no_cache(mark)
        self._endpoints.make(mark)
        return "finds it too" if self._count_without_no_cache(mark) > before else "says what was before"

    def _count_without_no_cache(self, mark: str) -> int:
        """How many Endpoints a search finds that may be answered from a cache."""
        path = f"/Endpoint?identifier={self._ledger.system}%7C{mark}"
        answer = self._server.service.send("GET", path, headers={"Accept": "application/fhir+json"})
        return len(json.loads(answer.content).get("entry", [])) if answer.status_code == OK else 0

    def _page_size(self, path: str) -> str:
        bundle = self._first_page(path)
        count = len(bundle["entry"])
        return str(count) if next_link(bundle) else f"more than {count}"

    def _next_link(self, path: str) -> str:
        link = next_link(self._first_page(path))
        return next_link_shape(self._server.url, link) if link else "none, though ten Observations were asked for"

    def _first_page(self, path: str) -> Resource:
        bundle = next(self._server.pages(path))
        if not bundle.get("entry"):
            raise FhirAnswerError("there are no Observations to search for")
        return bundle
