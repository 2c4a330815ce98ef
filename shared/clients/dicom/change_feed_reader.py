"""The change feed's requests and answers. What cannot be read is narrowed down to the entry that is to blame."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import requests

from shared.clients.dicom.bisection import Asked, Bisection, is_of_the_window, witnesses
from shared.clients.dicom.change_feed_entry import entry_of, sequence_of, torn_entry_of
from shared.clients.dicom.feed_window import Window, WindowRead, asked_for
from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.header_times import served_at
from shared.clients.http import Answer, HttpService
from shared.clients.json_body import json_of
from shared.errors import FeedError, OutageError, OutOfTimeError, RefusedWindowError, TornAnswerError
from shared.model.change_feed import FeedEntry, TornEntry

V1 = "/v1/changefeed"
_WITNESS_DISTANCES = (10, 100, 1_000, 10_000, 100_000)
_ADVICE = "DicomCast__Features__IgnoreJsonParsingErrors = true records such an entry and passes it"


class FeedReader:
    """Reads windows of the feed.

    `keep`: the tags to keep of the metadata. `pass_torn`: an entry that cannot be read is given out as torn, where
    else it is an error.
    """

    def __init__(self, service: HttpService, keep: frozenset[str], *, pass_torn: bool) -> None:
        self.service = service
        self._parser = MetadataParser(keep)
        self._pass_torn = pass_torn

    def latest(self) -> FeedEntry | None:
        """The newest entry without metadata, torn where only its number can be read; None where the feed is empty."""
        return self.latest_with_clock()[0]

    def latest_with_clock(self) -> tuple[FeedEntry | None, datetime]:
        """The same, and the service's clock."""
        url, answer = self._get(f"{V1}/latest", {"includeMetadata": "false"})
        return (_entry(_json(url, answer), url) if _has_content(answer) else None), served_at(answer.headers)

    def read(self, window: Window) -> WindowRead:
        """The window's entries, and the service's clock. Raises FeedError, OutageError."""
        try:
            entries, as_of = self._ask(window)
            found, bisection = WindowRead(window, entries, as_of, window.limit), None
        except (FeedError, OutageError) as error:
            if not is_of_the_window(error):
                raise
            bisection = Bisection(self._ask)
            found = bisection.read(window, error)
            if bisection.is_by_status:
                self._ensure_metadata_elsewhere(found.entries, error)
        torn = [entry for entry in found.entries if isinstance(entry, TornEntry)]
        is_named = bisection is not None and not bisection.unnamed
        if torn and not is_named and not witnesses(found.entries, with_metadata=False) and not self._witness(torn[0]):
            raise FeedError(f"{torn[0].message}; no entry of the window can be read: is this a change feed?")
        if torn and not self._pass_torn:
            raise FeedError(f"{torn[0].message}; {_ADVICE}")
        return found

    def _ensure_metadata_elsewhere(self, entries: Sequence[FeedEntry], error: FeedError | OutageError) -> None:
        """Raises `error` where metadata cannot be had now of any entry: then it is no entry's own fault."""
        torn = next((entry for entry in entries if isinstance(entry, TornEntry)), None)
        if torn is None:
            return
        for good in witnesses(entries, with_metadata=True)[:1]:
            if self._shows(Window(V1, good.sequence - 1, 1), with_metadata=True):
                return
        if not self._witness(torn, with_metadata=True):
            raise error

    def _witness(self, torn: FeedEntry, *, with_metadata: bool = False) -> bool:
        """Whether any other entry can be read: some before the torn one, some after it, the feed's newest."""
        try:
            latest = self.latest()
        except (FeedError, OutageError):
            return False
        if latest is None:
            return False
        places = [torn.sequence - distance for distance in _WITNESS_DISTANCES]
        places += [
            torn.sequence + distance for distance in _WITNESS_DISTANCES if torn.sequence + distance < latest.sequence
        ]
        windows = dict.fromkeys(max(0, place - 1) for place in [*places, latest.sequence - 9])
        return any(self._shows(Window(V1, offset, 10), with_metadata=with_metadata) for offset in windows)

    def _shows(self, window: Window, *, with_metadata: bool) -> bool:
        try:
            asked = self._ask(window if with_metadata else window.without_metadata())
            return bool(witnesses(asked[0], with_metadata=with_metadata))
        except (FeedError, OutageError):
            return False

    def _ask(self, window: Window) -> Asked:
        """One request."""
        params = {"offset": str(window.offset), "limit": str(window.limit)}
        params["includeMetadata"] = "true" if window.metadata else "false"
        url, answer = self._get(window.path, {**(window.params or {}), **params})
        items = _json(url, answer, self._parser.entries)
        if not isinstance(items, list):
            raise TornAnswerError(f"{url}: the answer is not a JSON array of change feed entries")
        return asked_for([_entry(item, url) for item in items], window, url), served_at(answer.headers)

    def _get(self, path: str, params: dict[str, str]) -> tuple[str, Answer]:
        url = f"{self.service.url}{path}"
        try:
            answer = self.service.fetch(path, params=params)
        except OutOfTimeError as error:  # without the feed nothing goes on
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
