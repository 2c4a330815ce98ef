"""403 to one FHIR request among others that succeed is that request's own fault; else the server refuses us."""

import pytest

from shared.clients.fhir.client import FhirClient
from shared.errors import FhirRefusedError, ForbiddenError, OutageError, OverlongAnswerError
from tests.unit.clients.fhir.http_fake import BASE, FakeHttp, answer

NOTHING = {"resourceType": "Bundle", "type": "searchset", "entry": []}
BUNDLE = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [{"request": {"method": "PUT", "url": "Patient/1"}}],
}
SEARCHES = [
    ("Patient", "identifier=%7Cgood"),
    ("Patient", "identifier=%7Cworst"),
    ("ImagingStudy", "identifier=%7Cgood"),
]


def forbidding(fits, **others):
    """A server before which a firewall answers 403 to what fits; the trial's transaction is refused as it should be."""

    def respond(request):
        if fits(request):
            raise ForbiddenError("FHIR server", f"403 from {BASE}: it wants authentication, and the app has none")
        if request.is_batch:
            entries = [{"response": {"status": "200"}, "resource": NOTHING} for _ in request.body["entry"]]
            return answer({"resourceType": "Bundle", "type": "batch-response", "entry": entries})
        if request.method == "POST":
            return answer(status=412)
        return answer(NOTHING)

    http = FakeHttp(respond)
    return FhirClient(http), http


def has(text):
    return lambda request: text in request.path + request.text


def test_one_search():
    """The search is asked about with another one, of nothing, that no memory can answer."""
    client, http = forbidding(has("worst"))
    with pytest.raises(FhirRefusedError, match=r"403.*other requests are answered") as caught:
        client.search("Patient", "identifier=%7Cworst")
    assert caught.value.status == 403
    assert "identifier=urn%3Adicom-cast%3Aself-check%7C" in http.asked[1].path
    assert http.asked[1].headers["Cache-Control"] == "no-cache"


def test_one_read():
    client, _ = forbidding(has("Patient/worst"))
    with pytest.raises(FhirRefusedError, match="403"):
        client.read("Patient/worst")


def test_one_transaction():
    """It is asked about with a transaction that is to be refused."""
    client, _ = forbidding(has("Patient/1"))
    with pytest.raises(FhirRefusedError, match="403"):
        client.transact(BUNDLE)


def test_a_403_in_passing():
    """It is asked once more before it is taken for a word on the request."""
    at_first = [True]
    client, http = forbidding(lambda request: bool(at_first and at_first.pop()))
    assert client.search("Patient", "identifier=%7C1") == []
    assert http.calls == 3


WHOLE = [
    # name, what is answered 403, what is asked
    (
        "all searches",
        lambda request: request.method == "GET",
        lambda client: client.search("Patient", "identifier=%7C1"),
    ),
    ("all reads and searches", lambda request: request.method == "GET", lambda client: client.read("Patient/1")),
    ("all writes", lambda request: request.method == "POST", lambda client: client.transact(BUNDLE)),
    ("all, and a write is asked", lambda request: True, lambda client: client.transact(BUNDLE)),
    ("metadata", has("metadata"), lambda client: client.check()),
]


@pytest.mark.parametrize(("name", "fits", "ask"), WHOLE, ids=[row[0] for row in WHOLE])
def test_a_server_that_refuses_us(name, fits, ask):
    """It is an outage, that says what to do."""
    client, _ = forbidding(fits)
    with pytest.raises(OutageError, match=f"403 from {BASE}: it wants authentication"):
        ask(client)


@pytest.mark.parametrize("error", [ForbiddenError("FHIR server", "403"), OverlongAnswerError("larger than 64 MiB")])
def test_a_batch_that_is_refused_for_what_is_in_it(error):
    """It falls apart, and the next one is a batch again: neither a 403 nor an overlong answer says "no batches"."""
    refused = [True]

    def respond(request):
        if request.is_batch and refused:
            refused.pop()
            raise error
        if request.is_batch:
            entries = [{"response": {"status": "200"}, "resource": NOTHING} for _ in request.body["entry"]]
            return answer({"resourceType": "Bundle", "type": "batch-response", "entry": entries})
        return answer(NOTHING)

    http = FakeHttp(respond)
    client = FhirClient(http)
    assert client.search_many(SEARCHES) == [[], [], []]
    assert client.capabilities.batches is not False
    http.asked.clear()
    assert client.search_many(SEARCHES) == [[], [], []]
    assert [request.is_batch for request in http.asked] == [True]


def test_joined_searches_of_which_one_is_refused():
    """The others are still joined the next time; a long search still goes by POST."""
    client, _ = forbidding(has("worst"))
    with pytest.raises(FhirRefusedError, match="403"):
        client.search_many(SEARCHES)
    assert client.capabilities.joined_searches is not False
    with pytest.raises(FhirRefusedError, match="403"):
        client.search("Patient", "identifier=" + ",".join(f"%7Cworst-{number}" for number in range(300)))
    assert client.capabilities.post_searches is not False
