"""The local DICOM service as the run uses it: store, update, delete, read."""

from collections.abc import Mapping, Sequence
from typing import Any

import requests
from pydicom.dataset import Dataset

from local.stow import multipart

_SECONDS = 120
_BATCH = 50  # instances in one request


class Archive:
    """`url` is that of the service on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url

    def store(self, files: Sequence[bytes]) -> None:
        """By STOW-RS."""
        for first in range(0, len(files), _BATCH):
            body, content_type = multipart(files[first : first + _BATCH])
            headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
            requests.post(f"{self.url}/v2/studies", data=body, headers=headers, timeout=_SECONDS).raise_for_status()

    def update(self, study: str, **values: str) -> None:
        """By bulk update; the values by keyword."""
        changes = Dataset()
        for keyword, value in values.items():
            setattr(changes, keyword, value)
        asked = {"studyInstanceUids": [study], "changeDataset": changes.to_json_dict()}
        requests.post(f"{self.url}/v2/studies/$bulkUpdate", json=asked, timeout=_SECONDS).raise_for_status()

    def delete(self, path: str) -> None:
        """A study, `study/series/uid`, or `study/series/uid/instances/uid`."""
        requests.delete(f"{self.url}/v2/studies/{path}", timeout=_SECONDS).raise_for_status()

    def instances(self, study: str) -> list[Mapping[str, Any]]:
        """Their metadata as DICOM JSON; none where there is no such study."""
        answer = requests.get(f"{self.url}/v2/studies/{study}/metadata", timeout=_SECONDS)
        return list(answer.json()) if answer.ok else []
