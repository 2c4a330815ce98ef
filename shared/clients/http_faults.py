"""What it means that a request brought no answer: told apart by what a person has to do, or the sync."""

import requests
from urllib3.exceptions import ReadTimeoutError

from shared.clients.bounds import Bounds, OverlongError
from shared.clients.session import causes_of, cut_off, transport_fault
from shared.errors import OutageError, OutOfTimeError, OverlongAnswerError, TransientError
from shared.process.deadline import Deadline
from shared.settings.transport import Transport

SILENT_REQUESTS = 3
"""So many in a row without a whole answer, of all that are sent to a service: it is down."""


class HttpFaults:
    """Of one service. Threads may share it."""

    def __init__(
        self, name: str, url: str, timeouts: tuple[float, float], transport: Transport, deadline: Deadline
    ) -> None:
        self._name = name
        self._url = url
        self._timeouts = timeouts
        self._transport = transport
        self._deadline = deadline
        self._silent = 0

    def answered(self) -> None:
        """There was a whole answer, whatever it said."""
        self._silent = 0

    def out_of_time(self) -> OutageError | OutOfTimeError:
        """The time for all that is under way is over. Where the service was silent up to now, it is down."""
        said = f"the time was over before an answer came from {self._url}"
        if self._silent:
            return OutageError(self._name, said)
        return OutOfTimeError(f"{self._name}: {said}")

    def of(self, error: OSError, bounds: Bounds, path: str) -> OutageError | TransientError | OverlongAnswerError:
        """What an error of `requests`, or a file of the settings that is gone, means. `path` has no query."""
        if overlong := next((one for one in (error, *causes_of(error)) if isinstance(one, OverlongError)), None):
            return self._overlong(overlong, path)
        if said := transport_fault(error, self._transport):
            return OutageError(self._name, f"{self._url}: {said}")
        if bounds.is_over:
            is_last = self._deadline.left <= bounds.left
            said = f"no whole answer from {self._url} in {sum(self._timeouts):g} s"
            return self.out_of_time() if is_last else self._silence(said)
        return self._of_connection(error)

    def _of_connection(self, error: OSError) -> OutageError | TransientError:
        cause = error.args[0] if error.args else None
        if isinstance(error, requests.ConnectTimeout):
            return OutageError(self._name, f"no connection to {self._url} within {self._timeouts[0]} s")
        if isinstance(error, requests.ReadTimeout) or isinstance(cause, ReadTimeoutError):
            return self._silence(f"no answer from {self._url} in {self._timeouts[1]} s")
        if type(cause).__name__ == "ProtocolError":  # the connection stood, and broke before the whole answer was there
            return TransientError(f"{self._name}: the connection to {self._url} broke{cut_off(error, self._transport)}")
        if isinstance(error, requests.ConnectionError):
            return OutageError(self._name, f"{self._url} is not reachable")
        return TransientError(f"{self._name}: {type(error).__name__} at {self._url}")

    def _silence(self, said: str) -> OutageError | TransientError:
        self._silent += 1  # of two threads at once one may be lost: then it is the next
        if self._silent >= SILENT_REQUESTS:
            return OutageError(self._name, f"{said}, to {SILENT_REQUESTS} requests in a row")
        return TransientError(f"{self._name}: {said}")

    def _overlong(self, error: OverlongError, path: str) -> OverlongAnswerError:
        url = path if path.startswith(self._url) else f"{self._url}{path}"
        return OverlongAnswerError(
            f"{self._name}: the answer from {url} is larger than {error.most / 2**20:g} MiB, the most that is read:"
            " see whether the settings name the right service, and what it answers there"
        )
