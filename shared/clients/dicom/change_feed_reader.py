"""The change feed's requests and answers. If a window cannot be read, the entries at fault are found by bisection."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import requests

from shared.clients.dicom.bisection import Bisection, Response, is_of_the_window, readable
from shared.clients.dicom.change_feed_entry import entry_of, sequence_of, torn_entry_of
from shared.clients.dicom.feed_window import Window, WindowRead, checked
from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.header_times import served_at
from shared.clients.http import HttpService
from shared.clients.http_answer import Answer
from shared.clients.json_body import json_of
from shared.errors import FeedError, OutageError, OutOfTimeError, RefusedWindowError, TornAnswerError
from shared.model.change_feed import FeedEntry, TornEntry

V1 = "/v1/changefeed"
_DISTANCES = (10, 100, 1_000, 10_000, 100_000)
"""How far from a torn entry others are looked for, in sequence numbers."""
_ADVICE = "DicomCast__Features__IgnoreJsonParsingErrors = true records such an entry and passes it"


class FeedReader:
    """Reads windows of the feed.

    `keep`: gives the tags of the metadata to read. `pass_torn`: an entry that cannot be read is returned as a
    TornEntry; without it, such an entry is an error.
    """

    def __init__(self, service: HttpService, keep: Callable[[], frozenset[str]], *, pass_torn: bool) -> None:
        self.service = service
        self._parser = MetadataParser(keep)
        self._pass_torn = pass_torn

    def latest(self) -> FeedEntry | None:
        """The newest entry without metadata; torn if only its sequence can be read; None if the feed is empty."""
        return self.latest_with_clock()[0]

    def latest_with_clock(self) -> tuple[FeedEntry | None, datetime]:
        """The newest entry as `latest` has it, and the service's clock."""
        url, answer = self._get(f"{V1}/latest", {"includeMetadata": "false"})
        return (_entry(_json(url, answer), url) if _has_content(answer) else None), served_at(answer.headers)

    def read(self, window: Window) -> WindowRead:
        """The window's entries, and the service's clock. Raises FeedError, OutageError."""
        try:
            entries, as_of = self._request(window)
            found, bisection = WindowRead(window, entries, as_of, window.limit), None
        except (FeedError, OutageError) as error:
            if not is_of_the_window(error):
                raise
            bisection = Bisection(self._request)
            found = bisection.read(window, error)
            if bisection.is_by_status:
                self._ensure_other_metadata(found.entries, error)
        torn = [entry for entry in found.entries if isinstance(entry, TornEntry)]
        if not torn:
            return found
        has_identities = bisection is not None and not bisection.unread  # read without metadata
        is_any_read = has_identities or bool(readable(found.entries, with_metadata=False))
        if not is_any_read and not self._is_any_other_readable(torn[0]):
            raise FeedError(f"{torn[0].message}; no entry of the window can be read: is this a change feed?")
        if not self._pass_torn:
            raise FeedError(f"{torn[0].message}; {_ADVICE}")
        return found

    def _ensure_other_metadata(self, entries: Sequence[FeedEntry], error: FeedError | OutageError) -> None:
        """Raises `error` if the metadata of no other entry can be read now: then the torn entry is not at fault."""
        torn = next((entry for entry in entries if isinstance(entry, TornEntry)), None)
        if torn is None:
            return
        for good in readable(entries, with_metadata=True)[:1]:
            if self._is_readable(Window(V1, good.sequence - 1, 1), with_metadata=True):
                return
        if not self._is_any_other_readable(torn, with_metadata=True):
            raise error

    def _is_any_other_readable(self, torn: FeedEntry, *, with_metadata: bool = False) -> bool:
        """Whether another entry can be read: some before the torn one and after it, and the newest, are tried."""
        try:
            latest = self.latest()
        except (FeedError, OutageError):
            return False
        if latest is None:
            return False
        places = [torn.sequence - distance for distance in _DISTANCES]
        places += [torn.sequence + distance for distance in _DISTANCES if torn.sequence + distance < latest.sequence]
        offsets = dict.fromkeys(max(0, place - 1) for place in [*places, latest.sequence - 9])
        return any(self._is_readable(Window(V1, offset, 10), with_metadata=with_metadata) for offset in offsets)

    def _is_readable(self, window: Window, *, with_metadata: bool) -> bool:
        """Whether any entry of the window can be read."""
        try:
            entries, _ = self._request(window if with_metadata else window.without_metadata())
        except (FeedError, OutageError):
            return False
        return bool(readable(entries, with_metadata=with_metadata))

    def _request(self, window: Window) -> Response:
        """The window's entries, and the service's clock, by one request."""
        params = {"offset": str(window.offset), "limit": str(window.limit)}
        params["includeMetadata"] = "true" if window.metadata else "false"
        url, answer = self._get(window.path, {**(window.params or {}), **params})
        items = _json(url, answer, self._parser.entries)
        if not isinstance(items, list):
            raise TornAnswerError(f"{url}: the answer is not a JSON array of change feed entries")
        return checked([_entry(item, url) for item in items], window, url), served_at(answer.headers)

    def _get(self, path: str, params: dict[str, str]) -> tuple[str, Answer]:
        url = f"{self.service.url}{path}"
        try:
            answer = self.service.fetch(path, params=params)
        except OutOfTimeError as error:  # no work can go on without the feed
            raise OutageError(self.service.name, str(error)) from error
        if answer.status_code not in (requests.codes.ok, requests.codes.no_content):
            raise RefusedWindowError(f"{url}: status {answer.status_code}; is this a DICOM service with a change feed?")
        return url, answer


def _has_content(answer: Answer) -> bool:
    return answer.status_code != requests.codes.no_content and bool(answer.content)


def _entry(item: Any, url: str) -> FeedEntry:
    try:
        return entry_of(item, url)
    except TornAnswerError as error:
        sequence_of(item, url)
        return torn_entry_of(item, url, str(error))


def _json(url: str, answer: Answer, parse: Callable[[Answer], Any] = json_of) -> Any:
    try:
        return parse(answer)
    except ValueError as error:
        raise TornAnswerError(f"{url}: {error}") from None
