"""A DICOM service and a FHIR server behind the real clients, without sockets; what they answer may be altered."""

import io
import json
import re
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_reader import FeedReader
from shared.clients.dicom.dicomweb import DicomWeb
from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.mapping.dose.mapped_report import REPORT_KEYS
from shared.mapping.resources import MAPPED_KEYS
from tests.bench.memory_fhir import MemoryFhir, RefusedError
from tests.fakes import ports

DICOM, FHIR = "http://dicom.test", "http://fhir.test"
KEYS = MAPPED_KEYS | REPORT_KEYS
Alter = Callable[[str, Any], Any]
"""What becomes of an answer: what was asked (method, URL and body as text), and the JSON that is right."""


class Archive:
    """`entries`: of the change feed, as API v1 tells them; what an instance says now stands in its last one."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._entries = entries

    def answer(self, path: str, query: dict[str, list[str]]) -> Any:
        """None: there is none of it."""
        _, _version, *names = path.split("/")
        if names == ["changefeed", "latest"]:
            return self._told(self._entries[-1], query)
        if names == ["changefeed"]:
            offset, limit = (int(query[name][0]) for name in ("offset", "limit"))
            window = [one for one in self._entries if offset < one["Sequence"] <= offset + limit]
            return [self._told(one, query) for one in window]
        named = dict(zip(names[::2], names[1::2], strict=False))
        held = {
            one["SopInstanceUid"]: one["Metadata"]
            for one in self._entries
            if one["StudyInstanceUid"] == named["studies"]
        }
        found = [one for one in held.values() if _uid(one, "0020000E") == named.get("series", _uid(one, "0020000E"))]
        found = [one for one in found if _uid(one, "00080018") == named.get("instances", _uid(one, "00080018"))]
        if names[-1] == "series":
            found = list({_uid(one, "0020000E"): one for one in found}.values())
        return found or None

    def _told(self, entry: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
        has_metadata = query["includeMetadata"] == ["true"]
        return {name: value for name, value in entry.items() if has_metadata or name != "Metadata"}


def _uid(metadata: dict[str, Any], key: str) -> str:
    return str(metadata[key]["Value"][0])


class Servers(requests.adapters.BaseAdapter):
    """Answers the sessions of both clients; `alter` sees each answer that is JSON."""

    def __init__(self, archive: Archive, fhir: MemoryFhir, now: Callable[[], datetime], alter: Alter) -> None:
        super().__init__()
        self._archive, self._fhir, self._now, self.alter = archive, fhir, now, alter

    def send(self, request: requests.PreparedRequest, **_how: Any) -> requests.Response:
        url = urlsplit(str(request.url))
        body = request.body or b""
        status, content = (
            self._of_fhir(request, url.path, url.query) if url.hostname == "fhir.test" else self._of_dicom(url)
        )
        if content:
            asked = f"{request.method} {request.url} {body.decode() if isinstance(body, bytes) else body}"
            content = json.dumps(self.alter(asked, json.loads(content)))
        response = requests.Response()
        response.status_code, response.url, response.request = status, str(request.url), request
        response.headers["Date"] = format_datetime(self._now(), usegmt=True)
        response.raw = io.BytesIO(content.encode())
        return response

    def close(self) -> None:
        pass

    def _of_fhir(self, request: requests.PreparedRequest, path: str, query: str) -> tuple[int, str]:
        try:
            body = request.body if isinstance(request.body, bytes) else b""
            return 200, self._fhir._answer(str(request.method), path.strip("/"), query, body, True)
        except RefusedError as error:
            return error.status, json.dumps({"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]})

    def _of_dicom(self, url: Any) -> tuple[int, str]:
        found = self._archive.answer(url.path, parse_qs(url.query))
        return (200, json.dumps(found)) if found is not None else (404, "")


def clients(servers: Servers, **others: Any) -> Any:
    """Ports with the real clients of both servers; all else are fakes."""
    dicom, fhir = HttpService("DICOM service", DICOM), HttpService("FHIR server", FHIR)
    for service in (dicom, fhir):
        service._session.mount("http://", servers)
    feed = ChangeFeed(FeedReader(dicom, lambda: KEYS, pass_torn=True), 30)
    return ports(feed=feed, archive=DicomWeb(dicom, "v2", lambda: KEYS), fhir=FhirClient(fhir), **others)


def about(word: str, other: str, asked: str, answer: Any) -> list[tuple[Any, ...]]:
    """The places of an answer that are about one study, and not about the other."""

    def says(value: Any, one: str) -> bool:
        return (
            re.search(rf"(?<![\d.]){re.escape(one)}(?![\d.])", value if isinstance(value, str) else json.dumps(value))
            is not None
        )

    if says(asked, word) and not says(asked, other):
        return [()]

    def inner(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if says(value, word) and not says(value, other):
            return [path]
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [place for name, one in items for place in inner(one, (*path, name))]

    return inner(answer, ())
