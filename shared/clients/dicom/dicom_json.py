"""Requests to the DICOM service that are answered with DICOM JSON (PS3.18 F), in any data partition."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from shared.clients.http import HttpService, Params
from shared.clients.http_answer import Answer, Stream
from shared.clients.json_body import json_of
from shared.errors import FeedError
from shared.model.change_feed import DEFAULT_PARTITION

DICOM_JSON = "application/dicom+json"
PAGE = 200  # of a search; the service allows 1-200
_ACCEPT = {"Accept": DICOM_JSON}


class DicomJsonService:
    """One DICOM service. `version` is that of its API; a `path` has no slash at its beginning."""

    def __init__(self, service: HttpService, version: str) -> None:
        self._service = service
        self._version = version

    def url(self, path: str) -> str:
        """The URL that errors name. It leaves out version and partition."""
        return f"{self._service.url}/{path}"

    def items(self, partition: str, path: str, params: Params | None = None) -> list[Mapping[str, Any]]:
        """The DICOM JSON objects at a path within the partition; none if it does not exist.

        Raises FeedError, OutageError.
        """
        return self.items_of(self.fetch(partition, path, params), path)

    def items_of(self, answer: Answer, path: str, parse: Callable[[Answer], Any] = json_of) -> list[Mapping[str, Any]]:
        """The objects of an answer; empty if nothing was found. Raises FeedError if it is not a list of DICOM JSON."""
        if not self.is_found(answer, path):
            return []
        try:
            items = parse(answer)
        except ValueError as error:
            raise FeedError(f"{self.url(path)}: {error}") from None
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise FeedError(f"{self.url(path)}: the answer is not a JSON array of DICOM JSON objects")
        return items

    def is_found(self, answer: Answer | Stream, path: str) -> bool:
        """Whether there is something at the path. Raises FeedError if the status says neither."""
        if answer.status_code in (requests.codes.not_found, requests.codes.no_content):
            return False
        if answer.status_code != requests.codes.ok:
            raise FeedError(f"{self.url(path)}: status {answer.status_code}")
        return True

    def fetch(self, partition: str, path: str, params: Params | None = None) -> Answer:
        """The answer, whatever its status. Raises OutageError."""
        *others, last = self._paths(partition, path)
        for one in others:
            answer = self._service.fetch(one, params=params, headers=_ACCEPT)
            if answer.status_code != requests.codes.bad_request:
                return answer
        return self._service.fetch(last, params=params, headers=_ACCEPT)

    @contextmanager
    def opened(self, partition: str, path: str) -> Iterator[Stream]:
        """As `fetch`, but the body is read while it comes."""
        *others, last = self._paths(partition, path)
        for one in others:
            with self._service.stream(one, headers=_ACCEPT) as stream:
                if stream.status_code != requests.codes.bad_request:
                    yield stream
                    return
        with self._service.stream(last, headers=_ACCEPT) as stream:
            yield stream

    def _paths(self, partition: str, path: str) -> list[str]:
        """The paths to try in turn, the next one if the service answers 400 to the one before."""
        within_partition = f"/{self._version}/partitions/{partition}/{path}"
        if partition != DEFAULT_PARTITION:
            return [within_partition]
        return [f"/{self._version}/{path}", within_partition]  # if partitions are on, each path has to name one


def is_followed(answer: Answer, count: int) -> bool:
    """Whether another page follows this one of `count` items.

    It does if this page is full, or if it is not and the service warns that there are more (PS3.18 8.3.4.4). A page
    with more items than were asked for comes from a service without pages.
    """
    return count == PAGE or (0 < count < PAGE and "299" in answer.headers.get("Warning", ""))


def uid_of(metadata: Mapping[str, Any], tag: str, path: str) -> str:
    """The UID at this tag. Raises FeedError, which names the path, if there is none."""
    uid = value_of(metadata, tag).strip(" \0")
    if not uid:
        raise FeedError(f"{path}: an instance without StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID")
    return uid


def value_of(metadata: Mapping[str, Any], tag: str) -> str:
    """The first value at this tag as text; empty if there is none, or it is not in the form of DICOM JSON."""
    element = metadata.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list) and values else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
