"""Stores, updates, deletes and reads in the local DICOM service."""

from collections.abc import Mapping, Sequence
from typing import Any

import requests
from pydicom.dataset import Dataset

from local.stow import multipart

_SECONDS = 120
_BATCH = 50  # instances in one STOW-RS request


class Archive:
    """The DICOM service at `url`. Its methods raise RequestException if it does not answer, or refuses a change."""

    def __init__(self, url: str) -> None:
        self.url = url

    def store(self, files: Sequence[bytes]) -> None:
        """Stores PS3.10 files."""
        for first in range(0, len(files), _BATCH):
            body, content_type = multipart(files[first : first + _BATCH])
            headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
            requests.post(f"{self.url}/v2/studies", data=body, headers=headers, timeout=_SECONDS).raise_for_status()

    def update(self, study: str, **values: str) -> None:
        """Changes all instances of a study by a bulk update. `values`: the new values by keyword."""
        changes = Dataset()
        for keyword, value in values.items():
            setattr(changes, keyword, value)
        asked = {"studyInstanceUids": [study], "changeDataset": changes.to_json_dict()}
        requests.post(f"{self.url}/v2/studies/$bulkUpdate", json=asked, timeout=_SECONDS).raise_for_status()

    def delete(self, path: str) -> None:
        """Deletes a study, a series or an instance.

        `path`: StudyInstanceUID, with `/series/UID` or `/series/UID/instances/UID` after it.
        """
        requests.delete(f"{self.url}/v2/studies/{path}", timeout=_SECONDS).raise_for_status()

    def instances(self, study: str) -> list[Mapping[str, Any]]:
        """The metadata of a study's instances as DICOM JSON; none if there is no such study."""
        answer = requests.get(f"{self.url}/v2/studies/{study}/metadata", timeout=_SECONDS)
        return list(answer.json()) if answer.ok else []
