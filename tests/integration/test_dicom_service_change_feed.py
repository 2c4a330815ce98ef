"""The local DICOM service's change feed, as Azure's documentation and the app's contract with it have it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.dicom_service import create_app
from tests.integration.dicom_service_client import Client, dicom_file, emptied, running

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what the tests do on purpose

FIRST_INSTANCE = "/v2/studies/1.2/series/1.2.3/instances/1.2.3.1"


@pytest.fixture(scope="module")
def server():
    app = create_app(None)
    with running(app) as client:
        yield app, client


@pytest.fixture
def service(server):
    app, client = server
    with emptied(app):
        yield client


def file(number: int, **attributes) -> bytes:
    """Instance 1.2.3.<number> of study 1.2."""
    return dicom_file(SOPInstanceUID=f"1.2.3.{number}", InstanceNumber=str(number), **attributes)


def sequences(entries) -> list[int]:
    return [entry["Sequence"] for entry in entries]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_entry_has_the_fields_of_the_contract(service: Client, version):
    """PascalCase fields, no FilePath, words in lower case, a timestamp with seven fractional digits and an offset."""
    service.store(file(1), path=f"/{version}/studies")
    (entry,) = service.feed(version)
    timestamp, metadata = entry.pop("Timestamp"), entry.pop("Metadata")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", timestamp)
    assert metadata == service.metadata()[0]
    assert entry == {
        "Sequence": 1,
        "StudyInstanceUid": "1.2",
        "SeriesInstanceUid": "1.2.3",
        "SopInstanceUid": "1.2.3.1",
        "Action": "create",
        "State": "current",
        "PartitionName": "Microsoft.Default",
    }


@pytest.mark.parametrize(
    ("steps", "entries"),
    [
        ("create", ["create current +"]),
        ("create delete", ["create deleted", "delete deleted"]),
        ("create delete create", ["create replaced +", "delete replaced +", "create current +"]),
        (
            "create delete create delete",
            ["create deleted", "delete deleted", "create deleted", "delete deleted"],
        ),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_state_and_metadata_are_those_of_now(service: Client, version, steps, entries):
    """State follows from the instance's current version; Metadata (+) is the current version's unless deleted."""
    for number, step in enumerate(steps.split()):
        if step == "create":
            service.store(file(1, StudyDescription=f"step {number}"))
        else:
            service.delete(FIRST_INSTANCE)
    feed = service.feed(version)
    with_mark = {True: " +", False: ""}
    assert [f"{e['Action']} {e['State']}{with_mark['Metadata' in e]}" for e in feed] == entries
    last = f"step {len(steps.split()) - 1}"
    assert all(e["Metadata"]["00081030"]["Value"] == [last] for e in feed if "Metadata" in e)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_metadata_can_be_left_out(service: Client, version):
    """includeMetadata=false, in any letter case; parameter names too are free of case."""
    service.store(file(1))
    assert "Metadata" in service.feed(version, includeMetadata="TRUE")[0]
    assert "Metadata" not in service.feed(version, includeMetadata="false")[0]
    assert "Metadata" not in service.feed(version, includemetadata="False")[0]
    assert "Metadata" not in service.get(f"/{version}/changefeed/latest", includeMetadata="false").json()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3, 8, 9, 10]),
        ({"offset": 0, "limit": 2}, [1, 2]),
        ({"offset": 2, "limit": 2}, [3]),
        ({"offset": 3, "limit": 4}, []),
        ({"offset": 3, "limit": 5}, [8]),
        ({"offset": 7, "limit": 100}, [8, 9, 10, 11, 12, 13]),
        ({"offset": 13}, []),
        ({"offset": 2**63 - 1, "limit": 100}, []),
    ],
)
def test_v1_reads_a_window_of_sequence_numbers(service: Client, query, expected):
    """offset < Sequence <= offset + limit, ten by default: a hole makes a window short or empty, and is not the end."""
    service.store(*map(file, range(1, 4)))
    assert service.post("/admin/holes?count=4", content_type=None).json() == {"sequence": 7}
    service.store(*map(file, range(4, 10)))
    assert sequences(service.feed("v1", **query)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, list(range(1, 101))),
        ({"limit": 200}, list(range(1, 121))),
        ({"limit": 3, "offset": 4}, [5, 6, 7]),
        ({"offset": 118}, [119, 120]),
        ({"offset": 120}, []),
    ],
)
def test_v2_skips_and_limits_rows(service: Client, query, expected):
    """Offset counts rows, not sequence numbers; a hundred rows by default."""
    service.store(*map(file, range(1, 121)))
    assert sequences(service.feed(**query)) == expected


def test_v2_reads_a_half_open_window_of_time(service: Client):
    """startTime <= Timestamp < endTime, to the last of the seven digits, in any zone."""
    service.store(file(1), file(2), file(3))
    moments = [entry["Timestamp"] for entry in service.feed()]
    assert moments == sorted(set(moments))
    assert sequences(service.feed(startTime=moments[1])) == [2, 3]
    assert sequences(service.feed(endTime=moments[1])) == [1]
    assert sequences(service.feed(startTime=moments[0], endTime=moments[2])) == [1, 2]
    assert sequences(service.feed(startTime=moments[0].replace("+00:00", "Z"), endTime=moments[1])) == [1]
    assert sequences(service.feed(startTime="0001-01-01T00:00:00+14:00", endTime="9999-12-31T23:59:59.9999999Z"))
    assert sequences(service.feed(startTime="2999-01-01T00:00Z")) == []


def test_entries_of_one_moment_are_in_the_order_of_their_numbers(service: Client):
    """The deletes of one request share their timestamp, as in Azure's service."""
    service.store(*map(file, range(1, 6)))
    service.delete("/v2/studies/1.2")
    deletes = service.feed(offset=5)
    assert sequences(deletes) == [6, 7, 8, 9, 10]
    assert len({entry["Timestamp"] for entry in deletes}) == 1


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_latest_is_the_newest_entry(service: Client, version):
    """204 where there is none; holes after it do not count."""
    assert service.get(f"/{version}/changefeed/latest").status_code == 204
    assert service.feed(version) == []
    service.store(file(1), file(2))
    service.post("/admin/holes?count=5", content_type=None)
    assert service.get(f"/{version}/changefeed/latest").json() == service.feed(version)[-1]


def test_a_slow_write_shows_up_after_higher_numbers(service: Client):
    """A reserved number keeps its place and its time: it fills the hole, and `latest` does not move."""
    service.store(file(1))
    assert service.post("/admin/reserve", content_type=None).json() == {"sequence": 2}
    service.store(file(3))
    assert sequences(service.feed("v1")) == [1, 3]
    response = service.store(file(2), path="/admin/reserve/2/studies")
    assert response.status_code == 200
    assert response.json()["00081190"]["Value"] == [f"{service.url}/v2/studies/1.2"]
    assert sequences(service.feed("v1")) == sequences(service.feed("v2")) == [1, 2, 3]
    assert [entry["State"] for entry in service.feed()] == ["current"] * 3
    for version in ("v1", "v2"):
        assert service.get(f"/{version}/changefeed/latest").json()["Sequence"] == 3


def test_a_reserved_number_takes_one_instance_once(service: Client):
    """404 for a number that is not reserved or is used, 400 for other than one instance, 409 for a refused one."""
    service.store(file(1))
    service.post("/admin/reserve", content_type=None)
    path = "/admin/reserve/2/studies"
    assert service.store(file(2), path="/admin/reserve/1/studies").status_code == 404
    assert service.store(file(2), file(3), path=path).status_code == 400
    assert service.post(path).status_code == 400
    assert service.store(file(1), path=path).status_code == 409
    assert service.store(b"no DICOM at all", path=path).status_code == 409
    assert service.store(file(2), path=path).status_code == 200
    assert service.store(file(3), path=path).status_code == 404


def test_a_refused_instance_has_no_entry(service: Client):
    """Neither has a delete that finds nothing."""
    service.store(file(1), file(1), b"no DICOM at all")
    service.store(file(1))
    service.delete("/v2/studies/1.9")
    service.store(file(2))
    assert [entry["SopInstanceUid"] for entry in service.feed()] == ["1.2.3.1", "1.2.3.2"]


def test_writers_at_the_same_time_share_the_numbers(service: Client):
    """Every number is given out once, and none is lost."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda number: service.store(file(number)).status_code, range(1, 41))
        assert set(answers) == {200}
    assert sequences(service.feed()) == list(range(1, 41))


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/changefeed?limit=0", "limit"),
        ("/v1/changefeed?limit=101", "limit"),
        ("/v1/changefeed?limit=ten", "limit"),
        ("/v1/changefeed?limit=", "limit"),
        ("/v1/changefeed?limit=1_0", "limit"),
        ("/v1/changefeed?limit=1&limit=2", "limit"),
        ("/v1/changefeed?offset=-1", "offset"),
        ("/v1/changefeed?offset=1.5", "offset"),
        ("/v1/changefeed?offset=9223372036854775808", "offset"),
        ("/v1/changefeed?startTime=2026-01-01T00:00:00Z", "startTime"),
        ("/v1/changefeed?includeMetadata=yes", "includeMetadata"),
        ("/v1/changefeed/latest?limit=1", "limit"),
        ("/v2/changefeed?limit=0", "limit"),
        ("/v2/changefeed?limit=201", "limit"),
        ("/v2/changefeed?offset=-1", "offset"),
        ("/v2/changefeed?includeMetadata=1", "includeMetadata"),
        ("/v2/changefeed?since=2026-01-01T00:00:00Z", "since"),
        ("/v2/changefeed?startTime=2026-01-01T00:00:00", "startTime"),
        ("/v2/changefeed?startTime=2026-01-01T00:00:00+00:00", "startTime"),
        ("/v2/changefeed?startTime=2026-13-01T00:00:00Z", "startTime"),
        ("/v2/changefeed?startTime=2026-01-01", "startTime"),
        ("/v2/changefeed?endTime=tomorrow", "endTime"),
        ("/v2/changefeed?endTime=2026-01-01T00:00:00.12345678Z", "endTime"),
        ("/v2/changefeed?startTime=2026-01-01T00:00:00Z&endTime=2026-01-01T00:00:00Z", "startTime"),
        ("/v2/changefeed?startTime=2026-01-01T01:00:00Z&endTime=2026-01-01T01:30:00%2B01:00", "startTime"),
        ("/v2/changefeed/latest?startTime=2026-01-01T00:00:00Z", "startTime"),
    ],
)
def test_a_bad_parameter_is_named(service: Client, path, named):
    """400 with a plain message; a + that was not escaped is a space and no zone."""
    response = service.get(path)
    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/plain")
    assert named in response.text
