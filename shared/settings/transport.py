"""How to reach a service in a private network: `{DicomWeb,Fhir}__Tls__*` and `{DicomWeb,Fhir}__Proxy`."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shared.settings.readers import FaultError, optional, text
from shared.settings.setting import Setting, read_rows


@dataclass(frozen=True, slots=True)
class Transport:
    """Paths of PEM files, and the URL of an outbound proxy; None means the default. It holds for the token endpoint too.

    `service` is the prefix of the settings, so that errors can name them.
    """

    service: str
    ca_file: str | None = None
    client_certificate_file: str | None = None
    client_key_file: str | None = None
    proxy: str | None = None


DIRECT = Transport("{DicomWeb,Fhir}")
"""No proxy, and the public CAs."""


def proxy_url(value: str) -> str:
    """`http://host:port`. The connection to the proxy has no TLS, but what is sent through it has."""
    try:
        parts = urlsplit(value)
        good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good and "@" in parts.netloc:
        raise FaultError("a URL without a user or password in it is expected: the app cannot log on to a proxy")
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        raise FaultError("http://host:port is expected; no other kind of proxy is supported")
    return value.rstrip("/")


# ruff: noqa: E501  one row per line, as in docs/configuration.md
# fmt: off
TRANSPORT: tuple[Setting, ...] = (
    Setting("Tls__CaFile",                "ca_file",                 optional(text),      "", "PEM file of a private CA's certificates; they are trusted instead of the public ones, by the token endpoint's connection too"),
    Setting("Tls__ClientCertificateFile", "client_certificate_file", optional(text),      "", "PEM file of the app's own certificate and its chain, for a server that asks for a client certificate"),
    Setting("Tls__ClientKeyFile",         "client_key_file",         optional(text),      "", "PEM file of that certificate's key, not encrypted; empty: the key stands in the certificate's file"),
    Setting("Proxy",                      "proxy",                   optional(proxy_url), "", "`http://host:port` of an outbound proxy without logon; the token endpoint is asked through it too"),
)
# fmt: on


def read_transport(service: str, given: Mapping[str, str]) -> tuple[Transport, list[str]]:
    """The transport of a service, `DicomWeb` or `Fhir`, and all faults of its settings."""
    values, faults = read_rows(TRANSPORT, given, f"{service}__")
    transport = Transport(service, **values)
    return transport, faults + file_faults(transport)


def shown_transport(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """Those of its settings that have a value."""
    shown = {f"{service}__{row.name}": row.shown(given, f"{service}__") for row in TRANSPORT}
    return {name: value for name, value in shown.items() if value}


def file_faults(transport: Transport) -> list[str]:
    """What is wrong with the files as they are now. Faults name the setting, and never a file's content."""
    ca, certificate, key = transport.ca_file, transport.client_certificate_file, transport.client_key_file
    tls = f"{transport.service}__Tls__"
    faults: list[str] = []
    if ca:
        with _noted(faults, f"{tls}CaFile", "a PEM file of CA certificates is expected"):
            _check_ca(ca)
    if key and not certificate:
        faults.append(f"{tls}ClientCertificateFile is missing: {tls}ClientKeyFile is of no use without it")
    if key:
        with _noted(faults, f"{tls}ClientKeyFile"):
            _check_readable(key)
    if certificate:
        where = f", in {tls}ClientKeyFile," if key else ""
        expected = f"a PEM file of a certificate, and{where} the key that belongs to it, are expected"
        with _noted(faults, f"{tls}ClientCertificateFile", expected):
            _check_readable(certificate)
            _check_pair(certificate, key)
    return faults


def _check_readable(path: str) -> None:
    Path(path).open("rb").close()


def _check_ca(path: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    if not context.cert_store_stats()["x509"]:
        raise ssl.SSLError  # nothing but revocation lists


def _check_pair(certificate: str, key: str | None) -> None:
    with suppress(FileNotFoundError, PermissionError, IsADirectoryError):  # of the key: it is a fault already
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, _no_passphrase)


def _no_passphrase() -> str:
    """OpenSSL calls this if the key is encrypted; otherwise it would ask at the terminal."""
    raise FaultError("the key is encrypted: give one that is not, in a file that the app alone may read")


@contextmanager
def _noted(faults: list[str], name: str, expected: str = "") -> Iterator[None]:
    try:
        yield
    except FaultError as fault:
        faults.append(f"{name}: {fault}")
    except ssl.SSLError:
        faults.append(f"{name}: {expected}")
    except OSError as error:  # without its path: if it is the PEM text itself by mistake, the log must not have it
        faults.append(f"{name}: the path of a file that the app can read is expected ({error.strerror})")
