"""What the DICOM service holds of a study: WADO-RS metadata and QIDO-RS searches (PS3.18 10.4.1.1.2, 10.6)."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from shared.clients.dicom.dicom_json import PAGE, DicomJsonService, is_followed, uid_of, value_of
from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.dicom.metadata_stream import streamed_instances
from shared.clients.http import HttpService, Params
from shared.errors import FeedError
from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.model.listed_study import ListedStudy

MOST_FOUND = 1_000_000
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_SEARCHED = {"StudyInstanceUID": _STUDY_UID, "AccessionNumber": "00080050", "PatientID": "00100020"}
_STUDY_DATE, _STUDY_DESCRIPTION = "00080020", "00081030"
_INSTANCES_OF_SERIES = "00201209"
"""NumberOfSeriesRelatedInstances."""
_COUNT = re.compile(r"[0-9]{1,9}")
_ATTEMPTS = 3


class DicomWeb:
    """One DICOM service. `version` is that of its API; `keep`: gives the tags of the metadata to read.

    All methods raise FeedError if an answer cannot be read, and OutageError.
    """

    def __init__(self, service: HttpService, version: str, keep: Callable[[], frozenset[str]]) -> None:
        self._service = DicomJsonService(service, version)
        self._parser = MetadataParser(keep)

    def instances(
        self, study_instance_uid: str, partition: str, series_instance_uid: str | None = None
    ) -> Iterator[ChangeFeedEntry]:
        """All instances of a study or of one series, while they are read; none if it does not exist.

        They come as entries of sequence 0, which the feed never has. After an error, those that came before it are an
        unknown part of the whole.
        """
        path = f"{_path(study_instance_uid, series_instance_uid)}/metadata"
        with self._service.opened(partition, path) as stream:
            if not self._service.is_found(stream, path):
                return
            try:
                for metadata in streamed_instances(stream, self._parser):
                    yield _entry(metadata, partition, path)
            except ValueError as error:
                raise FeedError(f"{self._service.url(path)}: {error}") from None

    def series(self, study_instance_uid: str, partition: str) -> list[str]:
        """The SeriesInstanceUIDs of a study, each once; empty if it does not exist."""
        return list(self._found(partition, f"{_path(study_instance_uid)}/series", _SERIES_UID))

    def listed(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> frozenset[str]:
        """The SOPInstanceUIDs of a series by QIDO-RS; empty if it does not exist."""
        path = f"{_path(study_instance_uid, series_instance_uid)}/instances"
        return frozenset(self._found(partition, path, _INSTANCE_UID))

    def one_of(self, study_instance_uid: str, series_instance_uid: str, partition: str) -> ChangeFeedEntry | None:
        """Any one instance of the series with its metadata; None if the series has none."""
        path = f"{_path(study_instance_uid, series_instance_uid)}/instances"
        for _ in range(_ATTEMPTS):  # an instance may be deleted between the two requests
            found = self._service.items(partition, path, {"limit": "1"})
            if not found:
                return None
            metadata_path = f"{path}/{quote(uid_of(found[0], _INSTANCE_UID, path), safe='')}/metadata"
            answer = self._service.fetch(partition, metadata_path)
            if items := self._service.items_of(answer, metadata_path, self._parser.instances):
                return _entry(items[0], partition, metadata_path)
        url = self._service.url(path)
        raise FeedError(f"{url}: QIDO-RS finds an instance whose metadata WADO-RS does not have")

    def metadata(self, entry: ChangeFeedEntry) -> Mapping[str, Any] | None:
        """All tags of the entry's instance; None if it does not exist."""
        path = _path(entry.study_instance_uid, entry.series_instance_uid)
        instance_path = f"{path}/instances/{quote(entry.sop_instance_uid, safe='')}/metadata"
        found = self._service.items(entry.partition, instance_path)
        return found[0] if found else None

    def counts(self, study_instance_uid: str, partition: str) -> dict[str, int]:
        """The number of instances of each series of the study, by SeriesInstanceUID."""
        path = f"{_path(study_instance_uid)}/series"
        found = self._found(partition, path, _SERIES_UID, {"includefield": _INSTANCES_OF_SERIES})
        counts = {uid: value_of(one, _INSTANCES_OF_SERIES) for uid, one in found.items()}
        if not all(_COUNT.fullmatch(count) for count in counts.values()):  # a service need not compute this attribute
            return Counter(one.series_instance_uid for one in self.instances(study_instance_uid, partition))
        return {uid: int(count) for uid, count in counts.items()}

    def studies(self, keyword: str, value: str, partition: str, most: int) -> list[ListedStudy]:
        """At most `most` studies whose value of this attribute is exactly `value`, as a search may know wildcards.

        `keyword`: StudyInstanceUID, AccessionNumber or PatientID.
        """
        found = self._service.items(partition, "studies", {keyword: value, "limit": str(most)})
        return [
            ListedStudy(
                uid_of(one, _STUDY_UID, "studies"), value_of(one, _STUDY_DATE), value_of(one, _STUDY_DESCRIPTION)
            )
            for one in found
            if value_of(one, _SEARCHED[keyword]).strip(" \0") == value
        ][:most]

    def _found(self, partition: str, path: str, tag: str, params: Params | None = None) -> dict[str, Mapping[str, Any]]:
        """All matches of a search by their UID at `tag`. Its pages may overlap, as no order is promised."""
        found: dict[str, Mapping[str, Any]] = {}
        offset = 0
        while len(found) <= MOST_FOUND:
            page_params = {**(params or {}), "limit": str(PAGE), "offset": str(offset)}
            answer = self._service.fetch(partition, path, page_params)
            page, count_before = self._service.items_of(answer, path), len(found)
            found |= {uid_of(one, tag, path): one for one in page}
            if not is_followed(answer, len(page)):
                return found
            if len(found) == count_before:  # if this were taken for the end, the rest would be lost
                raise FeedError(f"{self._service.url(path)}: the page at offset {offset} has what pages before it had")
            offset += len(page)
        raise FeedError(f"{self._service.url(path)}: more than {MOST_FOUND} found")


def _path(study_instance_uid: str, series_instance_uid: str | None = None) -> str:
    study = f"studies/{quote(study_instance_uid, safe='')}"
    return study if series_instance_uid is None else f"{study}/series/{quote(series_instance_uid, safe='')}"


def _entry(metadata: Mapping[str, Any], partition: str, path: str) -> ChangeFeedEntry:
    study, series, instance = (uid_of(metadata, tag, path) for tag in (_STUDY_UID, _SERIES_UID, _INSTANCE_UID))
    return ChangeFeedEntry(0, study, series, instance, Action.CREATE, State.CURRENT, "", partition, metadata)
