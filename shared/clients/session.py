"""Sessions to outside systems, with the TLS files and the proxy of the settings, and the messages if these fail."""

import re
import ssl
from collections.abc import Iterator

import requests

from shared.clients.bounds import BoundedAdapter
from shared.settings.transport import Transport, file_faults

_WRONG_HOST = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH
_WRONG_TIME = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, ..._CERT_HAS_EXPIRED
_NOT_TRUSTED = frozenset({2, 18, 19, 20, 21})  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT and the like

_ABOUT_THE_CLIENT = re.compile("ALERT_.*(CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|DECRYPT_ERROR|ACCESS_DENIED)")
"""OpenSSL's names for the alerts (RFC 8446, 6.2) by which a server refuses a client."""
_NGINX_WANTS_CERTIFICATE = re.compile(rb"<title>400 (No required SSL certificate was sent|The SSL certificate error)<")
"""nginx completes the handshake and then answers 400 (ngx_http_special_response.c, 495 and 496)."""
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")  # http.client
MAX_CONNECTIONS = 80
"""Connections kept open to one system: for 64 workers (`DicomCast__MaxConcurrency`), and for the reads beside them."""


class _Session(requests.Session):
    """Follows no redirect, as tokens and queries are meant only for the URL in the settings."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Always None, so that `requests` does not read the whole body in order to follow a redirect."""


def session_by(transport: Transport) -> requests.Session:
    """A session with the transport's TLS files and proxy. Those of the environment are ignored."""
    session = _Session()
    session.trust_env = False  # nor is the host's .netrc used
    if transport.ca_file:
        session.verify = transport.ca_file
    if transport.client_certificate_file:
        certificate, key = transport.client_certificate_file, transport.client_key_file
        session.cert = (certificate, key) if key else certificate
    if transport.proxy:
        session.proxies = {"http": transport.proxy, "https": transport.proxy}
    adapter = BoundedAdapter(pool_connections=4, pool_maxsize=MAX_CONNECTIONS)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def transport_fault(error: OSError, transport: Transport) -> str | None:
    """What is wrong with TLS, the proxy or their files, and the setting to mend; None if the fault is another."""
    if isinstance(error, requests.exceptions.ProxyError):
        return _proxy_fault(error, transport)
    if faults := file_faults(transport):  # the files were checked at the start, but may have changed
        return "; ".join(faults)
    if isinstance(error, requests.exceptions.SSLError):
        return _tls_fault(error, transport)
    return None


def cut_off(error: OSError, transport: Transport) -> str:
    """The likely reason of a connection that was reset, if the settings have TLS files; else an empty text.

    In TLS 1.3 a server refuses a client certificate after the handshake, while the client sends: its alert is then
    often lost.
    """
    is_reset = any(isinstance(one, ConnectionResetError | BrokenPipeError) for one in causes_of(error))
    if is_reset and (transport.ca_file or transport.client_certificate_file):
        return f"; it may be that {_client_certificate_fault(transport)}"
    return ""


def refusal_on_the_way(response: requests.Response, content: bytes, transport: Transport) -> str | None:
    """The message for an answer of a proxy on the way, or of nginx before the server; None if it is the server's."""
    if transport.proxy and response.status_code == requests.codes.proxy_authentication_required:
        return _logon_wanted(transport)
    if response.status_code == requests.codes.bad_request and _NGINX_WANTS_CERTIFICATE.search(content[:500]):
        return _client_certificate_fault(transport)
    return None


def _proxy_fault(error: Exception, transport: Transport) -> str:
    status = next((match[1] for cause in causes_of(error) if (match := _TUNNEL.match(str(cause)))), None)
    if status == "407":
        return _logon_wanted(transport)
    mend = f"mend {transport.service}__Proxy"
    if status:
        return f"the proxy {transport.proxy} answers {status} to CONNECT: it must let the app through, or {mend}"
    return f"the proxy {transport.proxy} is not reachable: {mend}"


def _logon_wanted(transport: Transport) -> str:
    setting = f"{transport.service}__Proxy"
    return f"407 from the proxy {transport.proxy}: the app cannot log on to one; name in {setting} one without logon"


def _tls_fault(error: Exception, transport: Transport) -> str:
    cause = next((one for one in causes_of(error) if isinstance(one, ssl.SSLError)), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _verification_fault(cause, transport)
    reason = getattr(cause, "reason", None) or ""
    reason_text = reason.lower().replace("_", " ")
    if _ABOUT_THE_CLIENT.search(reason):
        return f"it seems that {_client_certificate_fault(transport)} (TLS: {reason_text})"
    if isinstance(cause, ssl.SSLEOFError):  # likely for the same reason as in `cut_off`
        return f"the connection was cut off; it may be that {_client_certificate_fault(transport)}"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "there is no TLS on this port: the URL in the settings must be an http:// one, or name another port"
    return f"TLS failed ({reason_text or 'no reason given'})"


def _verification_fault(cause: ssl.SSLCertVerificationError, transport: Transport) -> str:
    setting, code, text = f"{transport.service}__Tls__CaFile", cause.verify_code, cause.verify_message
    if code in _WRONG_HOST:
        return "its certificate is for another host: the URL in the settings must have a name that stands in it"
    if code in _WRONG_TIME:
        return f"a certificate is out of its time ({text}): the server's must be renewed, or the CA's in {setting}"
    if code in _NOT_TRUSTED:
        if transport.ca_file:
            return f"its certificate is not from a CA in the file of {setting} ({text}): add the CA's certificate there"
        return f"its certificate is not from a public CA ({text}): name a file with the private CA's in {setting}"
    return f"its certificate, or that of a CA in {setting}, is refused: {text}"


def _client_certificate_fault(transport: Transport) -> str:
    setting = f"{transport.service}__Tls__ClientCertificateFile"
    if transport.client_certificate_file:
        return f"the client certificate is refused: {setting} must name one that the server trusts, and not expired"
    return f"a client certificate is wanted, and {setting} names none"


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The errors behind one of `requests`, from urllib3's down to the operating system's."""
    for one in (getattr(error, "reason", None), *error.args):
        if isinstance(one, BaseException):
            yield one
            yield from causes_of(one)
