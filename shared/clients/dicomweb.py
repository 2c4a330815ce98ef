"""The DICOM service's own account of a study: WADO-RS metadata (PS3.18 10.4.1.1.2)."""

from collections.abc import Mapping
from typing import Any

import requests

from shared.clients.change_feed_entry import held_once
from shared.clients.http import HttpService, json_of
from shared.errors import FeedError
from shared.model import Action, ChangeFeedEntry, State

DICOM_JSON = "application/dicom+json"
_UIDS = ("0020000D", "0020000E", "00080018")
"""StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID."""


class DicomWeb:
    """One DICOM service. `version` is that of its API; `keep`: the tags to keep of the metadata."""

    def __init__(self, service: HttpService, version: str, keep: frozenset[str]) -> None:
        self._service = service
        self._version = version
        self._keep = keep

    def instances(self, study_instance_uid: str) -> list[ChangeFeedEntry]:
        """All instances that the service holds of a study, none where it is gone.

        They are told as entries of sequence 0, which the feed does not have. Raises FeedError, OutageError.
        """
        path = f"/{self._version}/studies/{study_instance_uid}/metadata"
        answer = self._service.fetch(path, headers={"Accept": DICOM_JSON})
        url = f"{self._service.url}{path}"
        if answer.status_code in (requests.codes.not_found, requests.codes.no_content):
            return []
        if answer.status_code != requests.codes.ok:
            raise FeedError(f"{url}: status {answer.status_code}")
        try:
            items = json_of(answer)
        except ValueError as error:
            raise FeedError(f"{url}: {error}") from None
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise FeedError(f"{url}: the answer is not a JSON array of DICOM JSON objects")
        entries: list[ChangeFeedEntry] = []
        for item in items:
            entries.append(self._entry(item, url, entries[-1] if entries else None))
        return entries

    def _entry(self, metadata: Mapping[str, Any], url: str, before: ChangeFeedEntry | None) -> ChangeFeedEntry:
        study, series, instance = (_uid(metadata, tag) for tag in _UIDS)
        if not (study and series and instance):
            raise FeedError(f"{url}: an instance without StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID")
        kept = held_once(metadata, self._keep, before)
        return ChangeFeedEntry(0, study, series, instance, Action.CREATE, State.CURRENT, timestamp="", metadata=kept)


def _uid(metadata: Mapping[str, Any], tag: str) -> str:
    values = (metadata.get(tag) or {}).get("Value") or [""]
    return str(values[0]).strip(" \0")
