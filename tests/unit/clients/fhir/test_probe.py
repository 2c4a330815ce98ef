"""The probe of a FHIR server's store: what counts as well, and that it leaves nothing behind, whatever the manners."""

import pytest

from shared.clients.fhir.client import FhirClient
from shared.errors import OutageError, TransientError
from tests.unit.clients.fhir.http_fake import FakeHttp, answer

NOTHING = {"resourceType": "Bundle", "type": "searchset"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
TAKEN = {
    "resourceType": "Bundle",
    "type": "transaction-response",
    "entry": [{"response": {"status": "201", "location": f"Endpoint/{id_}/_history/1"}} for id_ in ("made", "put")],
}
WELL = answer(NOTHING)
REFUSED = answer(OUTCOME, status=412)


class Server:
    """Answers the probe so; `left` is found by the search."""

    def __init__(self, to_search, to_transaction, left=()):
        self.to_search, self.to_transaction, self.left = to_search, to_transaction, left
        self.deleted = []

    def __call__(self, request):
        if request.method == "GET":
            if isinstance(self.to_search, Exception):
                raise self.to_search
            name = request.path.rpartition("%7C")[2]
            own = {"identifier": [{"system": "urn:dicom-cast:self-check", "value": name}]}
            entries = [{"resource": {"resourceType": "Endpoint", "id": id_} | own} for id_ in self.left]
            return answer({**NOTHING, "entry": entries}) if self.left else self.to_search
        if (first := request.body["entry"][0]["request"])["method"] == "DELETE":
            self.deleted.append(first["url"])
            return answer({})
        if isinstance(self.to_transaction, Exception):
            raise self.to_transaction
        return self.to_transaction


def test_a_status_writes_nothing():
    """It is asked for every few seconds: a search is enough."""
    client = FhirClient(http := FakeHttp(Server(WELL, answer(status=500))))
    client.ensure_answers()
    assert [request.method for request in http.asked] == ["GET"]


JUDGED = [
    # name, the answer to the transaction, what is deleted
    ("412", REFUSED, []),
    ("409", answer(status=409), []),
    ("400", answer(OUTCOME, status=400), []),
    ("404, in FHIR's words", answer(OUTCOME, status=404), []),
    ("taken", answer(TAKEN), ["Endpoint/made", "Endpoint/put"]),
]


@pytest.mark.parametrize(("name", "to_transaction", "deleted"), JUDGED, ids=[row[0] for row in JUDGED])
def test_a_store_that_is_well(name, to_transaction, deleted):
    """What a server writes against R4 is removed."""
    server = Server(WELL, to_transaction)
    FhirClient(FakeHttp(server)).probe()
    assert server.deleted == deleted


def test_a_transaction_that_was_refused_and_written_in_part():
    """It is found, and removed."""
    server = Server(WELL, REFUSED, left=["half"])
    FhirClient(FakeHttp(server)).probe()
    assert server.deleted == ["Endpoint/half"]


DOWN = [
    # name, the answers to the search and to the transaction, what is said
    ("500 to writes", WELL, answer(status=500), "refuses every transaction: status 500"),
    ("503 to writes", WELL, answer(status=503), "refuses every transaction: status 503"),
    ("404 of what stands before it", WELL, answer(b"<html>", status=404), "refuses every transaction: status 404"),
    ("200 that is none", WELL, answer(b"<html>"), "refuses every transaction: the answer"),
    ("500 to searches", answer(status=500), REFUSED, "status 500 to a search"),
    ("a search that is no FHIR", answer(b"[]"), REFUSED, "the answer to a search"),
    ("a search that is torn", TransientError("FHIR server: it broke"), REFUSED, "it broke"),
    ("a transaction that is torn", WELL, TransientError("FHIR server: it broke"), "it broke"),
]


@pytest.mark.parametrize(("name", "to_search", "to_transaction", "said"), DOWN, ids=[row[0] for row in DOWN])
def test_a_store_that_is_down(name, to_search, to_transaction, said):
    with pytest.raises(OutageError, match=said):
        FhirClient(FakeHttp(Server(to_search, to_transaction))).probe()
