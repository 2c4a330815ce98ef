"""The errors of requests that got no whole answer, or one that refuses the app. Each says what is to be done."""

import requests
from urllib3.exceptions import ReadTimeoutError

from shared.clients.bounds import Bounds, OverlongError
from shared.clients.session import causes_of, cut_off, refusal_on_the_way, transport_fault
from shared.errors import ForbiddenError, OutageError, OutOfTimeError, OverlongAnswerError, TransientError
from shared.process.deadline import Deadline
from shared.settings.transport import Transport

SILENT_REQUESTS = 3
"""After so many requests in a row without a whole answer, a service counts as down."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpFaults:
    """The errors of one service. `remedy`: what to do if it refuses the app. Threads may share it."""

    def __init__(
        self, name: str, url: str, remedy: str, timeouts: tuple[float, float], transport: Transport, deadline: Deadline
    ) -> None:
        self._name = name
        self._url = url
        self._remedy = remedy
        self._timeouts = timeouts
        self._transport = transport
        self._deadline = deadline
        self._silent = 0

    def answered(self) -> None:
        """To be called after each whole answer, whatever its status."""
        self._silent = 0

    def out_of_time(self) -> OutageError | OutOfTimeError:
        """The error if the deadline has passed: an outage if the service has not answered the last request either."""
        message = f"the time was over before an answer came from {self._url}"
        if self._silent:
            return OutageError(self._name, message)
        return OutOfTimeError(f"{self._name}: {message}")

    def of_response(self, response: requests.Response, content: bytes) -> OutageError | TransientError | None:
        """The error if the response comes from a proxy, refuses the app, or is a redirect; else None."""
        if refusal := refusal_on_the_way(response, content, self._transport):
            return OutageError(self._name, f"{self._url}: {refusal}")
        if response.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            kind = ForbiddenError if response.status_code == requests.codes.forbidden else OutageError
            return kind(self._name, f"{response.status_code} from {self._url}: {self._remedy}")
        if response.status_code in _REDIRECTS:
            return TransientError(
                f"{self._name}: {response.status_code} from {self._url}, a redirect, which is not followed:"
                " the settings must name the URL where the service itself answers"
            )
        return None

    def of(self, error: OSError, bounds: Bounds, path: str) -> OutageError | TransientError | OverlongAnswerError:
        """The error for one of `requests`, or for a certificate file that is missing. `path` has no query."""
        if overlong := next((one for one in (error, *causes_of(error)) if isinstance(one, OverlongError)), None):
            return self._overlong(overlong, path)
        if fault := transport_fault(error, self._transport):
            return OutageError(self._name, f"{self._url}: {fault}")
        if bounds.is_over:
            is_last = self._deadline.left <= bounds.left
            message = f"no whole answer from {self._url} in {sum(self._timeouts):g} s"
            return self.out_of_time() if is_last else self._silence(message)
        return self._of_connection(error)

    def _of_connection(self, error: OSError) -> OutageError | TransientError:
        cause = error.args[0] if error.args else None
        if isinstance(error, requests.ConnectTimeout):
            return OutageError(self._name, f"no connection to {self._url} within {self._timeouts[0]} s")
        if isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError):
            return self._silence(f"no answer from {self._url} in {self._timeouts[1]} s")
        if type(cause).__name__ == "ProtocolError":  # the connection broke before the whole answer was there
            return TransientError(f"{self._name}: the connection to {self._url} broke{cut_off(error, self._transport)}")
        if isinstance(error, requests.ConnectionError):
            return OutageError(self._name, f"{self._url} is not reachable")
        return TransientError(f"{self._name}: {type(error).__name__} at {self._url}")

    def _silence(self, message: str) -> OutageError | TransientError:
        self._silent += 1  # not locked: if two threads count as one, the next request makes up for it
        if self._silent >= SILENT_REQUESTS:
            return OutageError(self._name, f"{message}, to {SILENT_REQUESTS} requests in a row")
        return TransientError(f"{self._name}: {message}")

    def _overlong(self, error: OverlongError, path: str) -> OverlongAnswerError:
        url = path if path.startswith(self._url) else f"{self._url}{path}"
        return OverlongAnswerError(
            f"{self._name}: the answer from {url} is larger than {error.most / 2**20:g} MiB, the most that is read:"
            " see whether the settings name the right service, and what it answers there"
        )
