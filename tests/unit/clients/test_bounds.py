"""Every wait has an end, and every answer a bound in size, whatever the server does with its sockets."""

import gzip
import threading
import time
import tracemalloc

import pytest

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth, Token, token_source
from shared.errors import FeedError, FhirRefusedError, OutageError, OutOfTimeError, OverlongAnswerError, TransientError
from shared.process.deadline import Deadline, ThreadDeadline
from shared.settings.authentication import Authentication, AuthenticationType
from tests.raw_server import HEAD, bomb, dripping, endless, raw_server, silent, whole

SOON, LONG = 0.4, 10.0
"""Seconds: what is allowed here, and what no test may take."""
GZIP = HEAD + b"Content-Encoding: gzip\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def service(server, **more):
    return HttpService("FHIR server", server.url, **{"timeouts": (SOON / 2, SOON / 2), **more})


def in_time(function, *arguments, **named):
    """Its error; fails where it takes too long."""
    began = time.monotonic()
    with pytest.raises(Exception) as caught:  # noqa: PT011 which one is the caller's to see
        function(*arguments, **named)
    assert time.monotonic() - began < LONG
    return caught.value


DRIPS = {
    "nothing": silent,
    "status line": dripping(b"HTTP/1.1 200"),
    "headers": dripping(HEAD + b"X-Long:"),
    "body": dripping(HEAD + b"Content-Length: 100000\r\n\r\n"),
    "body to its end": dripping(HEAD + b"Connection: close\r\n\r\n"),
    "chunk": dripping(CHUNKED + b"ffff\r\n"),
    "size of a chunk": dripping(CHUNKED + b"1;"),
    "trailer": dripping(CHUNKED + b"0\r\nX:"),
    "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "refusal": dripping(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 100000\r\n\r\n"),
    "redirect": dripping(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 100000\r\n\r\n"),
}


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS.keys())
def test_a_whole_answer_has_its_time(script):
    """However it is drawn out; each byte would begin a socket's own time-out anew."""
    with raw_server(script) as server:
        error = in_time(service(server).send, "GET", "/Patient?identifier=P-1")
    assert isinstance(error, TransientError)
    assert "no whole answer" in str(error) or "no answer" in str(error)
    assert "P-1" not in str(error)


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS.keys())
def test_a_stream_has_an_end(script):
    """Each of its pieces has the time of an answer."""
    with raw_server(script) as server:

        def read():
            with service(server).stream("/metadata") as stream:
                list(stream.pieces)

        assert isinstance(in_time(read), OutageError)


def test_a_stream_that_comes_on_is_read_for_longer():
    """Its time is that of each piece, not of all of them."""

    def slowly(connection):
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (8 * 2**17))
        for _ in range(8):
            time.sleep(SOON / 4)
            connection.sendall(b" " * 2**17)

    with raw_server(slowly) as server, service(server).stream("/metadata") as stream:
        assert sum(map(len, stream.pieces)) == 8 * 2**17


def test_what_is_sent_has_the_time_of_an_answer_not_of_connecting():
    """A transaction of some megabytes over a slow line; one that nobody reads has an end too."""
    with raw_server(lambda _: time.sleep(LONG)) as server:
        server._serve = lambda _: time.sleep(LONG)  # it reads nothing
        error = in_time(service(server).send, "POST", "/", body=b" " * 2**25)
    assert isinstance(error, TransientError)


OVERLONG = {
    "told": whole(b" " * 2**18),
    "to its end": endless(HEAD + b"Connection: close\r\n\r\n"),
    "chunks": endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "packed": whole(bomb(64), GZIP),
    "packed twice": whole(gzip.compress(bomb(64)), HEAD + b"Content-Encoding: gzip, gzip\r\n"),
    "refusal": endless(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n"),
    "redirect": whole(bomb(64), b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Encoding: gzip\r\n"),
}


@pytest.mark.parametrize("script", OVERLONG.values(), ids=OVERLONG.keys())
def test_an_answer_is_bounded(script):
    """As it comes and as it is unpacked; the error names the URL without its query, and the bound."""
    with raw_server(script) as server:
        tracemalloc.start()
        error = in_time(service(server, most_bytes=2**17, timeouts=(LONG, LONG)).send, "GET", "/Patient?a=P-1")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(error, OverlongAnswerError)
    assert isinstance(error, FeedError), "a page of the feed is halved, a study's account is its own fault"
    assert f"{server.url}/Patient is larger than 0.125 MiB" in str(error)
    assert most < 8 * 2**20


def test_to_fhir_an_overlong_answer_is_a_refusal():
    """Of what was asked for: the study gets a row, and others go on."""
    with raw_server(whole(b" " * 2**18)) as server:
        fhir = FhirClient(service(server, most_bytes=2**17, timeouts=(LONG, LONG)))
        assert isinstance(in_time(fhir.search, "Patient", "identifier=P-1"), FhirRefusedError)


def test_a_server_that_answers_nothing_is_down():
    """Study after study would wait for it: the third request in a row is an outage. An answer begins the count anew."""
    with raw_server(silent) as server:
        fhir = service(server)
        errors = [in_time(fhir.send, "GET", "/") for _ in range(5)]
        server.script = whole(b"{}")
        assert fhir.send("GET", "/").status_code == 200
        server.script = silent
        errors += [in_time(fhir.send, "GET", "/")]
    assert [type(one) for one in errors] == [TransientError] * 2 + [OutageError] * 3 + [TransientError]
    assert errors[2].args == errors[4].args, "one outage has one sentence, however often it is asked"


def test_nothing_is_waited_for_beyond_the_deadline():
    """That it is over is no fault of a server that has not been silent; of one that was it is an outage."""
    deadline = Deadline()
    with raw_server(silent) as server:
        fhir = service(server, deadline=deadline, timeouts=(LONG * 2, LONG * 2))
        with deadline.within(SOON):
            assert isinstance(in_time(fhir.send, "GET", "/"), OutOfTimeError)
            assert isinstance(in_time(fhir.fetch, "/"), OutOfTimeError)
            assert isinstance(in_time(fhir.stream("/").__enter__), OutOfTimeError)
            assert server.requests == 1
        server.script = whole(b"{}")
        assert fhir.send("GET", "/").status_code == 200
    with raw_server(silent) as server:
        fhir = service(server, deadline=deadline)
        in_time(fhir.send, "GET", "/")
        with deadline.within(SOON / 10):
            assert isinstance(in_time(fhir.send, "GET", "/"), OutageError)


def test_a_connection_that_was_cut_short_once_is_of_use_again():
    """What was left of one request's time is not the next one's."""
    deadline = Deadline()
    with raw_server(whole(b"{}")) as server:
        fhir = service(server, deadline=deadline, timeouts=(LONG, LONG))
        with deadline.within(SOON):
            fhir.send("GET", "/")
        time.sleep(SOON)
        server.script = lambda connection: (time.sleep(2 * SOON), whole(b"{}")(connection))
        assert fhir.send("POST", "/", body=b"{}").status_code == 200


def test_a_deadline_of_a_thread_is_its_own():
    """Questions of the status are asked at once, each with its own."""
    deadline = ThreadDeadline()
    seen = []
    with deadline.within(SOON):
        thread = threading.Thread(target=lambda: seen.append(deadline.left))
        thread.start()
        thread.join()
        assert deadline.left <= SOON
    assert seen == [float("inf")]
    assert deadline.left == float("inf")


def credential(server):
    return Authentication(AuthenticationType.CLIENT_CREDENTIAL, client_id="app", client_secret="the-secret", token_uri=f"{server.url}/token?key=a-key")  # fmt: skip


@pytest.mark.parametrize("script", [DRIPS["body"], DRIPS["headers"], silent], ids=["body", "headers", "silent"])
def test_a_token_is_not_waited_for_longer_than_for_the_answer(script):
    """It is asked for within a request, whose time it spends."""
    with raw_server(script) as tokens, raw_server(whole(b"{}")) as server:
        fhir = service(server, auth=BearerAuth(token_source("FHIR server", credential(tokens), "")))
        error = in_time(fhir.send, "GET", "/")
    assert isinstance(error, OutageError)
    assert "no token" in str(error)
    assert "a-key" not in str(error)
    assert server.requests == 0


@pytest.mark.parametrize(
    "script",
    [endless(HEAD + b"Connection: close\r\n\r\n"), whole(bomb(64), GZIP), whole(b"[" * 2**19), whole(bomb(64), b"HTTP/1.1 307 Moved\r\nLocation: /there\r\nContent-Encoding: gzip\r\n")],
    ids=["endless", "packed", "nested", "redirect"],
)  # fmt: skip
def test_a_token_endpoint_s_answer_is_bounded(script):
    """A token has a few kilobytes; a redirect is not followed with the secret."""
    with raw_server(script) as tokens:
        tracemalloc.start()
        error = in_time(token_source("FHIR server", credential(tokens), ""))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert tokens.requests == 1
    assert isinstance(error, OutageError)
    assert most < 16 * 2**20


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("own", [True, False], ids=["own origin", "another"])
def test_no_redirect_is_followed(status, own):
    """Neither the token nor the question goes where the server points to."""
    with raw_server(whole(b"{}")) as other, raw_server(whole(b"{}")) as server:
        target = (server if own else other).url.encode()
        server.script = whole(b"", b"HTTP/1.1 %d Moved\r\nLocation: %s/there\r\n" % (status, target))
        fhir = service(server, auth=BearerAuth(lambda: Token.living("secret", time.time(), time.time() + 3600)))
        assert isinstance(in_time(FhirClient(fhir).search, "Patient", "identifier=P-1"), TransientError)
        assert isinstance(in_time(fhir.fetch, "/v1/changefeed"), OutageError)
        assert (server.requests, other.requests) == (2, 0)
