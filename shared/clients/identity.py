"""Tokens for a service, from the platform's identity or an OAuth2 endpoint: cached, and renewed before they expire."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from azure.core.exceptions import AzureError

from shared.clients.bounds import Bounds, OverlongError, body_of, bounded
from shared.clients.session import causes_of, cut_off, refusal_on_the_way, session_by, transport_fault
from shared.errors import OutageError
from shared.settings.authentication import Authentication, AuthenticationType
from shared.settings.readers import without_query
from shared.settings.transport import DIRECT, Transport

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential

RENEWED_BEFORE_SECONDS = 300
"""A token is renewed this long before it expires, or a quarter of its lifetime before, if that is less."""
ASSUMED_LIFE_SECONDS = 300
"""The lifetime if the endpoint gives none: `expires_in` is only recommended (RFC 6749, 5.1)."""
RETRY_SECONDS = 30
"""The time between a failed renewal and the next one, if the token is still valid."""
_TIMEOUT_SECONDS = (5, 20)
_MOST_BYTES = 2**20
_GRANTS = {
    AuthenticationType.CLIENT_CREDENTIAL: "client_credentials",
    AuthenticationType.USER_PASSWORD_CREDENTIAL: "password",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; `ends` (when it expires) and `renew_at` are in seconds since the epoch."""

    value: str = field(repr=False)
    renew_at: float
    ends: float

    @classmethod
    def living(cls, value: str, now: float, ends: float) -> "Token":
        """A token that is valid from now to `ends`."""
        return cls(value, ends - min(RENEWED_BEFORE_SECONDS, (ends - now) / 4), ends)


class BearerAuth(requests.auth.AuthBase):
    """Puts a token on every request of a session. A 401 renews it and sends the request again, once.

    `source` requests a new token and raises OutageError. Threads may share it: one renews while the others wait.
    """

    def __init__(self, source: Callable[[], Token], clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with its token. Raises OutageError if there is none."""
        request.headers["Authorization"] = f"Bearer {self.token().value}"
        request.register_hook("response", self._once_more)  # type: ignore[no-untyped-call]
        return request

    def token(self, refused: str | None = None) -> Token:
        """The token; a new one if it is about to expire, or if it is the `refused` one. Raises OutageError."""
        with self._lock:
            token = self._token
            if token is None or token.value == refused:
                self._token = self._source()
            elif self._clock() >= token.renew_at:
                self._token = self._renewed(token)
            assert self._token is not None
            return self._token

    def _renewed(self, token: Token) -> Token:
        try:
            return self._source()
        except OutageError:
            if self._clock() >= token.ends - RETRY_SECONDS:
                raise
            return Token(token.value, self._clock() + RETRY_SECONDS, token.ends)

    def _once_more(self, response: requests.Response, **arguments: Any) -> requests.Response:
        if response.status_code != requests.codes.unauthorized:
            return response
        response.close()  # its body may be of any length, and is not read
        again = response.request.copy()
        token = self.token(refused=response.request.headers["Authorization"].removeprefix("Bearer "))
        again.headers["Authorization"] = f"Bearer {token.value}"
        answer: requests.Response = response.connection.send(again, **arguments)
        answer.request = again
        return answer


def token_source(
    service: str, authentication: Authentication, audience: str, transport: Transport = DIRECT
) -> Callable[[], Token]:
    """The function that requests a new token. `service`: what error messages call the service.

    `audience`: used by the platform's identity. `transport`: used for an OAuth2 endpoint, not for the platform's
    identity, whose endpoint is on the host itself.
    """
    if authentication.kind is AuthenticationType.MANAGED_IDENTITY:
        return lambda: _platform_token(service, authentication.client_id, audience)
    return lambda: _endpoint_token(service, authentication, transport)


def platform_credential(client_id: str | None, **options: Any) -> "DefaultAzureCredential":
    """The app's own identity: the user-assigned one of this client id, or the system-assigned one if it is None."""
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 slow, and not needed by all deployments

    chosen = {"managed_identity_client_id": client_id} if client_id else {}
    return DefaultAzureCredential(**chosen, **options)


def _platform_token(service: str, client_id: str | None, audience: str) -> Token:
    # A new credential each time, as one that is kept would return the refused token out of its cache.
    now = time.time()
    try:
        with platform_credential(client_id, retry_total=2) as credential:
            token = credential.get_token(f"{audience}/.default")
    except AzureError as error:
        who = f"the identity {client_id}" if client_id else "the system-assigned identity"
        name = type(error).__name__
        fault = f"{name}: no token for {audience}; is {who} assigned to the app, and the audience right?"
        raise OutageError(f"identity for the {service}", fault) from None
    return Token.living(token.token, now, token.expires_on)


def _endpoint_token(service: str, authentication: Authentication, transport: Transport) -> Token:
    """Requests a token by RFC 6749, 4.3 or 4.4, with the client's secret in the body (2.3.1).

    `resource` is a parameter of Entra ID's v1 endpoint.
    """
    parameters = {
        "grant_type": _GRANTS[authentication.kind],
        "client_id": authentication.client_id,
        "client_secret": authentication.client_secret,
        "username": authentication.username,
        "password": authentication.password,
        "resource": authentication.resource,
        "scope": authentication.scope,
    }
    form = {name: value for name, value in parameters.items() if value}
    now = time.time()
    try:
        with bounded(sum(_TIMEOUT_SECONDS), _MOST_BYTES) as bounds, session_by(transport) as session:
            try:
                answer = session.post(
                    authentication.token_uri or "",
                    data=form,
                    timeout=_TIMEOUT_SECONDS,
                    allow_redirects=False,
                    stream=True,
                )
                content = body_of(answer, bounds)
            except OSError as error:  # turned into text here, as the error's request holds the form with its secrets
                raise ValueError(_fault(error, bounds, transport)) from None
        return _token_of(answer, content, now, transport)
    except ValueError as error:
        fault = str(error)
    where = without_query(authentication.token_uri or "")
    raise OutageError(f"identity for the {service}", f"no token from {where}: {fault}") from None


def _fault(error: OSError, bounds: Bounds, transport: Transport) -> str:
    if any(isinstance(one, OverlongError) for one in (error, *causes_of(error))):
        return f"the answer is larger than {_MOST_BYTES} bytes: is this a token endpoint?"
    if fault := transport_fault(error, transport):
        return fault
    if bounds.is_over:
        return f"no whole answer in {sum(_TIMEOUT_SECONDS)} s, or in what was left of the time"
    return f"{type(error).__name__}{cut_off(error, transport)}"


def _token_of(answer: requests.Response, content: bytes, now: float, transport: Transport) -> Token:
    """The token out of an answer. Raises ValueError, whose message has at most an error code (RFC 6749, 5.2) of it."""
    if refusal := refusal_on_the_way(answer, content, transport):
        raise ValueError(refusal)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError(f"status {answer.status_code}, no JSON") from None
    body = body if isinstance(body, dict) else {}
    if answer.status_code != requests.codes.ok:
        code = body.get("error")
        known = code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else "no error code"
        raise ValueError(f"status {answer.status_code}, {known}")
    value, life = body.get("access_token"), body.get("expires_in", ASSUMED_LIFE_SECONDS)
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", value):
        raise ValueError("the answer holds no bearer token in access_token")
    if not re.fullmatch(r"\d{1,9}", str(life)):
        raise ValueError("expires_in is not a number of seconds")
    return Token.living(value, now, now + int(life))
