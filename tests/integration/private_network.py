"""A private network for the tests: a CA, servers behind TLS that may want a client certificate, a forward proxy."""

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.processes import free_port
from tests.integration.faults.proxy import HOP_BY_HOP, Proxy, proxy_to

NO_PASSPHRASE = serialization.NoEncryption()


class Authority:
    """A CA that writes what it issues into a folder, as PEM; `file` holds its own certificate.

    Its certificates are RFC 5280's to the letter: Python 3.13 takes no others.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._begun(self._name, self._key.public_key(), 10)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = self._written(f"{name}.pem", _pem(certificate))

    def issued(self, name: str, host: str = "127.0.0.1", days: int = 10) -> tuple[str, str]:
        """The files of a certificate for a host, and of its key. `days` until its end; below 0 it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        try:
            names: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            names = x509.DNSName(host)
        certificate = (
            self._begun(subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectAlternativeName([names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return self._written(f"{name}.pem", _pem(certificate)), self._written(f"{name}.key", key_pem(key))

    def revocations(self) -> bytes:
        """A revocation list of nothing, as PEM."""
        now = datetime.now(UTC)
        times = x509.CertificateRevocationListBuilder().last_update(now).next_update(now + timedelta(days=1))
        return times.issuer_name(self._name).sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=20))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer, critical=False)
        )

    def _written(self, name: str, pem: bytes) -> str:
        path = self._folder / name
        path.write_bytes(pem)
        return str(path)


def key_pem(
    key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption = NO_PASSPHRASE
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    never = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    signs = {"key_cert_sign": signs_certificates, "crl_sign": signs_certificates}
    return x509.KeyUsage(digital_signature=not signs_certificates, **signs, **never)


@contextmanager
def behind_tls(
    upstream: str,
    certificate: tuple[str, str],
    clients: str | None = None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> Iterator[Proxy]:
    """A server by https:// in front of one by http://. `clients`: it wants a certificate from the CA in this file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(*certificate)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    with proxy_to(upstream) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
        yield server


class ForwardProxy(ThreadingHTTPServer):
    """RFC 9110, 7.3.2 and 9.3.6: CONNECT for https://, absolute URLs for http://. `seen` are methods and targets.

    `refusal` is answered to everything instead.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Forwarding)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen: list[tuple[str, str]] = []
        self.refusal: int | None = None


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ForwardProxy

    def do_CONNECT(self) -> None:
        self.server.seen.append((self.command, self.path))
        host, _, port = self.path.rpartition(":")
        try:
            if not self.server.refusal:
                with socket.create_connection((host, int(port)), timeout=10) as upstream:
                    self.send_response_only(200)
                    self.end_headers()
                    self._tunnel(upstream)
        except ConnectionRefusedError:
            self._answer(502, {}, b"")
        if self.server.refusal:
            self._answer(self.server.refusal, {}, b"")
        self.close_connection = True

    def _tunnel(self, upstream: socket.socket) -> None:
        with selectors.DefaultSelector() as readable:  # select() knows no descriptor above 1023
            readable.register(self.connection, selectors.EVENT_READ, upstream)
            readable.register(upstream, selectors.EVENT_READ, self.connection)
            while True:
                for key, _ in readable.select(30):
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def _forward(self) -> None:
        self.server.seen.append((self.command, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refusal:
            return self._answer(self.server.refusal, {}, b"")
        assert urlsplit(self.path).netloc, "a proxy is asked by absolute URLs"
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(self.command, self.path, data=body, headers=headers, timeout=60)
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        return self._answer(answer.status_code, passed, answer.content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815 http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
        """Quiet."""


@contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    """A running forward proxy."""
    server = ForwardProxy()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def resetting() -> Iterator[str]:
    """The https:// URL of a server that resets each connection once it was written to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_reset_all, args=(server,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _reset_all(server: socket.socket) -> None:
    with suppress(OSError):  # the end of the server
        while True:
            connection, _ = server.accept()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
