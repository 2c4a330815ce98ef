"""The change feed's requests and answers. A torn answer is halved until the entry to blame stands alone."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import requests

from shared.clients.change_feed_entry import entry_of, sequence_of, torn_entry_of
from shared.clients.http import Answer, HttpService
from shared.clients.json_body import json_of
from shared.clients.metadata_parser import MetadataParser
from shared.clients.said_times import served_at
from shared.errors import FeedError, OutageError, OutOfTimeError, TornAnswerError
from shared.model import ChangeFeedEntry, FeedEntry, TornEntry


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` places behind `offset`: sequence numbers in API v1; in v2 those of the answer that `params` ask for.

    `metadata`: whether the entries are to carry theirs.
    """

    path: str
    offset: int
    limit: int
    params: dict[str, str] | None = None
    metadata: bool = True

    def halves(self) -> tuple["Window", "Window"]:
        """The two parts of a window of more than one."""
        half = self.limit // 2
        return replace(self, limit=half), replace(self, offset=self.offset + half, limit=self.limit - half)


class FeedReader:
    """Reads windows of the feed.

    `keep`: the tags to keep of the metadata. `pass_torn`: an entry that cannot be read is given out as torn, where
    else it is an error.
    """

    def __init__(self, service: HttpService, keep: frozenset[str], *, pass_torn: bool) -> None:
        self.service = service
        self._parser = MetadataParser(keep)
        self._pass_torn = pass_torn

    def latest(self, path: str) -> ChangeFeedEntry | None:
        """The newest entry without metadata, None where the feed is empty."""
        url, answer = self._latest(path)
        return entry_of(_json(url, answer), url) if _has_content(answer) else None

    def latest_sequence(self, path: str) -> int:
        """The newest entry's sequence number, whatever else of it can be read; 0 where the feed is empty."""
        url, answer = self._latest(path)
        return sequence_of(_json(url, answer), url) if _has_content(answer) else 0

    def clock(self, path: str) -> datetime:
        """The service's clock."""
        return served_at(self._latest(path)[1].headers)

    def read(self, window: Window) -> tuple[Sequence[FeedEntry], datetime]:
        """The window's entries, and the service's clock. Raises FeedError, OutageError."""
        entries, as_of = self._read(window)
        torn = [entry for entry in entries if isinstance(entry, TornEntry)]
        if len(torn) == window.limit > 1:
            raise FeedError(f"{torn[0].message}; no entry of the window can be read: is this a change feed?")
        if torn and not self._pass_torn:
            advice = "DicomCast__Features__IgnoreJsonParsingErrors = true records such an entry and passes it"
            raise FeedError(f"{torn[0].message}; {advice}")
        return entries, as_of

    def _read(self, window: Window) -> tuple[list[FeedEntry], datetime]:
        try:
            return self._read_whole(window)
        except TornAnswerError as error:
            if window.limit == 1:
                return self._read_alone(window, error)
        first, second = window.halves()
        entries, as_of = self._read(first)
        return entries + self._read(second)[0], as_of

    def _read_whole(self, window: Window) -> tuple[list[FeedEntry], datetime]:
        params = {"offset": str(window.offset), "limit": str(window.limit)}
        params["includeMetadata"] = "true" if window.metadata else "false"
        url, answer = self._get(window.path, {**(window.params or {}), **params})
        items = _json(url, answer, self._parser.entries)
        if not isinstance(items, list):
            raise TornAnswerError(f"{url}: the answer is not a JSON array of change feed entries")
        return [_entry(item, url) for item in items], served_at(answer.headers)

    def _read_alone(self, window: Window, error: TornAnswerError) -> tuple[list[FeedEntry], datetime]:
        """One entry whose answer is torn: asked for once more, then without its metadata for the sake of its UIDs."""
        with contextlib.suppress(TornAnswerError):
            return self._read_whole(window)
        try:
            entries, as_of = self._read_whole(replace(window, metadata=False))
        except TornAnswerError:
            if window.params is not None:  # by time: nothing tells its number
                raise FeedError(f"{error}; nor can its sequence number be read") from None
            return [TornEntry(window.offset + 1, None, f"entry {window.offset + 1}: {error}")], datetime.now(UTC)
        return [_torn(entry, f"entry {entry.sequence}: {error}") for entry in entries], as_of

    def _latest(self, path: str) -> tuple[str, Answer]:
        return self._get(f"{path}/latest", {"includeMetadata": "false"})

    def _get(self, path: str, params: dict[str, str]) -> tuple[str, Answer]:
        url = f"{self.service.url}{path}"
        try:
            answer = self.service.fetch(path, params=params)
        except OutOfTimeError as error:  # without the feed nothing goes on
            raise OutageError(self.service.name, str(error)) from error
        if answer.status_code not in (requests.codes.ok, requests.codes.no_content):
            raise FeedError(f"{url}: status {answer.status_code}; is this a DICOM service with a change feed?")
        return url, answer


def _has_content(answer: Answer) -> bool:
    return answer.status_code != requests.codes.no_content and bool(answer.content)


def _entry(item: Any, url: str) -> FeedEntry:
    try:
        return entry_of(item, url)
    except TornAnswerError as error:
        return torn_entry_of(item, url, str(error))


def _torn(entry: FeedEntry, message: str) -> TornEntry:
    uids = (entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)
    return TornEntry(entry.sequence, entry.timestamp, message, *uids, entry.partition)


def _json(url: str, answer: Answer, parse: Callable[[Answer], Any] = json_of) -> Any:
    try:
        return parse(answer)
    except ValueError as error:
        raise TornAnswerError(f"{url}: {error}") from None
