"""HTTP to the DICOM service and the FHIR server: one session each, and faults told apart by what they mean."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

import requests

from shared.clients.said_times import retry_after_seconds
from shared.clients.session import cut_off, refusal_on_the_way, session_by, transport_fault
from shared.clients.telemetry import SILENT, Telemetry
from shared.errors import OutageError, TransientError
from shared.transport import DIRECT, Transport

TIMEOUTS_SECONDS = (5, 100)
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
PIECE_BYTES = 2**17

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


class HttpService:
    """One outside system. `name` is what errors call it, `url` has no slash at its end.

    `remedy` is what to do where it refuses us (401, 403). `timeouts` to connect and between bytes, in seconds.
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
    ) -> None:
        self.name = name
        self._telemetry = telemetry
        self._timeouts = timeouts
        self.remedy = remedy
        self.url = url.rstrip("/")
        self._origin = urljoin(self.url, "/")
        self.calls = 0
        self._transport = transport
        self._session = session_by(transport)
        self.auth = self._session.auth = auth

    def send(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status but 401 and 403. `path` may be a whole URL on the service's own origin.

        Raises OutageError where the service is not reached or refuses us, TransientError where an answer was torn.
        """
        url = path if path.startswith(self._origin) else f"{self.url}{path}"
        self.calls += 1
        try:
            with self._telemetry.call(self.name, self.url, method, url.removeprefix(self.url)) as tell:
                with self._response(method, url, params, body, headers) as response:
                    # In one piece: `requests` would read 10 KB at a time, of a page that has a megabyte.
                    content = b"".join(response.iter_content(None))
                tell(response.status_code)
        except OSError as error:  # each of `requests` is one, and so is a file of the settings that is gone
            raise self._fault(error) from error
        return self._answer(response, content)

    @contextlib.contextmanager
    def stream(
        self, path: str, *, params: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[Stream]:
        """As `fetch`, but who asks reads the body of a 200, and what is not read when the block is left stays unread.

        Raises OutageError, also where a piece is asked for and the answer is torn. To telemetry the call ends where the
        body begins, for how long that takes is up to its reader.
        """
        self.calls += 1
        try:
            with self._telemetry.call(self.name, self.url, "GET", path) as tell:
                response = self._response("GET", f"{self.url}{path}", params, None, headers)
                tell(response.status_code)
        except OSError as error:
            raise self._outage(error) from error
        with response:
            pieces = self._pieces(response)
            content = b"" if response.status_code == requests.codes.ok else b"".join(pieces)
            self._no_outage(self._answer(response, content), path)
            yield Stream(response.status_code, response.headers, pieces)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(PIECE_BYTES)
        except OSError as error:
            raise self._outage(error) from error

    def _response(
        self,
        method: str,
        url: str,
        params: dict[str, str] | None,
        body: bytes | None,
        headers: dict[str, str] | None,
    ) -> requests.Response:
        """The response, its body unread."""
        return self._session.request(
            method,
            url,
            params=params,
            data=body,
            headers=headers,
            timeout=self._timeouts,
            allow_redirects=False,
            stream=True,
        )

    def _answer(self, response: requests.Response, content: bytes) -> Answer:
        if said := refusal_on_the_way(response, content, self._transport):
            raise OutageError(self.name, f"{self.url}: {said}")
        if response.status_code in (401, 403):
            raise OutageError(self.name, f"{response.status_code} from {self.url}: {self.remedy}")
        return Answer(response.status_code, response.headers, content)

    def fetch(
        self, path: str, *, params: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """The answer to a GET without which nothing can go on: a passing fault is an OutageError too."""
        try:
            answer = self.send("GET", path, params=params, headers=headers)
        except TransientError as error:
            raise OutageError(self.name, str(error)) from error
        return self._no_outage(answer, path)

    def _no_outage(self, answer: Answer, path: str) -> Answer:
        """The answer; raises OutageError where the service says that it cannot answer now."""
        if answer.status_code in TRANSIENT_STATUSES:
            wait = retry_after_seconds(answer.headers)
            asked = f", asks to wait {wait:.0f} s" if wait else ""
            raise OutageError(self.name, f"{answer.status_code} from {self.url}{path}{asked}")
        return answer

    def _outage(self, error: OSError) -> OutageError:
        """Of a GET without which nothing can go on."""
        fault = self._fault(error)
        return fault if isinstance(fault, OutageError) else OutageError(self.name, str(fault))

    def _fault(self, error: OSError) -> OutageError | TransientError:
        if said := transport_fault(error, self._transport):
            return OutageError(self.name, f"{self.url}: {said}")
        if isinstance(error, requests.ConnectTimeout):
            return OutageError(self.name, f"no connection to {self.url} within {self._timeouts[0]} s")
        if isinstance(error, requests.ReadTimeout):
            return TransientError(f"{self.name}: no answer from {self.url} in {self._timeouts[1]} s")
        cause = error.args[0] if error.args else None
        if type(cause).__name__ == "ProtocolError":  # the connection stood, and broke before the whole answer was there
            return TransientError(f"{self.name}: the connection to {self.url} broke{cut_off(error, self._transport)}")
        if isinstance(error, requests.ConnectionError):
            return OutageError(self.name, f"{self.url} is not reachable")
        return TransientError(f"{self.name}: {type(error).__name__} at {self.url}")
