"""The DICOM service's own account of a study: WADO-RS metadata and QIDO-RS (PS3.18 10.4.1.1.2, 10.6)."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import requests

from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.dicom.metadata_stream import streamed_instances
from shared.clients.http import Answer, HttpService, Params, Stream
from shared.clients.json_body import json_of
from shared.errors import FeedError
from shared.model.change_feed import DEFAULT_PARTITION, Action, ChangeFeedEntry, State
from shared.model.listed_study import ListedStudy

DICOM_JSON = "application/dicom+json"
PAGE = 200  # of a search; the service allows 1-200
MOST_FOUND = 1_000_000
_ACCEPT = {"Accept": DICOM_JSON}
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_SEARCHED = {"StudyInstanceUID": _STUDY_UID, "AccessionNumber": "00080050", "PatientID": "00100020"}
_STUDY_DATE, _STUDY_DESCRIPTION = "00080020", "00081030"
_INSTANCES_OF_SERIES = "00201209"
"""NumberOfSeriesRelatedInstances."""
_COUNT = re.compile(r"[0-9]{1,9}")
_TRIES = 3


class DicomWeb:
    """One DICOM service. `version` is that of its API; `keep`: the tags to keep of the metadata."""

    def __init__(self, service: HttpService, version: str, keep: frozenset[str]) -> None:
        self._service = service
        self._version = version
        self._parser = MetadataParser(keep)

    def instances(
        self, study_instance_uid: str, partition: str, series_instance_uid: str | None = None
    ) -> Iterator[ChangeFeedEntry]:
        """All instances that the service holds of a study or of one series, none where it is gone; as they are read.

        They are told as entries of sequence 0, which the feed does not have. Raises FeedError, OutageError: what came
        before is then a part, and nobody can say of what.
        """
        path = f"{_path(study_instance_uid, series_instance_uid)}/metadata"
        url = f"{self._service.url}/{path}"
        with self.opened(partition, path) as stream:
            if not _is_found(stream, url):
                return
            try:
                for metadata in streamed_instances(stream, self._parser):
                    yield _entry(metadata, partition, path)
            except ValueError as error:
                raise FeedError(f"{url}: {error}") from None

    def series(self, study_instance_uid: str, partition: str) -> list[str]:
        """The SeriesInstanceUIDs of a study, each once; none where it is gone. Raises FeedError, OutageError."""
        return list(self._found(partition, f"{_path(study_instance_uid)}/series", _SERIES_UID))

    def listed(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> frozenset[str]:
        """The SOPInstanceUIDs of a series by QIDO-RS; none where it is gone. Raises FeedError, OutageError."""
        path = f"{_path(study_instance_uid, series_instance_uid)}/instances"
        return frozenset(self._found(partition, path, _INSTANCE_UID))

    def one_of(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> ChangeFeedEntry | None:
        """Any one instance of the series with its metadata; None where there is none. Raises FeedError, OutageError."""
        path = f"{_path(study_instance_uid, series_instance_uid)}/instances"
        for _ in range(_TRIES):
            found = self.items(partition, path, {"limit": "1"})
            if not found:
                return None
            whole = f"{path}/{quote(uid_of(found[0], _INSTANCE_UID, path), safe='')}/metadata"
            answer = self.fetch(partition, whole)
            if items := self.items_of(answer, whole, self._parser.instances):
                return _entry(items[0], partition, whole)
        raise FeedError(f"{self._service.url}/{path}: QIDO-RS finds an instance whose metadata WADO-RS does not have")

    def metadata(self, entry: ChangeFeedEntry) -> Mapping[str, Any] | None:
        """All tags of the entry's instance, None where it is gone. Raises FeedError, OutageError."""
        path = _path(entry.study_instance_uid, entry.series_instance_uid)
        found = self.items(entry.partition, f"{path}/instances/{quote(entry.sop_instance_uid, safe='')}/metadata")
        return found[0] if found else None

    def counts(self, study_instance_uid: str, partition: str) -> dict[str, int]:
        """How many instances each series of the study has. Raises FeedError, OutageError."""
        path = f"{_path(study_instance_uid)}/series"
        found = self._found(partition, path, _SERIES_UID, {"includefield": _INSTANCES_OF_SERIES})
        counts = {uid: value_of(one, _INSTANCES_OF_SERIES) for uid, one in found.items()}
        if not all(_COUNT.fullmatch(count) for count in counts.values()):  # a computed attribute, which is optional
            return Counter(one.series_instance_uid for one in self.instances(study_instance_uid, partition))
        return {uid: int(count) for uid, count in counts.items()}

    def studies(self, keyword: str, value: str, partition: str, most: int) -> list[ListedStudy]:
        """So many of the studies at most that have this value, to the letter: a search may take `*` for anything.

        `keyword`: StudyInstanceUID, AccessionNumber or PatientID. Raises FeedError, OutageError.
        """
        found = self.items(partition, "studies", {keyword: value, "limit": str(most)})
        return [
            ListedStudy(
                uid_of(one, _STUDY_UID, "studies"), value_of(one, _STUDY_DATE), value_of(one, _STUDY_DESCRIPTION)
            )
            for one in found
            if value_of(one, _SEARCHED[keyword]).strip(" \0") == value
        ][:most]

    def _found(self, partition: str, path: str, tag: str, params: Params | None = None) -> dict[str, Mapping[str, Any]]:
        """What a search finds, page by page, by the UID at `tag`. Its pages may overlap: no order is promised."""
        url = f"{self._service.url}/{path}"
        found: dict[str, Mapping[str, Any]] = {}
        offset = 0
        while len(found) <= MOST_FOUND:
            asked = {**(params or {}), "limit": str(PAGE), "offset": str(offset)}
            answer = self.fetch(partition, path, asked)
            page, known = self.items_of(answer, path), len(found)
            found |= {uid_of(one, tag, path): one for one in page}
            if not is_followed(answer, len(page)):
                return found
            if len(found) == known:  # to take it for the end would lose what the service holds back
                raise FeedError(f"{url}: the page at offset {offset} has what pages before it had")
            offset += len(page)
        raise FeedError(f"{url}: more than {MOST_FOUND} found")

    def items(self, partition: str, path: str, params: Params | None = None) -> list[Mapping[str, Any]]:
        """The DICOM JSON objects at a path below that of the partition; none where there is nothing."""
        return self.items_of(self.fetch(partition, path, params), path)

    def items_of(self, answer: Answer, path: str, parse: Callable[[Answer], Any] = json_of) -> list[Mapping[str, Any]]:
        """The objects of an answer; none where nothing was found. Raises FeedError where they are no DICOM JSON."""
        url = f"{self._service.url}/{path}"
        if not _is_found(answer, url):
            return []
        try:
            items = parse(answer)
        except ValueError as error:
            raise FeedError(f"{url}: {error}") from None
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise FeedError(f"{url}: the answer is not a JSON array of DICOM JSON objects")
        return items

    def fetch(self, partition: str, path: str, params: Params | None = None) -> Answer:
        """The answer of whatever status, but for what is an outage."""
        *others, last = self._ways(partition, path)
        for way in others:
            answer = self._service.fetch(way, params=params, headers=_ACCEPT)
            if answer.status_code != requests.codes.bad_request:
                return answer
        return self._service.fetch(last, params=params, headers=_ACCEPT)

    @contextmanager
    def opened(self, partition: str, path: str) -> Iterator[Stream]:
        """The same, read while it comes."""
        *others, last = self._ways(partition, path)
        for way in others:
            with self._service.stream(way, headers=_ACCEPT) as stream:
                if stream.status_code != requests.codes.bad_request:
                    yield stream
                    return
        with self._service.stream(last, headers=_ACCEPT) as stream:
            yield stream

    def _ways(self, partition: str, path: str) -> list[str]:
        """To a path within a partition; the next is for where the one before is a bad request."""
        within = f"/{self._version}/partitions/{partition}/{path}"
        if partition != DEFAULT_PARTITION:
            return [within]
        return [f"/{self._version}/{path}", within]  # where partitions are on, every path names one


def _path(study_instance_uid: str, series_instance_uid: str | None = None) -> str:
    study = f"studies/{quote(study_instance_uid, safe='')}"
    return study if series_instance_uid is None else f"{study}/series/{quote(series_instance_uid, safe='')}"


def _is_found(answer: Answer | Stream, url: str) -> bool:
    if answer.status_code in (requests.codes.not_found, requests.codes.no_content):
        return False
    if answer.status_code != requests.codes.ok:
        raise FeedError(f"{url}: status {answer.status_code}")
    return True


def is_followed(answer: Answer, count: int) -> bool:
    """A page that is not the last: it is full, or a service that gives fewer at once says so (PS3.18 8.3.4.4).

    One that has more than was asked for is of a service without pages.
    """
    return count == PAGE or (0 < count < PAGE and "299" in answer.headers.get("Warning", ""))


def _entry(metadata: Mapping[str, Any], partition: str, path: str) -> ChangeFeedEntry:
    study, series, instance = (uid_of(metadata, tag, path) for tag in (_STUDY_UID, _SERIES_UID, _INSTANCE_UID))
    return ChangeFeedEntry(0, study, series, instance, Action.CREATE, State.CURRENT, "", partition, metadata)


def uid_of(metadata: Mapping[str, Any], tag: str, path: str) -> str:
    uid = value_of(metadata, tag).strip(" \0")
    if not uid:
        raise FeedError(f"{path}: an instance without StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID")
    return uid


def value_of(metadata: Mapping[str, Any], tag: str) -> str:
    """The first value, as text; empty where there is none, or it is of no shape that DICOM JSON has."""
    element = metadata.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    value = values[0] if isinstance(values, list) and values else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
