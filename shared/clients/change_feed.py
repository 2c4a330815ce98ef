"""The DICOM service's change feed, v1 and v2.

Sequence numbers come from a database sequence: a rolled-back write leaves a hole for ever, a slow one shows up after
higher numbers. So nothing is given out that something may yet come before.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

import requests

from shared.clients.change_feed_entry import entry_of, hundred_nanoseconds, moment
from shared.clients.http import TRANSIENT_STATUSES, HttpService, json_of, retry_after_seconds, served_at
from shared.errors import FeedError, OutageError, TransientError
from shared.model import ChangeFeedEntry, FeedPage, Watermark

V1_WINDOW = 100  # sequence numbers; the service allows 1-100
V2_PAGE = 200  # entries; the service allows 1-200


class ChangeFeed:
    """What v1 and v2 have in common: requests, and entries out of JSON."""

    def __init__(self, service: HttpService, version: str, keep: frozenset[str]) -> None:
        self._service = service
        self._path = f"/{version}/changefeed"
        self._keep = keep

    def latest(self) -> ChangeFeedEntry | None:
        """The newest entry without metadata, None where the feed is empty."""
        url, answer = self._get(f"{self._path}/latest", {"includeMetadata": "false"})
        if answer.status_code == requests.codes.no_content or not answer.content:
            return None
        return entry_of(_json(url, answer), url)

    def entries(self, sequences: Collection[int]) -> list[ChangeFeedEntry]:
        """These entries as they are now, in windows of v1: v2 cannot be asked for a sequence number."""
        wanted = sorted(sequences)
        found: list[ChangeFeedEntry] = []
        while wanted:
            offset = wanted[0] - 1
            window = {"offset": str(offset), "limit": str(min(V1_WINDOW, wanted[-1] - offset))}
            entries, _ = self._read("/v1/changefeed", window)
            found += [entry for entry in entries if entry.sequence in sequences]
            wanted = [sequence for sequence in wanted if sequence > offset + V1_WINDOW]
        return found

    def _read(self, path: str, params: dict[str, str]) -> tuple[list[ChangeFeedEntry], datetime]:
        """The entries of one answer, and the service's clock at that moment."""
        url, answer = self._get(path, {**params, "includeMetadata": "true"})
        items = _json(url, answer)
        if not isinstance(items, list):
            raise FeedError(f"{url}: the answer is not a JSON array of change feed entries")
        return [entry_of(item, url, self._keep) for item in items], served_at(answer)

    def _get(self, path: str, params: dict[str, str]) -> tuple[str, requests.Response]:
        url = f"{self._service.url}{path}"
        try:
            answer = self._service.send("GET", path, params=params)
        except TransientError as error:  # without the feed nothing can go on
            raise OutageError(self._service.name, str(error)) from error
        if answer.status_code in TRANSIENT_STATUSES:
            wait = retry_after_seconds(answer)
            asked = f", asks to wait {wait:.0f} s" if wait else ""
            raise OutageError(self._service.name, f"{answer.status_code} from {url}{asked}")
        if answer.status_code not in (requests.codes.ok, requests.codes.no_content):
            raise FeedError(f"{url}: status {answer.status_code}; is this a DICOM service with a change feed?")
        return url, answer


class ChangeFeedV1(ChangeFeed):
    """By sequence number: a window is (offset, offset + limit]. A hole beside young entries may still fill."""

    def __init__(self, service: HttpService, gap_grace_seconds: float, keep: frozenset[str]) -> None:
        super().__init__(service, "v1", keep)
        self._grace = timedelta(seconds=gap_grace_seconds)

    def pages(self, after: Watermark) -> Iterator[FeedPage]:
        """Windows up to the entry that was the latest when the reading began. An empty window is not the end."""
        latest = self.latest()
        end = latest.sequence if latest else 0
        offset = after.sequence
        while offset < end:
            limit = min(V1_WINDOW, end - offset)
            entries, as_of = self._read(self._path, {"offset": str(offset), "limit": str(limit)})
            settled, hole = before_young_hole(entries, after, as_of - self._grace)
            if settled:
                after = Watermark(settled[-1].sequence, settled[-1].timestamp)
            if settled or hole:
                yield FeedPage(settled, after, hole)
            if hole:
                return
            offset += limit


class ChangeFeedV2(ChangeFeed):
    """By time: entries younger than the grace period wait, since a slow write may yet come before them."""

    def __init__(self, service: HttpService, gap_grace_seconds: float, keep: frozenset[str]) -> None:
        super().__init__(service, "v2", keep)
        self._grace = timedelta(seconds=gap_grace_seconds)

    def pages(self, after: Watermark) -> Iterator[FeedPage]:
        """Entries of [after, now - grace), by timestamp and sequence; those up to `after` are left out."""
        _, latest = self._get(f"{self._path}/latest", {"includeMetadata": "false"})
        window = {"endTime": (served_at(latest) - self._grace).isoformat()}
        start = after.timestamp or self._timestamp_of(after)
        if start:
            window["startTime"] = start
            if moment(start) >= moment(window["endTime"]):
                return
        done = (hundred_nanoseconds(start), after.sequence) if start else (0, after.sequence)
        offset = 0
        while True:
            entries, _ = self._read(self._path, {**window, "offset": str(offset), "limit": str(V2_PAGE)})
            fresh = [entry for entry in entries if (hundred_nanoseconds(entry.timestamp), entry.sequence) > done]
            if fresh:
                done = hundred_nanoseconds(fresh[-1].timestamp), fresh[-1].sequence
                yield FeedPage(fresh, Watermark(fresh[-1].sequence, fresh[-1].timestamp))
            if len(entries) < V2_PAGE:
                return
            offset += len(entries)

    def _timestamp_of(self, watermark: Watermark) -> str | None:
        """When the entry at the watermark was made: a row written by v1's predecessor holds a sequence only."""
        if watermark.sequence == 0:
            return None
        entries = self.entries({watermark.sequence})
        if not entries:
            raise FeedError(
                f"{self._service.url}/v1/changefeed: no entry {watermark.sequence} to take the time from; "
                "let one tick run with DicomWeb__ApiVersion v1 first"
            )
        return entries[0].timestamp


def before_young_hole(
    entries: list[ChangeFeedEntry], after: Watermark, old_before: datetime
) -> tuple[list[ChangeFeedEntry], str | None]:
    """The entries up to the first hole that may still fill, and what is missing there."""
    expected = after.sequence + 1
    for position, entry in enumerate(entries):
        if entry.sequence > expected and moment(entry.timestamp) > old_before:
            return entries[:position], f"sequence {expected} is missing and may still come"
        expected = entry.sequence + 1
    return entries, None


def _json(url: str, answer: requests.Response) -> Any:
    try:
        return json_of(answer)
    except ValueError as error:
        raise FeedError(f"{url}: {error}") from None
