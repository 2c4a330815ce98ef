"""HTTP to the DICOM service and the FHIR server: one session each, with faults as named errors."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urljoin

import requests

from shared.clients.bounds import Bounds, body_of, bounded, pieces_of
from shared.clients.header_times import retry_after_seconds
from shared.clients.http_answer import Answer, Stream
from shared.clients.http_faults import HttpFaults
from shared.clients.session import session_by
from shared.errors import OutageError, OutOfTimeError, TransientError
from shared.process.deadline import Deadline
from shared.process.telemetry import SILENT, Telemetry
from shared.settings.timeouts import TICK
from shared.settings.transport import DIRECT, Transport

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
MOST_STREAMED_BYTES = 2**31
"""The largest answer that is read in pieces: the metadata of about 400,000 instances."""

# At lower levels urllib3 logs whole URLs, and the URL of a FHIR search may hold a PatientID.
logging.getLogger("urllib3").setLevel(logging.ERROR)


Params = Mapping[str, str | Sequence[str]]
"""The parameters of a query. One with several values is repeated in it."""


class HttpService:
    """One outside system. `name`: what error messages call it. `url`: its base URL.

    `remedy`: what to do if it refuses the app (401, 403). `timeouts`: to connect, and to wait for the next bytes, in
    seconds; their sum is the time for a whole answer. No request goes on beyond the `deadline`. `most_bytes`: the
    largest body, unpacked.
    """

    def __init__(
        self,
        name: str,
        url: str,
        auth: requests.auth.AuthBase | None = None,
        remedy: str = "it wants authentication, and the app has none",
        timeouts: tuple[float, float] = TICK.http,
        telemetry: Telemetry = SILENT,
        transport: Transport = DIRECT,
        deadline: Deadline | None = None,
        most_bytes: int = TICK.most_bytes_of_fhir,
    ) -> None:
        self.name = name
        self._telemetry = telemetry
        self._timeouts = timeouts
        self.url = url.rstrip("/")
        self._origin = urljoin(self.url, "/")
        self.calls = 0
        self.quickest = 0.0
        self._deadline = deadline or Deadline()
        self._most_bytes = most_bytes
        self._faults = HttpFaults(name, self.url, remedy, timeouts, transport, self._deadline)
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
        """The answer, whatever its status, except for 401, 403 and redirects.

        `path` may be a whole URL on the service's own origin. Raises OutageError if the service cannot be reached or
        refuses the app, TransientError if the answer is cut off or late, OverlongAnswerError.
        """
        url = path if path.startswith(self._origin) else f"{self.url}{path}"
        call = self._telemetry.call(self.name, self.url, method, url.removeprefix(self.url))
        with self._bounded(path) as bounds, call as report_status:
            began = time.monotonic()
            with self._response(method, url, params, body, headers) as response:
                content = body_of(response, bounds)
            took = time.monotonic() - began
            self.quickest = min(took, self.quickest or took)
            report_status(response.status_code)
        self._faults.answered()
        return self._answer(response, content)

    @contextlib.contextmanager
    def stream(
        self, path: str, *, params: Params | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[Stream]:
        """As `fetch`, but the caller reads the body of a 200 itself, within the block.

        Raises OutageError, also while the body is read, if it is cut off or a piece is late. Telemetry measures the
        time until the body begins, as the rest depends on the caller.
        """
        call = self._telemetry.call(self.name, self.url, "GET", path)
        with _as_outage(self.name), self._bounded(path, MOST_STREAMED_BYTES) as bounds, call as report_status:
            response = self._response("GET", f"{self.url}{path}", params, None, headers)
            report_status(response.status_code)
        with response:
            pieces = self._pieces(response, bounds, path)
            content = b"" if response.status_code == requests.codes.ok else b"".join(pieces)
            with _as_outage(self.name):
                answer = self._answer(response, content)
            self._no_outage(answer, path)
            yield Stream(response.status_code, response.headers, pieces)

    def _pieces(self, response: requests.Response, bounds: Bounds, path: str) -> Iterator[bytes]:
        """The pieces of the body. Each has the time of a whole answer, and all together end with the deadline."""
        pieces = pieces_of(response, bounds)
        while True:
            bounds.renew(sum(self._timeouts))
            try:
                piece = next(pieces, None)
            except OSError as error:
                with _as_outage(self.name):
                    raise self._faults.of(error, bounds, _without_query(path)) from error
            if piece is None:
                self._faults.answered()
                return
            yield piece

    @contextlib.contextmanager
    def _bounded(self, path: str, most_bytes: float | None = None) -> Iterator[Bounds]:
        """Sets the bounds for one request, and raises its faults as named errors."""
        self.calls += 1
        left = self._deadline.left
        if left <= 0:
            raise self._faults.out_of_time()
        with bounded(sum(self._timeouts), most_bytes or self._most_bytes, left) as bounds:
            try:
                yield bounds
            except OSError as error:  # includes all errors of `requests`, and a certificate file that is missing
                raise self._faults.of(error, bounds, _without_query(path)) from error

    def _response(
        self,
        method: str,
        url: str,
        params: Params | None,
        body: bytes | None,
        headers: dict[str, str] | None,
    ) -> requests.Response:
        """The response, with its body still to be read."""
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
        if error := self._faults.of_response(response, content):
            raise error
        return Answer(response.status_code, response.headers, content)

    def fetch(self, path: str, *, params: Params | None = None, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a GET without which no work can go on, so that a transient fault is an OutageError too."""
        with _as_outage(self.name):
            answer = self.send("GET", path, params=params, headers=headers)
        return self._no_outage(answer, path)

    def _no_outage(self, answer: Answer, path: str) -> Answer:
        """The answer. Raises OutageError if its status says that the service is not available now."""
        if answer.status_code in TRANSIENT_STATUSES:
            wait = retry_after_seconds(answer.headers)
            asked = f", asks to wait {wait:.0f} s" if wait else ""
            message = f"{answer.status_code} from {self.url}{path}{asked}"
            raise OutageError(self.name, message, status=answer.status_code)
        return answer


@contextlib.contextmanager
def _as_outage(name: str) -> Iterator[None]:
    """Raises OutageError for TransientError, except for OutOfTimeError, for which the service is not to blame."""
    try:
        yield
    except OutOfTimeError:
        raise
    except TransientError as error:
        raise OutageError(name, str(error)) from error


def _without_query(path: str) -> str:
    """The path for messages: a query may hold a PatientID."""
    return path.partition("?")[0]
