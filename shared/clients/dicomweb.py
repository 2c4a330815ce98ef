"""The DICOM service's own account of a study: WADO-RS metadata and QIDO-RS (PS3.18 10.4.1.1.2, 10.6)."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import requests

from shared.clients.http import Answer, HttpService
from shared.clients.json_body import json_of
from shared.clients.metadata_parser import MetadataParser
from shared.errors import FeedError
from shared.model import DEFAULT_PARTITION, Action, ChangeFeedEntry, State

DICOM_JSON = "application/dicom+json"
PAGE = 200  # series; the service allows 1-200
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_INSTANCES_OF_SERIES = "00201209"
"""NumberOfSeriesRelatedInstances."""


class DicomWeb:
    """One DICOM service. `version` is that of its API; `keep`: the tags to keep of the metadata."""

    def __init__(self, service: HttpService, version: str, keep: frozenset[str]) -> None:
        self._service = service
        self._version = version
        self._parser = MetadataParser(keep)

    def instances(self, study_instance_uid: str, partition: str) -> list[ChangeFeedEntry]:
        """All instances that the service holds of a study, none where it is gone.

        They are told as entries of sequence 0, which the feed does not have. Raises FeedError, OutageError.
        """
        path = f"studies/{study_instance_uid}/metadata"
        return [_entry(item, partition, path) for item in self._items(partition, path, parse=self._parser.instances)]

    def metadata(self, entry: ChangeFeedEntry) -> Mapping[str, Any] | None:
        """All tags of the entry's instance, None where it is gone. Raises FeedError, OutageError."""
        uids = (entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)
        found = self._items(entry.partition, "studies/{}/series/{}/instances/{}/metadata".format(*uids))
        return found[0] if found else None

    def counts(self, study_instance_uid: str, partition: str) -> dict[str, int]:
        """How many instances each series of the study has. Raises FeedError, OutageError."""
        counts: dict[str, int] = {}
        while True:
            asked = {"includefield": _INSTANCES_OF_SERIES, "limit": str(PAGE), "offset": str(len(counts))}
            page = self._items(partition, f"studies/{study_instance_uid}/series", asked)
            found = {str(_value(one, _SERIES_UID)): str(_value(one, _INSTANCES_OF_SERIES)) for one in page}
            if not all(count.isdigit() for count in found.values()):  # a computed attribute, which is optional
                return Counter(one.series_instance_uid for one in self.instances(study_instance_uid, partition))
            counts |= {uid: int(count) for uid, count in found.items()}
            if len(page) < PAGE:
                return counts

    def _items(
        self,
        partition: str,
        path: str,
        params: dict[str, str] | None = None,
        parse: Callable[[Answer], Any] = json_of,
    ) -> list[Mapping[str, Any]]:
        answer = self._fetch(partition, path, params)
        url = f"{self._service.url}/{path}"
        if answer.status_code in (requests.codes.not_found, requests.codes.no_content):
            return []
        if answer.status_code != requests.codes.ok:
            raise FeedError(f"{url}: status {answer.status_code}")
        try:
            items = parse(answer)
        except ValueError as error:
            raise FeedError(f"{url}: {error}") from None
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise FeedError(f"{url}: the answer is not a JSON array of DICOM JSON objects")
        return items

    def _fetch(self, partition: str, path: str, params: dict[str, str] | None) -> Answer:
        headers = {"Accept": DICOM_JSON}
        within = f"/{self._version}/partitions/{partition}/{path}"
        if partition != DEFAULT_PARTITION:
            return self._service.fetch(within, params=params, headers=headers)
        answer = self._service.fetch(f"/{self._version}/{path}", params=params, headers=headers)
        if answer.status_code == requests.codes.bad_request:  # where partitions are on, every path names one
            return self._service.fetch(within, params=params, headers=headers)
        return answer


def _entry(metadata: Mapping[str, Any], partition: str, path: str) -> ChangeFeedEntry:
    uids = [str(_value(metadata, tag)).strip(" \0") for tag in (_STUDY_UID, _SERIES_UID, _INSTANCE_UID)]
    if not all(uids):
        raise FeedError(f"{path}: an instance without StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID")
    study, series, instance = uids
    return ChangeFeedEntry(0, study, series, instance, Action.CREATE, State.CURRENT, "", partition, metadata)


def _value(metadata: Mapping[str, Any], tag: str) -> Any:
    values = (metadata.get(tag) or {}).get("Value") or [""]
    return values[0]
