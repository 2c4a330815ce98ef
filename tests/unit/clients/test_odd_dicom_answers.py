"""Arbitrary JSON where a DICOM service's answer is expected: it is read, or is a named error; never another exception."""

import contextlib
import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_reader import FeedReader
from shared.clients.dicom.dicomweb import DicomWeb
from shared.clients.dicom.study_list import StudyList
from shared.clients.http_answer import Answer, Stream
from shared.errors import DicomCastError, FeedError
from shared.model.change_feed import DEFAULT_PARTITION
from shared.model.watermark import Watermark
from shared.sync.status.lag import lag_behind
from tests.fakes import entry, metadata

NOW = datetime(2024, 5, 6, 7, 0, 0, tzinfo=UTC)
ITEM = {
    "Sequence": 7,
    "StudyInstanceUid": "1.2.3",
    "SeriesInstanceUid": "1.2.3.4",
    "SopInstanceUid": "1.2.3.4.5",
    "Action": "create",
    "State": "current",
    "Timestamp": "2024-05-06T06:00:00+00:00",
    "Metadata": metadata(),
}
SERIES = [{"0020000E": {"vr": "UI", "Value": ["1.2.3.4"]}, "00201209": {"vr": "IS", "Value": [2]}}]
INSTANCES = [metadata(), metadata(instance="1.2.3.4.6")]
STUDIES = [
    {
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "00201208": {"vr": "IS", "Value": [2]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
    }
]
ODD_TEXTS = ["", "²", "-1", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "1.2.3", "\ud800", "deleted"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(ODD_TEXTS)
JSON = st.recursive(
    SCALARS | st.sampled_from([2**63, 10**30, -1]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*ITEM, "0020000D", "0020000E", "00080018", "00201209", "00201208", "00080061", "Value", "vr"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


class Service:
    """Answers every question with the same body."""

    name, url = "DICOM service", "https://dicom.example.org"

    def __init__(self, body, status=200):
        self._content = json.dumps(body).encode()
        self._status = status
        self._left = 2000

    def fetch(self, path, *, params=None, headers=None):
        self._left -= 1
        assert self._left, "requests without end"
        return Answer(self._status, {"Date": "Mon, 06 May 2024 07:00:00 GMT"}, self._content)

    @contextlib.contextmanager
    def stream(self, path, *, params=None, headers=None):
        yield Stream(self._status, {}, iter([self._content]))


def read_feed(body, *, pass_torn):
    """All that the app asks of a feed, and what it does with it at once."""
    feed = ChangeFeed(FeedReader(Service(body), lambda: frozenset(metadata()), pass_torn=pass_torn), 30)
    for after in (Watermark(), Watermark(6, "2024-05-06T05:00:00+00:00")):
        with contextlib.suppress(DicomCastError):
            for position, page in enumerate(feed.pages(after)):
                assert page.through.sequence < 2**63, "no table could hold it"
                if position == 3:
                    break
        with contextlib.suppress(DicomCastError):
            feed.first_after(after)
        with contextlib.suppress(DicomCastError):
            lag_behind(feed, feed.latest(), after, NOW)
    with contextlib.suppress(DicomCastError):
        feed.entries({7})
    with contextlib.suppress(DicomCastError):
        list(feed.between(Watermark(0, "2024-05-06T05:00:00+00:00"), "2024-05-06T08:00:00+00:00"))
    with contextlib.suppress(DicomCastError):
        feed.by_sequence(Watermark(6, "2024-05-06T05:00:00+00:00"))


def read_study(body):
    """All that the app asks of a study."""
    archive = DicomWeb(Service(body), "v2", lambda: frozenset(metadata()))
    place = "1.2.3", DEFAULT_PARTITION
    for ask in (
        lambda: list(archive.instances(*place)),
        lambda: list(archive.instances(*place, "1.2.3.4")),
        lambda: archive.series(*place),
        lambda: archive.counts(*place),
        lambda: archive.listed("1.2.3", "1.2.3.4", DEFAULT_PARTITION),
        lambda: archive.one_of("1.2.3", "1.2.3.4", DEFAULT_PARTITION),
        lambda: archive.metadata(entry()),
        lambda: archive.studies("PatientID", "P-1", DEFAULT_PARTITION, 10),
        lambda: StudyList(Service(body), "v2").page(DEFAULT_PARTITION, 0),
        lambda: StudyList(Service(body), "v2").partitions(),
        lambda: StudyList(Service(body), "v2").is_absent("1.2.3", DEFAULT_PARTITION),
        lambda: StudyList(Service(body), "v2").is_listed("1.2.3", DEFAULT_PARTITION),
    ):
        with contextlib.suppress(DicomCastError):
            ask()


READERS = [
    # name, the right answer, what reads it
    ("feed", [ITEM], lambda body: read_feed(body, pass_torn=False)),
    ("feed, torn entries passed", [ITEM], lambda body: read_feed(body, pass_torn=True)),
    ("latest", ITEM, lambda body: read_feed(body, pass_torn=False)),
    ("series", SERIES, read_study),
    ("instances", INSTANCES, read_study),
    ("studies", STUDIES, read_study),
    ("partitions", [{"PartitionName": "north"}], read_study),
]


def places(body, path=()):
    """The way to each value of a JSON body, itself too."""
    yield path
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def put(body, path, value):
    """The body with another value at the place."""
    if not path:
        return value
    body = copy.deepcopy(body)
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return body


@pytest.mark.parametrize(("name", "good", "read"), READERS, ids=[row[0] for row in READERS])
def test_any_json_in_any_place(name, good, read):
    """In place of one value of a right answer, or of all of it."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(list(places(good))), JSON)
    def reads(path, value):
        read(put(good, path, value))

    reads()


ODD = [
    # name, the answer to a question about series or instances
    ("an element that is text", [{"0020000E": "1.2.3.4"}]),
    ("an element that is a list", [{"0020000E": ["1.2.3.4"]}]),
    ("a Value that is an object", [{"0020000E": {"vr": "UI", "Value": {"0": "1.2"}}}]),
    ("a Value that is a number", [{"0020000E": {"vr": "UI", "Value": 7}}]),
    ("a Value of a list", [{"0020000E": {"vr": "UI", "Value": [["1.2"]]}}]),
    ("a UID that is an object", [{"0020000E": {"vr": "UI", "Value": [{"a": 1}]}}]),
    ("null", [{"0020000E": None}]),
]


@pytest.mark.parametrize(("name", "body"), ODD, ids=[row[0] for row in ODD])
def test_an_odd_uid_is_a_fault_of_the_answer(name, body):
    """It is that study's: carried, and in the end given up."""
    with pytest.raises(FeedError):
        DicomWeb(Service(body), "v2", lambda: frozenset(metadata())).series("1.2.3", DEFAULT_PARTITION)


@pytest.mark.parametrize("status", [204, 400, 404])
def test_a_service_without_data_partitions_has_the_default_one(status):
    """Azure says 400 if they are not turned on; other services have no such path."""
    assert StudyList(Service([{"PartitionName": "north"}], status), "v2").partitions() == [DEFAULT_PARTITION]


@pytest.mark.parametrize(("status", "body"), [
    (402, []), (405, []), (406, []), (409, []), (415, []), (424, []), (501, []), (507, []),
    (200, {"PartitionName": "north"}), (200, "north"), (200, None), (200, [{"Name": "north"}]),
])  # fmt: skip
def test_any_other_answer_says_nothing_of_the_data_partitions(status, body):
    """If it were taken for a service that has only the default one, the studies of all others would not be compared."""
    with pytest.raises(FeedError, match="/v2/partitions: "):
        StudyList(Service(body, status), "v2").partitions()


@pytest.mark.parametrize("partition", [DEFAULT_PARTITION, "north"])
def test_404_to_a_search_of_studies_says_nothing_of_them(partition):
    """That none is found is 204, or an empty list; 404 comes from a gateway, or is for a data partition that is not there.

    With the same answer to a study's metadata it would be deleted, though the archive has it.
    """
    told = StudyList(Service([], 404), "v2")
    for ask in (lambda: told.page(partition, 0), lambda: told.is_listed("1.2.3", partition)):
        with pytest.raises(FeedError, match="status 404"):
            ask()
    assert told.is_absent("1.2.3", partition)
    for service in (Service([], 204), Service([])):
        told = StudyList(service, "v2")
        assert told.page(partition, 0) == ([], False)
        assert not told.is_listed("1.2.3", partition)


@pytest.mark.parametrize("count", ["²", "1.5", "-1", None, [2], {"a": 2}, 2**70])
def test_an_odd_number_of_instances_is_counted(count):
    """NumberOfSeriesRelatedInstances is optional: where it cannot be read the instances are counted."""
    series = [{**metadata(), "00201209": {"vr": "IS", "Value": [count]}}]
    assert DicomWeb(Service(series), "v2", lambda: frozenset(metadata())).counts("1.2.3", DEFAULT_PARTITION) == {
        "1.2.3.4": 1
    }


@pytest.mark.parametrize("sequence", [2**63, 10**30])
def test_a_sequence_that_no_table_holds(sequence):
    """It is an error of the feed, and not one of the watermark's row for ever."""
    service = Service({**ITEM, "Sequence": sequence})
    with pytest.raises(FeedError, match="64 bits"):
        ChangeFeed(FeedReader(service, frozenset, pass_torn=False), 30).latest()
