"""The DICOM service's own account of its studies: the local service, and services that differ from it."""

from types import FunctionType

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.clients.dicomweb import PAGE, DicomWeb
from shared.clients.http import HttpService
from shared.errors import FeedError, OutageError
from shared.mapping.resources import MAPPED_KEYS
from shared.model import DEFAULT_PARTITION, Action, ChangeFeedEntry, State
from tests.fakes import metadata
from tests.integration.dicom_service_client import dicom_file, running

STUDY = "1.2.3"


def archive(url, version="v2"):
    return DicomWeb(HttpService("DICOM service", url), version, MAPPED_KEYS)


def images(series, *numbers, **tags):
    """Instances of a series of the study, as files."""
    return [
        dicom_file(StudyInstanceUID=STUDY, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}", **tags)
        for number in numbers
    ]


def entry_of(series, instance, partition=DEFAULT_PARTITION):
    return ChangeFeedEntry(1, STUDY, series, instance, Action.CREATE, State.CURRENT, "", partition)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_study_as_the_service_tells_it(dicom, version):
    """Its instances, its counts, and the whole metadata of one."""
    dicom.store(*images("1.2.3.1", 1, 2, PatientComments="x"), *images("1.2.3.2", 1))
    told = archive(dicom.url, version)
    entries = told.instances(STUDY, DEFAULT_PARTITION)
    assert [(one.sequence, one.series_instance_uid, one.sop_instance_uid) for one in entries] == [
        (0, "1.2.3.1", "1.2.3.1.1"),
        (0, "1.2.3.1", "1.2.3.1.2"),
        (0, "1.2.3.2", "1.2.3.2.1"),
    ]
    assert not any("00104000" in one.metadata for one in entries)  # what is not mapped is not kept
    assert "00104000" in told.metadata(entry_of("1.2.3.1", "1.2.3.1.2"))
    assert told.counts(STUDY, DEFAULT_PARTITION) == {"1.2.3.1": 2, "1.2.3.2": 1}


def test_what_is_gone_is_nothing(dicom):
    """No error: a study is rebuilt to nothing then."""
    told = archive(dicom.url)
    assert told.instances(STUDY, DEFAULT_PARTITION) == []
    assert told.counts(STUDY, DEFAULT_PARTITION) == {}
    assert told.metadata(entry_of("1.2.3.1", "1.2.3.1.1")) is None


def test_a_partition_is_asked_where_it_is(dicom):
    """The same study in two: neither tells of the other."""
    dicom.store(*images("1.2.3.1", 1, 2))
    dicom.store(*images("1.2.3.1", 1), partition="north")
    told = archive(dicom.url)
    assert told.counts(STUDY, DEFAULT_PARTITION) == {"1.2.3.1": 2}
    assert told.counts(STUDY, "north") == {"1.2.3.1": 1}
    assert [one.partition for one in told.instances(STUDY, "north")] == ["north"]
    assert told.metadata(entry_of("1.2.3.1", "1.2.3.1.1", "north"))
    assert told.metadata(entry_of("1.2.3.1", "1.2.3.1.2", "north")) is None


def test_many_series_are_read_page_by_page(dicom):
    """The service gives 200 at a time at most."""
    files = [image for number in range(PAGE + 1) for image in images(f"1.2.3.{number}", 1)]
    for start in range(0, len(files), 50):
        dicom.store(*files[start : start + 50])
    counts = archive(dicom.url).counts(STUDY, DEFAULT_PARTITION)
    assert (len(counts), set(counts.values())) == (PAGE + 1, {1})


class Service:
    """A DICOM service of one study that answers with what a test says; `asked` are the paths, in their order."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []
        paths = ("/v2/studies/{study}/{what}", "/v2/partitions/{partition}/studies/{study}/{what}")
        self.app = Starlette(routes=[Route(path, self.answer) for path in paths])

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        found = self.answers[request.path_params["what"]]
        if isinstance(found, FunctionType):
            found = found(request)
        return found if isinstance(found, Response) else JSONResponse(found)


def instances(series, count):
    return [metadata(study=STUDY, series=series, instance=f"{series}.{number}") for number in range(count)]


def test_a_service_that_does_not_count_is_counted_by_its_instances():
    """NumberOfSeriesRelatedInstances is optional in QIDO-RS (PS3.18 10.6.3.3.3)."""
    counted = {"0020000E": {"Value": ["1.2.3.1"]}, "00201209": {"Value": [3]}}
    uncounted = {"0020000E": {"Value": ["1.2.3.2"]}}
    service = Service(series=[counted, uncounted], metadata=instances("1.2.3.1", 3) + instances("1.2.3.2", 2))
    with running(service.app) as client:
        assert archive(client.url).counts(STUDY, DEFAULT_PARTITION) == {"1.2.3.1": 3, "1.2.3.2": 2}
    assert service.asked == [f"/v2/studies/{STUDY}/series", f"/v2/studies/{STUDY}/metadata"]


def with_partitions(found):
    """As Azure's service where data partitions are on: a path without one is a bad request."""
    return lambda request: found if "partition" in request.path_params else Response("no partition", 400)


def test_where_partitions_are_on_the_default_one_is_named_too():
    """The feed calls it `Microsoft.Default`, whether they are on or not."""
    service = Service(series=with_partitions([]), metadata=with_partitions(instances("1.2.3.1", 2)))
    with running(service.app) as client:
        assert len(archive(client.url).instances(STUDY, DEFAULT_PARTITION)) == 2
    assert service.asked == [
        f"/v2/studies/{STUDY}/metadata",
        f"/v2/partitions/Microsoft.Default/studies/{STUDY}/metadata",
    ]


FAULTS = [
    # the answer, the error, what it says
    (Response("no", 400),                     FeedError,   "status 400"),
    (Response("<html>", 200),                 FeedError,   "metadata"),
    (JSONResponse({"error": 1}),              FeedError,   "not a JSON array of DICOM JSON objects"),
    (JSONResponse([{}]),                      FeedError,   "without StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID"),
    (Response("no", 403),                     OutageError, "403"),
    (Response("no", 503),                     OutageError, "503"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "error", "told"), FAULTS, ids=[row[2] for row in FAULTS])
def test_another_answer_is_no_account(answer, error, told):
    """Nothing is taken for gone because a service answered oddly."""
    service = Service(metadata=answer)
    with running(service.app) as client, pytest.raises(error, match=told):
        archive(client.url).instances(STUDY, DEFAULT_PARTITION)
