"""HTTP to the DICOM service and the FHIR server: one session each, and faults told apart by what they mean."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

import requests

from shared.clients.bounds import Bounds, body_of, bounded, pieces_of
from shared.clients.header_times import retry_after_seconds
from shared.clients.http_faults import HttpFaults
from shared.clients.session import refusal_on_the_way, session_by
from shared.errors import ForbiddenError, OutageError, OutOfTimeError, TransientError
from shared.process.deadline import Deadline
from shared.process.telemetry import SILENT, Telemetry
from shared.settings.timeouts import TICK
from shared.settings.transport import DIRECT, Transport

TIMEOUTS_SECONDS = TICK.http
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_BYTES = TICK.most_bytes_of_fhir
"""Of an answer that is held as a whole; a study of 40,000 instances is an ImagingStudy of 10 MB."""
MOST_STREAMED_BYTES = 2**31
"""Of one that is read in pieces: the metadata of some 400,000 instances."""

# Below an error urllib3 logs whole URLs, and the URL of a FHIR search holds a PatientID.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, read to its end."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """An HTTP response whose body is still to be read, in `pieces` of 128 KiB at most."""

    status_code: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


Params = Mapping[str, str | Sequence[str]]
"""Of a query; a parameter of several values stands in it several times."""


class HttpService:
    """One outside system. `name` is what errors call it, `url` has no slash at its end.

    `remedy` is what to do where it refuses us (401, 403). `timeouts` to connect and between bytes, in seconds; both
    together are the time for a whole answer, which no byte prolongs, and nothing is waited for beyond the `deadline`.
    `most_bytes` of an answer, unpacked.
    """

    def __init__(
        self,
        name: str,
        url: str,
        auth: requests.auth.AuthBase | None = None,
        remedy: str = "it wants authentication, and the app has none",
        timeouts: tuple[float, float] = TIMEOUTS_SECONDS,
        telemetry: Telemetry = SILENT,
        transport: Transport = DIRECT,
        deadline: Deadline | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.name = name
        self._telemetry = telemetry
        self._timeouts = timeouts
        self.remedy = remedy
        self.url = url.rstrip("/")
        self._origin = urljoin(self.url, "/")
        self.calls = 0
        self.quickest = 0.0
        self._transport = transport
        self._deadline = deadline or Deadline()
        self._most_bytes = most_bytes
        self._faults = HttpFaults(name, self.url, timeouts, transport, self._deadline)
        self._session = session_by(transport)
        self.auth = self._session.auth = auth

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status but 401, 403 and redirects.

        `path` may be a whole URL on the service's own origin.
        Raises OutageError where the service is not reached or refuses us, TransientError where an answer was torn, or
        did not come in time, OverlongAnswerError.
        """
        url = path if path.startswith(self._origin) else f"{self.url}{path}"
        called = self._telemetry.call(self.name, self.url, method, url.removeprefix(self.url))
        with self._bounded(path) as bounds, called as tell:
            began = time.monotonic()
            with self._response(method, url, params, body, headers) as response:
                content = body_of(response, bounds)
            took = time.monotonic() - began
            self.quickest = min(took, self.quickest or took)
            tell(response.status_code)
        self._faults.answered()
        return self._answer(response, content)

    @contextlib.contextmanager
    def stream(
        self, path: str, *, params: Params | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[Stream]:
        """As `fetch`, but who asks reads the body of a 200, and what is not read when the block is left stays unread.

        Raises OutageError, also where a piece is asked for and the answer is torn, or does not come within the time of
        an answer. To telemetry the call ends where the body begins, for how long that takes is up to its reader.
        """
        called = self._telemetry.call(self.name, self.url, "GET", path)
        with _as_outage(self.name), self._bounded(path, MOST_STREAMED_BYTES) as bounds, called as tell:
            response = self._response("GET", f"{self.url}{path}", params, None, headers)
            tell(response.status_code)
        with response:
            pieces = self._pieces(response, bounds, path)
            content = b"" if response.status_code == requests.codes.ok else b"".join(pieces)
            with _as_outage(self.name):
                answer = self._answer(response, content)
            self._no_outage(answer, path)
            yield Stream(response.status_code, response.headers, pieces)

    def _pieces(self, response: requests.Response, bounds: Bounds, path: str) -> Iterator[bytes]:
        """Each has the time of a whole answer anew: how long all of them take is bounded by the deadline alone."""
        pieces = pieces_of(response, bounds)
        while True:
            bounds.renew(sum(self._timeouts))
            try:
                piece = next(pieces, None)
            except OSError as error:
                with _as_outage(self.name):
                    raise self._faults.of(error, bounds, _told(path)) from error
            if piece is None:
                self._faults.answered()
                return
            yield piece

    @contextlib.contextmanager
    def _bounded(self, path: str, most_bytes: float | None = None) -> Iterator[Bounds]:
        """One request's bounds; its faults are told."""
        self.calls += 1
        left = self._deadline.left
        if left <= 0:
            raise self._faults.out_of_time()
        with bounded(sum(self._timeouts), most_bytes or self._most_bytes, left) as bounds:
            try:
                yield bounds
            except OSError as error:  # each of `requests` is one, and so is a file of the settings that is gone
                raise self._faults.of(error, bounds, _told(path)) from error

    def _response(
        self,
        method: str,
        url: str,
        params: Params | None,
        body: bytes | None,
        headers: dict[str, str] | None,
    ) -> requests.Response:
        """The response, its body unread."""
        connect, read = self._timeouts
        return self._session.request(
            method,
            url,
            params=params,
            data=body,
            headers=headers,
            timeout=(min(connect, max(self._deadline.left, 0.001)), read),
            allow_redirects=False,
            stream=True,
        )

    def _answer(self, response: requests.Response, content: bytes) -> Answer:
        if said := refusal_on_the_way(response, content, self._transport):
            raise OutageError(self.name, f"{self.url}: {said}")
        if response.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            kind = ForbiddenError if response.status_code == requests.codes.forbidden else OutageError
            raise kind(self.name, f"{response.status_code} from {self.url}: {self.remedy}")
        if response.status_code in _REDIRECTS:
            raise TransientError(
                f"{self.name}: {response.status_code} from {self.url}, a redirect, which is not followed: the settings"
                " must name the URL where the service itself answers"
            )
        return Answer(response.status_code, response.headers, content)

    def fetch(self, path: str, *, params: Params | None = None, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a GET without which nothing can go on: a passing fault is an OutageError too."""
        with _as_outage(self.name):
            answer = self.send("GET", path, params=params, headers=headers)
        return self._no_outage(answer, path)

    def _no_outage(self, answer: Answer, path: str) -> Answer:
        """The answer; raises OutageError where the service says that it cannot answer now."""
        if answer.status_code in TRANSIENT_STATUSES:
            wait = retry_after_seconds(answer.headers)
            asked = f", asks to wait {wait:.0f} s" if wait else ""
            said = f"{answer.status_code} from {self.url}{path}{asked}"
            raise OutageError(self.name, said, status=answer.status_code)
        return answer


@contextlib.contextmanager
def _as_outage(name: str) -> Iterator[None]:
    """Of what nothing can go on without. That the time is over is no fault of the service."""
    try:
        yield
    except OutOfTimeError:
        raise
    except TransientError as error:
        raise OutageError(name, str(error)) from error


def _told(path: str) -> str:
    """Without the query, which may hold a PatientID."""
    return path.partition("?")[0]
