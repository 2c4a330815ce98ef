"""What a person looks for is in no URL where the server takes a form, and is found all the same where it does not."""

from urllib.parse import parse_qs, urlsplit

import pytest

from shared.clients.fhir.client import FhirClient
from shared.errors import FhirRefusedError, OutageError, ThrottledError, TransientError
from tests.unit.clients.fhir.http_fake import FakeHttp, answer

WANTED = {"resourceType": "Patient", "id": "9", "identifier": [{"value": "P-9"}]}
OTHERS = [{"resourceType": "Patient", "id": str(number)} for number in range(8)]
QUERY = "identifier=P-9"


def bundle(found):
    return answer({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]})


def heeded(query, held):
    asked = parse_qs(query)
    found = [one for one in held if asked.get("_id", [one["id"]]) == [one["id"]]]
    found = [one for one in found if "identifier" not in asked or one is WANTED]
    return bundle(found[: int(asked["_count"][0])])


class Server:
    """Patients. `of_form` answers a POST, by its query and what is held."""

    def __init__(self, held, of_form=heeded):
        self.held, self.of_form = held, of_form
        self.http = FakeHttp(self._answer)
        self.client = FhirClient(self.http)

    def _answer(self, request):
        if request.method == "POST":
            return self.of_form(request.text, self.held)
        return heeded(urlsplit(request.path).query, self.held)

    def found(self):
        return [one["id"] for one in self.client.first("Patient", QUERY)]

    @property
    def in_urls(self):
        return [request for request in self.http.asked if "P-9" in request.path]


def refused(status):
    return lambda query, held: answer(status=status)


def of_the_search_alone(status):
    """A form is taken, but not this one."""
    return lambda query, held: answer(status=status) if "identifier" in query else heeded(query, held)


FORMS = [
    # what the server makes of a form, Patients held, learned, whether GET is used, requests of two searches
    ("heeded", heeded, [*OTHERS, WANTED], True, False, 4),
    ("heeded, one Patient", heeded, [WANTED], None, False, 6),
    ("ignored: everything is found", lambda query, held: bundle(held), [*OTHERS, WANTED], False, True, 4),
    ("ignored: a page of others is found", lambda query, held: bundle(held[:2]), [*OTHERS, WANTED], False, True, 4),
    ("ignored: nothing is found", lambda query, held: bundle([]), [WANTED], False, True, 4),
    ("refused by 404", refused(404), [*OTHERS, WANTED], False, True, 4),
    ("refused by 405", refused(405), [*OTHERS, WANTED], False, True, 4),
    ("refused by 501", refused(501), [WANTED], False, True, 4),
    ("refused by 400", refused(400), [WANTED], False, True, 4),
    ("this type's by 405", of_the_search_alone(405), [*OTHERS, WANTED], False, True, 5),
]


@pytest.mark.parametrize(
    ("of_form", "held", "learned", "by_get", "requests"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS]
)
def test_forms(of_form, held, learned, by_get, requests):
    """Nothing is missed, and what was seen of the server is not tried twice."""
    server = Server(held, of_form)
    assert [server.found(), server.found()] == [["9"], ["9"]]
    assert server.client.capabilities.post_searches is learned
    assert bool(server.in_urls) is by_get
    assert server.http.calls == requests


def test_nobody_is_there():
    """Then nothing can be missed; a form is used, and tried again once somebody is."""
    server = Server([])
    assert server.found() == []
    assert server.client.capabilities.post_searches is None
    server.held += [*OTHERS, WANTED]
    assert server.found() == ["9"]
    assert server.in_urls == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(503, TransientError), (429, ThrottledError), (400, FhirRefusedError), (422, FhirRefusedError)],
)
def test_a_form_that_fails_where_forms_are_taken(status, error):
    """Is not asked by a URL: it says nothing of what the server takes."""
    server = Server([*OTHERS, WANTED], of_the_search_alone(status))
    with pytest.raises(error):
        server.found()
    assert (server.client.capabilities.post_searches, server.in_urls) == (True, [])


def test_an_answer_that_is_no_bundle():
    """To the trial: it is the server's fault, and nothing is learned."""
    server = Server([*OTHERS, WANTED], lambda query, held: answer({"resourceType": "Patient"}))
    with pytest.raises(TransientError, match="no Bundle"):
        server.found()
    assert server.client.capabilities.post_searches is None


def test_a_server_that_is_down():
    """As by a URL."""

    def down(query, held):
        raise OutageError("FHIR server", "refused")

    with pytest.raises(OutageError):
        Server([WANTED], down).found()
