"""The DICOM service's list of its studies: QIDO-RS by StudyDate, page by page, in each data partition (PS3.18 10.6)."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

import requests

from shared.clients.dicom.dicom_json import PAGE, DicomJsonService, is_followed, uid_of, value_of
from shared.clients.http import HttpService, Params
from shared.clients.http_answer import Answer
from shared.clients.json_body import json_of
from shared.errors import FeedError
from shared.model.change_feed import DEFAULT_PARTITION, PARTITION_NAME
from shared.model.listed_study import ListedStudy

MOST_PARTITIONS = 10_000
_WITHOUT_PARTITIONS = (requests.codes.no_content, requests.codes.bad_request, requests.codes.not_found)
_STUDY_UID, _PATIENT_ID, _STUDY_DATE, _DESCRIPTION = "0020000D", "00100020", "00080020", "00081030"
_MODALITIES, _INSTANCES = "00080061", "00201208"
"""ModalitiesInStudy, NumberOfStudyRelatedInstances: computed attributes, which have to be asked for."""
_COUNT = re.compile(r"[0-9]{1,9}")


class StudyList:
    """One DICOM service. `version` is that of its API."""

    def __init__(self, service: HttpService, version: str) -> None:
        self._service = service
        self._version = version
        self._dicom_json = DicomJsonService(service, version)

    def partitions(self) -> list[str]:
        """The names of the data partitions; only the default one if they are not turned on.

        Azure then answers 400 ("Enable data partitioning"); other services have no such path. Any other answer says
        nothing of the data partitions. Raises FeedError, OutageError.
        """
        path = f"/{self._version}/partitions"
        answer = self._service.fetch(path)
        if answer.status_code in _WITHOUT_PARTITIONS:
            return [DEFAULT_PARTITION]
        if answer.status_code != requests.codes.ok:
            raise FeedError(f"{self._service.url}{path}: status {answer.status_code}")
        try:
            found = json_of(answer)
            names = [one["PartitionName"] for one in found][:MOST_PARTITIONS]
        except (ValueError, TypeError, KeyError):
            raise FeedError(f"{self._service.url}{path}: the answer is no list of data partitions") from None
        if not all(isinstance(name, str) and re.fullmatch(PARTITION_NAME, name) for name in names):
            raise FeedError(f"{self._service.url}{path}: a data partition has no name that Azure allows")
        return sorted({*names, DEFAULT_PARTITION})

    def page(
        self, partition: str, offset: int, dates: tuple[date, date] | None = None
    ) -> tuple[list[ListedStudy], bool]:
        """A page of the studies from `offset` on, and whether there are more. Raises FeedError, OutageError.

        `dates`: the first and the last StudyDate. A study whose StudyDate is missing or invalid is found only without.
        """
        params: dict[str, str | list[str]] = {"limit": str(PAGE), "includefield": [_MODALITIES, _INSTANCES]}
        if dates:
            params["StudyDate"] = "-".join(_as_da(one) for one in dates)
        if offset:
            params["offset"] = str(offset)
        answer, found = self._search(partition, params)
        return [_listed(one) for one in found], is_followed(answer, len(found))

    def is_absent(self, study_instance_uid: str, partition: str) -> bool:
        """Whether the service answers 404 for the study's metadata. That a list lacks the study would not prove it.

        Raises OutageError.
        """
        path = f"studies/{quote(study_instance_uid, safe='')}/metadata"
        with self._dicom_json.opened(partition, path) as stream:
            return bool(stream.status_code == requests.codes.not_found)

    def is_listed(self, study_instance_uid: str, partition: str) -> bool:
        """Whether a search finds the study. Raises FeedError, OutageError."""
        _, found = self._search(partition, {"StudyInstanceUID": study_instance_uid, "limit": "1"})
        return any(uid_of(one, _STUDY_UID, "studies") == study_instance_uid for one in found)

    def _search(self, partition: str, params: Params) -> tuple[Answer, Sequence[Mapping[str, Any]]]:
        """The answer, and the studies in it. Raises FeedError for 404, too: a search that finds nothing is no 404.

        It is answered 204 or with an empty list (PS3.18 10.6.3). A 404 comes from what stands before the service, or
        from a service without the data partition; together with that to the metadata it would make a study absent.
        """
        answer = self._dicom_json.fetch(partition, "studies", params)
        if answer.status_code == requests.codes.not_found:
            raise FeedError(f"{self._dicom_json.url('studies')}: status 404 to a search in the partition {partition}")
        return answer, self._dicom_json.items_of(answer, "studies")


def _as_da(day: date) -> str:
    """YYYYMMDD. `strftime` would not promise four digits for the year."""
    return day.isoformat().replace("-", "")


def _listed(found: Mapping[str, Any]) -> ListedStudy:
    count = value_of(found, _INSTANCES)
    return ListedStudy(
        uid_of(found, _STUDY_UID, "studies"),
        value_of(found, _STUDY_DATE).strip(" \0"),
        value_of(found, _DESCRIPTION),
        patient_id=value_of(found, _PATIENT_ID).strip(" \0"),
        instances=int(count) if _COUNT.fullmatch(count) else None,
        modalities=_modalities(found),
    )


def _modalities(found: Mapping[str, Any]) -> frozenset[str]:
    element = found.get(_MODALITIES)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return frozenset(one for one in values if isinstance(one, str)) if isinstance(values, list) else frozenset()
