"""The FHIR client: pages, batches, long searches, reads and transactions, whatever the server makes of them."""

import pytest

from shared.clients.fhir.capabilities import Limit
from shared.clients.fhir.client import FhirClient
from shared.clients.fhir.searches import MAX_JOINED, MAX_PAGES, MAX_URL, PAGE_SIZE
from shared.errors import (
    ConflictError,
    FhirRefusedError,
    IncompatibleServerError,
    OutageError,
    PagingError,
    StudyTooLargeError,
    ThrottledError,
    TransientError,
)
from shared.model.fhir import Written
from shared.model.options import BundleProcessing
from tests.unit.clients.fhir.http_fake import BASE, FakeHttp, answer

QUERY = "identifier=%7CP-1"
LONG = "identifier=" + ",".join(f"%7CP-{number}" for number in range(300))
SEARCHES = [("Patient", "identifier=%7C1"), ("Endpoint", "identifier=%7C2"), ("ImagingStudy", "identifier=%7C3")]


def patient(id_):
    return {"resourceType": "Patient", "id": id_, "meta": {"versionId": "1"}}


def page(*resources, following=None, total=None):
    links = [{"relation": "self", "url": f"{BASE}/Patient?{QUERY}"}]
    links += [{"relation": "next", "url": following}] if following else []
    told = {} if total is None else {"total": total}
    return {"resourceType": "Bundle", "link": links, "entry": [{"resource": one} for one in resources]} | told


def client_of(respond):
    http = FakeHttp(respond)
    return FhirClient(http), http


def test_all_pages_of_a_search():
    """Each once, afresh, and as large as servers take; the largest page that another followed is remembered."""
    pages = {
        f"/Patient?{QUERY}&_count={PAGE_SIZE}": page(patient("1"), patient("2"), following=f"{BASE}?_getpages=1"),
        "?_getpages=1": page(patient("3"), following="?_getpages=2"),
        "?_getpages=2": page(),
    }
    client, http = client_of(lambda request: answer(pages[request.path]))
    assert [one["id"] for one in client.search("Patient", QUERY)] == ["1", "2", "3"]
    assert [request.path for request in http.asked] == list(pages)
    assert {request.headers["Cache-Control"] for request in http.asked} == {"no-cache"}
    assert client.capabilities.page_size == 2
    assert client.capabilities.versions_in_searches is True


PAGES_THAT_LEAD_NOWHERE = [
    # name, the link of each page by its number, the most requests
    ("a link to itself", lambda number: f"?{QUERY}&_count={PAGE_SIZE}", 1),
    ("a link to the second page", lambda number: "?page=2", 2),
    ("two pages that lead to each other", lambda number: f"?page={number % 2}", 3),
    ("pages without end", lambda number: f"?page={number}", MAX_PAGES + 1),
]


@pytest.mark.parametrize(
    ("name", "link", "most"), PAGES_THAT_LEAD_NOWHERE, ids=[row[0] for row in PAGES_THAT_LEAD_NOWHERE]
)
def test_pages_that_lead_nowhere(name, link, most):
    """It is told; no page is asked for twice."""
    client, http = client_of(lambda request: answer(page(patient("1"), following=link(http.calls))))
    with pytest.raises(PagingError):
        client.search("Patient", QUERY)
    assert http.calls <= most


@pytest.mark.parametrize(
    ("found", "total", "good"), [(2, 2, True), (2, None, True), (2, 1, True), (2, 3, False), (0, 1, False)]
)
def test_a_search_that_tells_of_more_than_it_gives(found, total, good):
    """Without a link to the rest: what is missing must not be taken for not there."""
    client, _ = client_of(lambda request: answer(page(*map(patient, "12"[:found]), total=total)))
    if good:
        assert len(client.search("Patient", QUERY)) == found
        return
    with pytest.raises(PagingError, match=f"{found} of {total}"):
        client.search("Patient", QUERY)


def test_a_total_that_all_pages_together_hold():
    """It counts all of them."""
    pages = [page(patient("1"), following="?page=2", total=2), page(patient("2"), total=2)]
    client, http = client_of(lambda request: answer(pages[http.calls - 1]))
    assert len(client.search("Patient", QUERY)) == 2


@pytest.mark.parametrize("status", [400, 404, 405, 414, 501])
def test_a_long_search_that_is_refused_by_post(status):
    """Is asked by GET, and so is the next; the same whether or not the refusal comes with words."""
    client, http = client_of(
        lambda request: answer(page(patient("1"))) if request.method == "GET" else answer(status=status)
    )
    for _ in range(2):
        assert len(client.search("Patient", LONG)) == 1
    assert [request.method for request in http.asked] == ["GET", "POST", "GET", "GET"]
    assert client.capabilities.post_searches is False


def test_a_long_search_goes_by_post():
    """As a form, with the page's size; the pages that follow are asked for by GET."""
    assert len(LONG) > MAX_URL
    tried = [page(patient("1"), patient("2")), page(patient("1"))]
    pages = [*tried, page(patient("1"), following=f"{BASE}?_getpages=1"), page(patient("2"))]
    client, http = client_of(lambda request: answer(pages[http.calls - 1]))
    assert len(client.search("Patient", LONG)) == 2
    first, second = http.asked[2:]
    assert (first.name, first.text) == ("POST /Patient/_search", f"{LONG}&_count={PAGE_SIZE}")
    assert first.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (second.method, second.path) == ("GET", "?_getpages=1")
    assert client.capabilities.post_searches is True


def batch_of(*statuses):
    """The answer to a batch of SEARCHES: a page with one resource where the status is good."""
    entries = [
        {"response": {"status": status}}
        | ({"resource": page({"resourceType": kind, "id": "1"})} if status.startswith("2") else {})
        for status, (kind, _) in zip(statuses, SEARCHES, strict=True)
    ]
    return {"resourceType": "Bundle", "type": "batch-response", "entry": entries}


def searched(batch, single=None):
    """A client of a server that answers batches and single searches so."""

    def respond(request):
        if request.is_batch:
            return batch
        return single or answer(page({"resourceType": request.path[1:].split("?")[0], "id": "2"}))

    return client_of(respond)


def test_many_searches_are_one_batch():
    """Its entries are the searches, with the page's size; that batches are taken is remembered."""
    client, http = searched(answer(batch_of("200 OK", "200", "200")))
    found = client.search_many(SEARCHES)
    assert [[one["resourceType"] for one in some] for some in found] == [["Patient"], ["Endpoint"], ["ImagingStudy"]]
    (request,) = http.asked
    assert [one["request"]["url"] for one in request.body["entry"]] == [
        f"{kind}?{query}&_count={PAGE_SIZE}" for kind, query in SEARCHES
    ]
    assert client.capabilities.batches is True


@pytest.mark.parametrize(
    ("batch", "singles", "batches"),
    [
        (answer(batch_of("200", "500", "200")), 1, True),
        (answer(batch_of("400", "500", "404")), 3, False),  # of which it does none
        (answer(batch_of("405", "405", "405")), 3, False),
        (answer({"resourceType": "Bundle", "entry": [{"response": {"status": "200"}}] * 3}), 3, True),  # without pages
        (answer(status=400), 3, False),
        (answer(status=405), 3, False),
        (answer(status=413), 3, False),
        (answer(status=501), 3, False),
    ],
)
def test_what_a_batch_does_not_answer_is_asked_singly(batch, singles, batches):
    """Its own answer tells why; a server that takes no batches is asked for none any more."""
    client, http = searched(batch)
    assert [len(one) for one in client.search_many(SEARCHES)] == [1, 1, 1]
    assert http.calls == 1 + singles
    assert client.capabilities.batches is batches
    client.search_many(SEARCHES)
    assert [request.is_batch for request in http.asked].count(True) == (2 if batches else 1)


@pytest.mark.parametrize(
    "statuses", [("200", "429 Too Many Requests", "200"), ("429", "429", "429"), ("500", "429", "500")]
)
def test_a_batch_with_a_throttled_entry_is_throttled(statuses):
    """Fewer requests are wanted, not more; of batches it says nothing."""
    client, http = searched(answer(batch_of(*statuses)))
    with pytest.raises(ThrottledError):
        client.search_many(SEARCHES)
    assert http.calls == 1
    assert client.capabilities.batches is None


@pytest.mark.parametrize(
    "batch", [answer(status=503), answer(b"<html>"), answer([]), answer(batch_of("200", "200", "200") | {"entry": []})]
)
def test_a_batch_that_fails(batch):
    """It is a passing fault, and no word on whether batches are taken."""
    client, http = searched(batch)
    with pytest.raises(TransientError):
        client.search_many(SEARCHES)
    assert http.calls == 1
    assert client.capabilities.batches is None


def test_the_pages_of_a_search_in_a_batch():
    """A link is resolved as if the search had been asked by itself."""
    first = page(patient("1"), following="?page=2")
    entries = [{"response": {"status": "200"}, "resource": first}, {"response": {"status": "200"}, "resource": page()}]
    client, http = searched(answer({"resourceType": "Bundle", "entry": entries}), answer(page(patient("2"))))
    found, _ = client.search_many([("Patient", QUERY), ("Endpoint", QUERY)])
    assert [one["id"] for one in found] == ["1", "2"]
    assert http.asked[-1].path == "/Patient?page=2"


READS = [
    # the answer, what is read
    (answer(patient("7")), patient("7")),
    (answer({"resourceType": "Patient", "id": "7"}, ETag='W/"3"'), patient("7") | {"meta": {"versionId": "3"}}),
    (answer(patient("7"), ETag='W/"3"'), patient("7")),  # what it says itself counts
    (answer({"resourceType": "Patient", "id": "7"}), {"resourceType": "Patient", "id": "7"}),
    (answer(status=404), None),
    (answer(status=410), None),
]


@pytest.mark.parametrize(("given", "read"), READS, ids=str)
def test_a_read(given, read):
    """Its version by `meta` or by the ETag; None where it is gone."""
    client, http = client_of(lambda request: given)
    assert client.read("Patient/7") == read
    assert http.asked[0].name == "GET /Patient/7"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(status=503), TransientError),
        (answer(status=429), ThrottledError),
        (answer(status=400), FhirRefusedError),
        (answer([]), TransientError),
        (answer(b""), TransientError),
        (answer({"resourceType": "OperationOutcome"}), TransientError),
        (answer({"resourceType": "Patient"}), TransientError),
    ],
)
def test_a_read_that_fails(given, error):
    """That nothing could be read is no word on whether it is there."""
    client, _ = client_of(lambda request: given)
    with pytest.raises(error):
        client.read("Patient/7")


def bundle(size, *, conditional=True):
    asked = {"method": "POST", "url": "Patient"} | ({"ifNoneExist": QUERY} if conditional else {})
    return {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": asked}] * size}


def done(size):
    entry = {"response": {"status": "201", "location": "Patient/7/_history/1"}}
    return answer({"resourceType": "Bundle", "entry": [entry] * size})


def test_what_a_transaction_became():
    """In the order of what was sent; what was taken is learned by its kind."""
    client, http = client_of(lambda request: done(len(request.body["entry"])))
    assert client.transact(bundle(2)) == [Written(created=True, reference="Patient/7", version="1")] * 2
    client.transact(bundle(5, conditional=False))
    assert http.asked[0].headers["Prefer"] == "return=minimal"
    assert (client.capabilities.conditional, client.capabilities.plain) == (Limit(taken=2), Limit(taken=5))


@pytest.mark.parametrize("given", [answer(b""), answer({}), answer({"entry": [{}]}), done(1), done(3), answer({"entry": [{"response": {"status": "201"}}, {"response": {"status": "412"}}]}), answer(status=302)])  # fmt: skip
def test_an_answer_that_does_not_match_what_was_sent(given):
    """What became of it is to be read again; nothing is learned of it."""
    client, _ = client_of(lambda request: given)
    with pytest.raises(TransientError):
        client.transact(bundle(2))
    assert client.capabilities.conditional == Limit()


@pytest.mark.parametrize(("size", "may_be"), [(10, False), (11, True)])
@pytest.mark.parametrize(("status", "error"), [(400, FhirRefusedError), (413, StudyTooLargeError)])
def test_only_what_is_larger_than_ever_can_be_a_limit(size, may_be, status, error):
    """Of its kind: what was taken without conditional creates says nothing of those with them; 413 is of bytes."""
    client, _ = client_of(
        lambda request: done(taken) if (taken := len(request.body["entry"])) == takes else answer(status=status)
    )
    takes = 50
    client.transact(bundle(50, conditional=False))
    takes = 10
    client.transact(bundle(10))
    takes = 0
    with pytest.raises(error) as caught:
        client.transact(bundle(size))
    assert caught.value.may_be_limit is (may_be or error is StudyTooLargeError)


@pytest.mark.parametrize("status", [409, 412])
def test_the_status_of_a_conflict_is_learned(status):
    """Servers differ; it is shown."""
    client, _ = client_of(lambda request: answer(status=status))
    with pytest.raises(ConflictError):
        client.transact(bundle(2))
    assert client.capabilities.conflict_status == status


STATEMENT = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}

WRONG_SERVERS = [
    # the answer, what is told
    ({"resourceType": "Patient"}, "not a FHIR R4 server"),
    (STATEMENT | {"fhirVersion": "5.0.0"}, "fhirVersion 5.0.0"),
    (STATEMENT | {"fhirVersion": None}, "fhirVersion none"),
    (STATEMENT | {"fhirVersion": "Roe^Kim"}, "fhirVersion of no known form"),
    (STATEMENT | {"rest": [{"interaction": [{"code": "batch"}]}]}, "does not support transactions"),
]


@pytest.mark.parametrize(("statement", "told"), WRONG_SERVERS)
def test_a_server_that_is_none_for_us(statement, told):
    """It is asked each time until it is one."""
    client, http = client_of(lambda request: answer(statement))
    for _ in range(2):
        with pytest.raises(IncompatibleServerError, match=told):
            client.check()
    statement = STATEMENT
    client.check()
    client.check()
    assert http.calls == 3


@pytest.mark.parametrize("given", [answer(status=503), answer(b"<html>")])
def test_a_server_without_a_statement_is_down(given):
    """Whatever its answer is."""
    client, _ = client_of(lambda request: given)
    for asked in (client.check, client.probe):
        with pytest.raises(OutageError):
            asked()


MANY = [("Patient", f"identifier=%7C{number}") for number in range(120)] + [
    ("Endpoint", "connection-type=c&name:exact=E")
]


def joining(*, is_joined=True):
    """A client of a server that answers a batch, and a search of several values where it `is_joined`."""

    def found(url):
        kind, query = url.split("?")
        if "," in query and not is_joined:
            return None
        numbers = [one.removeprefix("%7C") for one in query.split("&")[0].removeprefix("identifier=").split(",")]
        return page(*({"resourceType": kind, "id": number} for number in numbers))

    def respond(request):
        if not request.is_batch:
            return answer(found(request.path[1:]))
        pages = [found(one["request"]["url"]) for one in request.body["entry"]]
        entries = [
            {"response": {"status": "200"}, "resource": one} if one else {"response": {"status": "400"}}
            for one in pages
        ]
        return answer({"resourceType": "Bundle", "entry": entries})

    return client_of(respond)


def test_searches_by_one_identifier_are_joined():
    """So many values in one search; what others match may stand beside what one search asks for."""
    client, http = joining()
    found = client.search_many(MANY)
    (request,) = http.asked
    urls = [one["request"]["url"] for one in request.body["entry"]]
    assert sorted(url.count(",") + 1 for url in urls) == [1, 20, MAX_JOINED, MAX_JOINED]
    for number, matches in enumerate(found[:120]):
        assert str(number) in [one["id"] for one in matches]
    assert [one["resourceType"] for one in found[120]] == ["Endpoint"]


def test_a_server_that_joins_no_values_is_asked_one_by_one():
    """Once it is seen the next searches are a batch of single ones."""
    client, http = joining(is_joined=False)
    assert [len(one) for one in client.search_many(MANY)] == [1] * 121
    assert client.capabilities.joined_searches is False
    calls = http.calls
    assert [len(one) for one in client.search_many(MANY)] == [1] * 121
    assert http.calls == calls + 1


def test_searches_for_the_same_elements_are_joined():
    """By identifier and by id; others stay apart."""
    client, http = joining()
    asked = ["_id=1&_elements=identifier", "_id=2&_elements=identifier", "_id=3", "_id=4&_elements=name"]
    client.search_many([("Patient", query) for query in asked])
    (request,) = http.asked
    urls = [one["request"]["url"].partition("?")[2].rpartition("&")[0] for one in request.body["entry"]]
    assert urls == ["_id=1,2&_elements=identifier", "_id=3", "_id=4&_elements=name"]


def test_a_comma_in_a_value_joins_nothing():
    """It is escaped, and stays one value (search.html#escaping)."""
    client, http = joining()
    client.search_many([("Patient", "identifier=%7Ca%5C%2Cb"), ("Patient", "identifier=%7Cc")])
    (request,) = http.asked
    assert request.path == f"/Patient?identifier=%7Ca%5C%2Cb,%7Cc&_count={PAGE_SIZE}"


@pytest.mark.parametrize(
    ("processing", "asked"),
    [
        (BundleProcessing.SERVER, [None, None, None]),
        (BundleProcessing.PARALLEL, ["parallel", "parallel", None]),
        (BundleProcessing.SEQUENTIAL, ["sequential", "sequential", None]),
    ],
    ids=str,
)
def test_how_a_server_is_to_work_through_bundles(processing, asked):
    """Azure's header, on transactions and batches alone: nothing is asked for by default."""
    batch = answer(batch_of("200", "200", "200"))
    http = FakeHttp(lambda request: batch if request.is_batch else done(3) if request.text else answer(page()))
    client = FhirClient(http, processing=processing)
    client.search_many(SEARCHES)
    client.transact(bundle(3))
    client.search("Patient", QUERY)
    assert [request.headers.get("x-bundle-processing-logic") for request in http.asked] == asked
