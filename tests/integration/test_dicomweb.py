"""The DICOM service's own account of its studies: the local service, and services that differ from it."""

import socket
import threading
from datetime import date
from types import FunctionType

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.clients.dicom.dicom_json import PAGE
from shared.clients.dicom.dicomweb import DicomWeb
from shared.clients.dicom.study_list import StudyList
from shared.clients.http import HttpService
from shared.errors import FeedError, OutageError
from shared.mapping.resources import MAPPED_KEYS
from shared.model.change_feed import DEFAULT_PARTITION, Action, ChangeFeedEntry, State
from tests.fakes import metadata
from tests.integration.dicom_service_client import dicom_file, running

STUDY, SERIES = "1.2.3", "1.2.3.1"


def archive(url, version="v2"):
    return DicomWeb(HttpService("DICOM service", url), version, lambda: MAPPED_KEYS)


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
    entries = list(told.instances(STUDY, DEFAULT_PARTITION))
    assert [(one.sequence, one.series_instance_uid, one.sop_instance_uid) for one in entries] == [
        (0, "1.2.3.1", "1.2.3.1.1"),
        (0, "1.2.3.1", "1.2.3.1.2"),
        (0, "1.2.3.2", "1.2.3.2.1"),
    ]
    assert not any("00104000" in one.metadata for one in entries)  # what is not mapped is not kept
    assert "00104000" in told.metadata(entry_of("1.2.3.1", "1.2.3.1.2"))
    assert told.counts(STUDY, DEFAULT_PARTITION) == {"1.2.3.1": 2, "1.2.3.2": 1}
    assert told.series(STUDY, DEFAULT_PARTITION) == ["1.2.3.1", "1.2.3.2"]


@pytest.mark.parametrize(
    ("keyword", "value", "most", "found"),
    [
        ("StudyInstanceUID", "1.2.3", 10, ["1.2.3"]),
        ("AccessionNumber", "A-1", 10, ["1.2.3"]),
        ("PatientID", "P-1", 10, ["1.2.3", "1.2.4"]),
        ("PatientID", "P-1", 1, ["1.2.4"]),
        ("PatientID", "P", 10, []),
        ("PatientID", "P&limit=1", 10, []),
    ],
)
def test_studies_are_found(dicom, keyword, value, most, found):
    """By one value, to the letter; so many at most, in an order of no meaning."""
    dicom.store(*images("1.2.3.1", 1, PatientID="P-1", AccessionNumber="A-1", StudyDescription="Chest"))
    dicom.store(dicom_file(StudyInstanceUID="1.2.4", PatientID="P-1", StudyDescription="Chest"))
    told = archive(dicom.url).studies(keyword, value, DEFAULT_PARTITION, most)
    assert sorted(one.study_instance_uid for one in told) == found
    assert all((one.study_date, one.description) == ("20260131", "Chest") for one in told[:1])


def test_a_service_that_matches_more_than_the_letter():
    """A `*` stands for anything (PS3.4 C.2.2.2.4): only what is the same is believed."""
    listed = [
        {"0020000D": {"Value": [uid]}, "00100020": {"Value": [name]}} for uid, name in (("1.2", "P*"), ("1.3", "P-1"))
    ]
    with running(Starlette(routes=[Route("/v2/studies", lambda _: JSONResponse(listed))])) as client:
        told = archive(client.url).studies("PatientID", "P*", DEFAULT_PARTITION, 10)
    assert [one.study_instance_uid for one in told] == ["1.2"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_series_as_the_service_tells_it(dicom, version):
    """Its instances, by both services, and one of them with what the mapping reads."""
    dicom.store(*images("1.2.3.1", 1, 2), *images("1.2.3.2", 1, 2, PatientComments="x"))
    told = archive(dicom.url, version)
    entries = list(told.instances(STUDY, DEFAULT_PARTITION, "1.2.3.2"))
    assert [one.sop_instance_uid for one in entries] == ["1.2.3.2.1", "1.2.3.2.2"]
    assert told.listed(STUDY, "1.2.3.2", DEFAULT_PARTITION) == {"1.2.3.2.1", "1.2.3.2.2"}
    assert told.one_of(STUDY, "1.2.3.2", DEFAULT_PARTITION) == entries[0]
    assert "00104000" not in entries[0].metadata


def test_what_is_gone_is_nothing(dicom):
    """No error: a study is rebuilt to nothing then."""
    told = archive(dicom.url)
    assert list(told.instances(STUDY, DEFAULT_PARTITION)) == []
    assert list(told.instances(STUDY, DEFAULT_PARTITION, "1.2.3.1")) == []
    assert told.series(STUDY, DEFAULT_PARTITION) == []
    assert told.listed(STUDY, "1.2.3.1", DEFAULT_PARTITION) == frozenset()
    assert told.one_of(STUDY, "1.2.3.1", DEFAULT_PARTITION) is None
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
    assert told.series(STUDY, "north") == ["1.2.3.1"]
    assert told.listed(STUDY, "1.2.3.1", "north") == {"1.2.3.1.1"}
    assert told.one_of(STUDY, "1.2.3.1", "north").partition == "north"


def test_many_series_are_read_page_by_page(dicom):
    """The service gives 200 at a time at most."""
    files = [image for number in range(PAGE + 1) for image in images(f"1.2.3.{number}", 1)]
    for start in range(0, len(files), 50):
        dicom.store(*files[start : start + 50])
    counts = archive(dicom.url).counts(STUDY, DEFAULT_PARTITION)
    assert (len(counts), set(counts.values())) == (PAGE + 1, {1})
    assert archive(dicom.url).series(STUDY, DEFAULT_PARTITION) == list(counts)


def test_many_instances_are_listed_page_by_page(dicom):
    """Likewise."""
    files = images("1.2.3.1", *range(2 * PAGE))
    for start in range(0, len(files), 50):
        dicom.store(*files[start : start + 50])
    listed = archive(dicom.url).listed(STUDY, "1.2.3.1", DEFAULT_PARTITION)
    assert listed == {f"1.2.3.1.{number}" for number in range(2 * PAGE)}


SERIES_PATH = "/series/{series}"


class Service:
    """A DICOM service of one study that answers with what a test says; `asked` are the paths, in their order."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []
        within = [
            f"/studies/{{study}}{path}/{{what}}" for path in ("", SERIES_PATH, f"{SERIES_PATH}/instances/{{instance}}")
        ]
        paths = [f"/v2{way}{path}" for way in ("", "/partitions/{partition}") for path in within]
        self.app = Starlette(routes=[Route(path, self.answer) for path in paths])

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        what = request.path_params["what"]
        found = self.answers["instance_metadata" if "instance" in request.path_params else what]
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
        assert len(list(archive(client.url).instances(STUDY, DEFAULT_PARTITION))) == 2
    assert service.asked == [
        f"/v2/studies/{STUDY}/metadata",
        f"/v2/partitions/Microsoft.Default/studies/{STUDY}/metadata",
    ]


FAULTS = [
    # the answer, the error, what it says
    (Response("no", 400),                     FeedError,   "status 400"),
    (Response("no", 406),                     FeedError,   "status 406"),
    (Response("<html>", 200),                 FeedError,   "no JSON at character 0 of 6 bytes"),
    (Response("", 200),                       FeedError,   "no JSON at character 0 of 0 bytes"),
    (Response("[{},", 200),                   FeedError,   "no JSON at character"),
    (JSONResponse({"error": 1}),              FeedError,   "not a JSON array of DICOM JSON objects"),
    (JSONResponse([1]),                       FeedError,   "not a JSON array of DICOM JSON objects"),
    (JSONResponse([{}]),                      FeedError,   "without StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID"),
    (Response("no", 403),                     OutageError, "403"),
    (Response("no", 500),                     OutageError, "500"),
    (Response("no", 503, {"Retry-After": "7"}), OutageError, "503 .*asks to wait 7 s"),
]  # fmt: skip
READS = {
    "instances": lambda told: list(told.instances(STUDY, DEFAULT_PARTITION)),
    "instances of a series": lambda told: list(told.instances(STUDY, DEFAULT_PARTITION, SERIES)),
    "series": lambda told: told.series(STUDY, DEFAULT_PARTITION),
    "listed": lambda told: told.listed(STUDY, SERIES, DEFAULT_PARTITION),
    "one_of": lambda told: told.one_of(STUDY, SERIES, DEFAULT_PARTITION),
    "counts": lambda told: told.counts(STUDY, DEFAULT_PARTITION),
    "metadata": lambda told: told.metadata(entry_of(SERIES, f"{SERIES}.1")),
}
"""All that is asked of an archive."""
NOTHING = [Response("no", 404), Response(status_code=204), JSONResponse([])]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("answer", "error", "told"), FAULTS, ids=[row[2] for row in FAULTS])
def test_another_answer_is_no_account(read, answer, error, told):
    """Nothing is taken for gone because a service answered oddly."""
    if read == "metadata" and "without" in told:
        pytest.skip("whose it is was asked for by its UIDs")
    service = Service(metadata=answer, series=answer, instances=answer, instance_metadata=answer)
    with running(service.app) as client, pytest.raises(error, match=told):
        READS[read](archive(client.url))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("answer", NOTHING, ids=["404", "204", "empty list"])
def test_nothing_is_said_in_three_ways(read, answer):
    """Services differ in which they use for what."""
    service = Service(metadata=answer, series=answer, instances=answer, instance_metadata=answer)
    with running(service.app) as client:
        assert not READS[read](archive(client.url))


def found(request, count, *, most=PAGE, ignored=(), warns=False, doubled=0):
    """What a search finds of so many: a page of `most` at most; it ignores some parameters, and may repeat the last."""
    limit = count if "limit" in ignored else min(most, int(request.query_params["limit"]))
    offset = 0 if "offset" in ignored else max(0, int(request.query_params["offset"]) - doubled)
    page = [{"0020000E": {"Value": [f"1.9.{one}"]}} for one in range(offset, min(count, offset + limit))]
    rest = count - offset - len(page)
    headers = {"Warning": f'299 dicom.test "There are {rest} additional results that can be requested"'}
    return JSONResponse(page, headers=headers if warns and rest else {}) if page else Response(status_code=204)


PAGING = [
    # how the service pages, how many series it has, how often it is asked
    ({},                                  2,            1),
    ({},                                  PAGE,         2),
    ({},                                  PAGE + 1,     2),
    ({"ignored": ("limit", "offset")},    2 * PAGE + 1, 1),
    ({"ignored": ("offset",)},            PAGE - 1,     1),
    ({"most": 50, "warns": True},         120,          3),
    ({"doubled": 7},                      2 * PAGE,     3),
]  # fmt: skip


@pytest.mark.parametrize(("manner", "count", "asked"), PAGING)
def test_every_series_is_found_once(manner, count, asked):
    """However the service pages."""
    service = Service(series=lambda request: found(request, count, **manner))
    with running(service.app) as client:
        series = archive(client.url).series(STUDY, DEFAULT_PARTITION)
    assert series == [f"1.9.{number}" for number in range(count)]
    assert len(service.asked) == asked


def test_a_page_that_comes_again_is_an_error():
    """The service gives 200 at most and always the same: what else it holds cannot be known."""
    service = Service(series=lambda request: found(request, PAGE + 1, ignored=("offset",)))
    with (
        running(service.app) as client,
        pytest.raises(FeedError, match="the page at offset 200 has what pages before it"),
    ):
        archive(client.url).series(STUDY, DEFAULT_PARTITION)
    assert len(service.asked) == 2


@pytest.mark.parametrize("gone", [1, 3])
def test_an_instance_that_goes_meanwhile_is_not_the_series(gone):
    """Another is asked for; a service that always lists what it does not have is at fault."""
    held = instances(SERIES, 4)
    left = lambda: held[min(gone, len(service.asked) // 2) :]  # noqa: E731
    service = Service(
        instances=lambda _: JSONResponse(left()),
        instance_metadata=lambda _: (
            Response("no", 404) if len(service.asked) // 2 <= gone else JSONResponse(left()[:1])
        ),
    )
    with running(service.app) as client:
        told = archive(client.url)
        if gone == 1:
            assert told.one_of(STUDY, SERIES, DEFAULT_PARTITION).sop_instance_uid == f"{SERIES}.1"
        else:
            with pytest.raises(FeedError, match="whose metadata WADO-RS does not have"):
                told.one_of(STUDY, SERIES, DEFAULT_PARTITION)


PIECES = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (b"[", b'{"0020000D":'))
CUT_OFF = {
    "less than its length": b"Content-Length: 100\r\n\r\n[",
    "no last chunk": b"Transfer-Encoding: chunked\r\n\r\n" + PIECES,
    "no chunk at all": b"Transfer-Encoding: chunked\r\n\r\n",
    "a body that is not what its encoding says": b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + 20 * b"x",
}


@pytest.mark.parametrize("read", ["instances", "series"])
@pytest.mark.parametrize("cut", CUT_OFF)
def test_an_answer_that_is_cut_off_is_an_outage(cut, read):
    """Never the end of a study."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer_once, args=(server, b"HTTP/1.1 200 OK\r\n" + CUT_OFF[cut]))
        answering.start()
        with pytest.raises(OutageError, match="DICOM service"):
            READS[read](archive(f"http://127.0.0.1:{server.getsockname()[1]}"))
        answering.join()


def answer_once(server, answer) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


def test_a_study_that_is_not_read_to_its_end_costs_no_connection():
    """Whoever has seen enough leaves; the service may be asked on, also while another study is being read."""
    service = Service(metadata=lambda request: instances(SERIES, 20_000), series=[{"0020000E": {"Value": [SERIES]}}])
    with running(service.app) as client:
        told = archive(client.url)
        reads = [told.instances(STUDY, DEFAULT_PARTITION) for _ in range(20)]
        assert {next(read).sop_instance_uid for read in reads} == {f"{SERIES}.0"}
        assert told.series(STUDY, DEFAULT_PARTITION) == [SERIES]
        for read in reads:
            read.close()
        assert told.series(STUDY, DEFAULT_PARTITION) == [SERIES]


def test_a_uid_cannot_leave_its_place_in_the_path():
    """The feed's UIDs are the service's, and a service may hold anything."""
    service = Service(metadata=[])
    with running(service.app) as client:
        assert list(archive(client.url).instances("1.2?x=1#y", DEFAULT_PARTITION)) == []
    assert service.asked == ["/v2/studies/1.2%3Fx=1%23y/metadata"]


def study_list(url, version="v2"):
    return StudyList(HttpService("DICOM service", url), version)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_list_of_studies_by_date(dicom, version):
    """With what is computed; a study without a day is in no window, and is listed among all."""
    days = {"1.2.3": "20240506", "1.2.4": "20240507", "1.2.5": None, "1.2.6": "yesterday"}
    for uid, day in days.items():
        dicom.store(
            dicom_file(StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1", StudyDate=day)
        )
    dicom.store(*images("1.2.3.9", 1, 2, Modality="MR", StudyDate="20240506"))
    told = study_list(dicom.url, version)
    page, is_more = told.page(DEFAULT_PARTITION, 0, (date(2024, 5, 6), date(2024, 5, 6)))
    (found,) = page
    assert (found.study_instance_uid, found.study_date, found.patient_id) == ("1.2.3", "20240506", "P1")
    assert (found.instances, found.modalities, is_more) == (3, {"MR", "OT"}, False)
    page, _ = told.page(DEFAULT_PARTITION, 0, (date.min, date.max))
    assert {one.study_instance_uid for one in page} == {"1.2.3", "1.2.4"}
    page, _ = told.page(DEFAULT_PARTITION, 0)
    assert {one.study_instance_uid for one in page} == set(days)
    assert told.page(DEFAULT_PARTITION, 4) == ([], False)


def test_a_full_page_is_followed_by_another(dicom):
    """Which may be empty."""
    for start in range(0, PAGE, 50):
        numbers = range(start, start + 50)
        dicom.store(*[
            dicom_file(StudyInstanceUID=f"1.2.{n}", SeriesInstanceUID=f"1.2.{n}.1", SOPInstanceUID=f"1.2.{n}.1.1")
            for n in numbers
        ])  # fmt: skip
    told = study_list(dicom.url)
    page, is_more = told.page(DEFAULT_PARTITION, 0)
    assert (len(page), is_more, told.page(DEFAULT_PARTITION, PAGE)) == (PAGE, True, ([], False))


def test_a_study_is_absent_where_its_metadata_is_404(dicom):
    """In its data partition; which partitions there are is told."""
    dicom.store(*images("1.2.3.1", 1), partition="north")
    told = study_list(dicom.url)
    assert told.partitions() == [DEFAULT_PARTITION, "north"]
    assert not told.is_absent(STUDY, "north")
    assert told.is_absent("1.2.4", "north")
    assert (told.is_listed(STUDY, "north"), told.is_listed("1.2.4", "north")) == (True, False)


@pytest.mark.parametrize("status", [200, 204, 400, 424])
def test_any_other_answer_says_nothing_of_a_study(status):
    """Only 404 says that the archive does not have it."""
    routes = [Route("/{path:path}", lambda _: Response("[]" if status == 200 else "", status))]
    with running(Starlette(routes=routes)) as service:
        told = study_list(service.url)
        assert not told.is_absent(STUDY, "north")
