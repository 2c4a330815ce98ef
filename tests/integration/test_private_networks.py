"""On premises: a private CA, client certificates, HTTP Basic, an outbound proxy; each taken, and each told of when wrong."""

import logging
import re
import ssl
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
import requests
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from local.processes import free_port
from shared import bootstrap
from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth, token_source
from shared.errors import OutageError
from shared.model.outcome import Outcome
from shared.settings.authentication import Authentication, AuthenticationType
from shared.settings.config import read_settings, shown_settings
from shared.settings.transport import Transport
from tests.integration.dicom_service_client import dicom_file, running
from tests.integration.private_network import Authority, behind_tls, forward_proxy, resetting
from tests.integration.token_endpoint import IDENTITY_HEADER, TokenEndpoint

PASSWORD = "pässword:of-the-app"
BASIC = "Basic " + b64encode(f"sync:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The CA of the house and one that nobody trusts, and what they issued: pairs of files by name."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, strange = Authority(folder, "ours"), Authority(folder, "strange")
    client = ours.issued("client")
    together = folder / "together.pem"
    together.write_text("".join(Path(file).read_text() for file in client))
    return SimpleNamespace(
        ca=ours.file,
        strange_ca=strange.file,
        server=ours.issued("server"),
        expired=ours.issued("expired", days=-1),
        another_host=ours.issued("another-host", host="fhir.hospital.example"),
        client=client,
        together=str(together),
        expired_client=ours.issued("expired-client", days=-1),
        strange_client=strange.issued("strange-client"),
    )


@pytest.fixture(scope="module")
def upstream():
    """What all of it leads to, by http://."""
    with running(Starlette(routes=[Route("/metadata", lambda request: JSONResponse({}))])) as client:
        yield client.url


@pytest.fixture
def proxy():
    with forward_proxy() as server:
        yield server


def with_client(house, pair):
    certificate, key = pair
    return Transport("Fhir", house.ca, certificate, key)


def asked(url, transport, auth=None, **more):
    """The status of one request of the app's own."""
    service = HttpService("FHIR server", url, auth, timeouts=(5, 10), transport=transport, **more)
    return service.send("GET", "/metadata").status_code


def refused(url, transport):
    """What the outage says where one request is not answered; it names the system and its URL."""
    service = HttpService("FHIR server", url, timeouts=(5, 10), transport=transport)
    with pytest.raises(OutageError, match=f"FHIR server: .*{url}") as caught:
        service.fetch("/metadata")
    return str(caught.value)


def test_a_private_ca(house, upstream):
    """Its servers are trusted, and only they: the public CAs are not."""
    with behind_tls(upstream, house.server) as server:
        assert asked(server.url, Transport("Fhir", house.ca)) == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("together", [False, True], ids=["two files", "one file"])
def test_a_client_certificate(house, upstream, version, together):
    """With its key beside it or in one file."""
    transport = Transport("Fhir", house.ca, house.together) if together else with_client(house, house.client)
    with behind_tls(upstream, house.server, house.ca, version) as server:
        assert asked(server.url, transport) == 200


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_an_outbound_proxy(house, upstream, proxy, tls):
    """By CONNECT to https://, where it sees no more than the host; by absolute URLs to http://."""
    with ExitStack() as stack:
        url = stack.enter_context(behind_tls(upstream, house.server)).url if tls else upstream
        assert asked(url, Transport("Fhir", house.ca, proxy=proxy.url)) == 200
    assert proxy.seen == [("CONNECT", url.removeprefix("https://")) if tls else ("GET", f"{url}/metadata")]


def test_the_environment_does_not_speak_for_the_app(house, upstream, monkeypatch, tmp_path):
    """Variables and files that other programs follow; two services may be reached in two ways."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else")
    nowhere = f"http://127.0.0.1:{free_port()}"  # of https:// alone: the test's own server asks by http://
    given = {"NETRC": str(netrc), "HTTPS_PROXY": nowhere, "REQUESTS_CA_BUNDLE": house.strange_ca}
    with behind_tls(upstream, house.server) as server:
        seen = []
        server.accepts = lambda authorization: seen.append(authorization) or True
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert asked(server.url, Transport("Fhir", house.ca)) == 200
    assert seen == [None]


# the server's certificate, whether it wants one, the app's CA and client certificate, what is said
TLS_FAULTS = [
    ("server",       False, None,         None,             r"not from a public CA \(.*\): name a file .* in Fhir__Tls__CaFile$"),
    ("server",       False, "strange_ca", None,             r"not from a CA in the file of Fhir__Tls__CaFile \(.*\): add"),
    ("expired",      False, "ca",         None,             r"out of its time \(certificate has expired\): the server's must be renewed"),
    ("another_host", False, "ca",         None,             r"for another host: the URL in the settings must have a name that stands in it$"),
    ("server",       True,  "ca",         None,             r"(seems|may be) that a client certificate is wanted, and Fhir__Tls__ClientCertificateFile names none"),
    ("server",       True,  "ca",         "strange_client", r"(seems|may be) that the client certificate is refused: Fhir__Tls__ClientCertificateFile must name one"),
    ("server",       True,  "ca",         "expired_client", r"(seems|may be) that the client certificate is refused: .* not expired"),
]  # fmt: skip


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("through", [False, True], ids=["direct", "by the proxy"])
@pytest.mark.parametrize(("certificate", "wants", "ca", "client", "said"), TLS_FAULTS, ids=[row[4] for row in TLS_FAULTS])  # fmt: skip
def test_a_fault_of_tls(house, upstream, proxy, certificate, wants, ca, client, said, through, version):
    """An outage that names what to mend, the same through a proxy."""
    transport = Transport("Fhir", ca and getattr(house, ca), *(getattr(house, client) if client else ()))
    if through:
        transport = replace(transport, proxy=proxy.url)
    with behind_tls(upstream, getattr(house, certificate), house.ca if wants else None, version) as server:
        assert re.search(said, refused(server.url, transport))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "broke$"),
        ({"ca_file": "ca"}, "broke; it may be that a client certificate is wanted, and Fhir__Tls"),
        ({"client_certificate_file": "together"}, "broke; it may be that the client certificate is refused: Fhir__Tls"),
    ],
)
def test_a_connection_that_is_reset(house, settings, said):
    """A server may refuse a client so, by TLS 1.3; where no setting speaks of TLS that is not the first thought."""
    with resetting() as url:
        assert re.search(
            said,
            refused(
                url, Transport("Fhir", **{field: vars(house).get(value, value) for field, value in settings.items()})
            ),
        )


def test_no_tls_at_all(house, upstream):
    """A port of plain http by an https:// URL."""
    assert "there is no TLS on this port" in refused(upstream.replace("http:", "https:"), Transport("Fhir", house.ca))


@pytest.mark.parametrize("title", ["No required SSL certificate was sent", "The SSL certificate error"])
@pytest.mark.parametrize("has", [False, True])
def test_nginx_wants_a_client_certificate(house, title, has):
    """Its 400 is no refusal of a bundle: rows would be written for each study, and the watermark pass them."""
    page = f"<html>\r\n<head><title>400 {title}</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>"
    with running(Starlette(routes=[Route("/metadata", lambda request: HTMLResponse(page, 400))])) as server:
        said = refused(server.url, with_client(house, house.client) if has else Transport("Fhir"))
    assert ("certificate is refused: Fhir__Tls" if has else "certificate is wanted, and Fhir__Tls") in said


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (407, "407 from the proxy {}: the app cannot log on to one; name in Fhir__Proxy one without logon"),
        (403, "the proxy {} answers 403 to CONNECT: it must let the app through, or mend Fhir__Proxy"),
        (None, "the proxy {} is not reachable: mend Fhir__Proxy"),
    ],
)
def test_a_fault_of_the_proxy(house, upstream, proxy, refusal, said, tls):
    """It is not taken for the server's; only a 403 to http:// can be told from the server's own by nobody."""
    url = upstream.replace("http:", "https:") if tls else upstream
    proxy.refusal = refusal
    by = proxy.url if refusal else f"http://127.0.0.1:{free_port()}"
    if refusal == 403 and not tls:
        with pytest.raises(OutageError, match="403 from"):
            asked(url, Transport("Fhir", proxy=by))
    else:
        assert refused(url, Transport("Fhir", house.ca, proxy=by)).endswith(said.format(by))


def test_the_proxy_does_not_reach_the_server(house, proxy):
    """The proxy's own answer to CONNECT."""
    said = refused(f"https://127.0.0.1:{free_port()}", Transport("Fhir", house.ca, proxy=proxy.url))
    assert "answers 502 to CONNECT" in said


def test_a_file_that_is_gone_after_the_start(house, upstream, tmp_path):
    """As at start: the setting by its name. A renewed file is read with the next connection."""
    ca = tmp_path / "ca.pem"
    with behind_tls(upstream, house.server) as server:
        assert "Fhir__Tls__CaFile: the path of a file" in refused(server.url, Transport("Fhir", str(ca)))
        ca.write_text(Path(house.ca).read_text())
        assert asked(server.url, Transport("Fhir", str(ca))) == 200
        ca.write_text("-----BEGIN")
        assert "Fhir__Tls__CaFile: a PEM file" in refused(server.url, Transport("Fhir", str(ca)))


def test_tokens_go_the_same_way(house, upstream, proxy):
    """The token endpoint by the service's CA, client certificate and proxy; faults name the same settings."""
    endpoint = TokenEndpoint()
    with running(endpoint.app) as plain, behind_tls(plain.url, house.server, house.ca) as tokens:
        credential = Authentication(
            AuthenticationType.CLIENT_CREDENTIAL, client_id="app", client_secret=PASSWORD, token_uri=f"{tokens.url}/token"
        )  # fmt: skip
        way = replace(with_client(house, house.client), proxy=proxy.url)
        auth = BearerAuth(token_source("FHIR server", credential, "", way))
        with behind_tls(upstream, house.server, house.ca) as server:
            server.accepts = endpoint.accepts
            assert asked(server.url, way, auth) == 200
            endpoint.revoke()
            assert asked(server.url, way, auth) == 200, "the 401's second try too"
        assert {target for _, target in proxy.seen} == {
            url.removeprefix("https://") for url in (tokens.url, server.url)
        }
        for wrong, said in (
            (Transport("Fhir"), "not from a public CA"),
            (Transport("Fhir", house.ca), "Fhir__Tls__ClientCertificateFile names none"),
            (replace(way, proxy=f"http://127.0.0.1:{free_port()}"), "is not reachable: mend Fhir__Proxy"),
        ):
            with pytest.raises(OutageError, match=f"identity for the FHIR server: no token from {tokens.url}.*{said}"):
                token_source("FHIR server", credential, "", wrong)()


def test_the_platforms_identity_goes_its_own_way(house, upstream, proxy, monkeypatch):
    """Its endpoint is the host's own: neither the proxy nor the CA is for it; its token goes to the service by both."""
    endpoint = TokenEndpoint()
    with running(endpoint.app) as msi, behind_tls(upstream, house.server) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{msi.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        way = Transport("Fhir", house.ca, proxy=proxy.url)
        identity = Authentication(AuthenticationType.MANAGED_IDENTITY)
        server.accepts = endpoint.accepts
        assert asked(server.url, way, BearerAuth(token_source("FHIR server", identity, "urn:fhir", way))) == 200
    assert len(endpoint.asked) == 1
    assert proxy.seen == [("CONNECT", server.url.removeprefix("https://"))]


@pytest.fixture
def hospital(house, dicom, fhir_url, proxy):
    """Both services behind TLS, a client certificate, HTTP Basic and the proxy; the settings that lead there."""
    with (
        behind_tls(dicom.url, house.server, house.ca) as archive,
        behind_tls(fhir_url.removesuffix("/fhir"), house.server, house.ca) as server,
    ):
        archive.accepts = server.accepts = lambda authorization: authorization == BASIC
        certificate, key = house.client
        way = {
            "Tls__CaFile": house.ca,
            "Tls__ClientCertificateFile": certificate,
            "Tls__ClientKeyFile": key,
            "Proxy": proxy.url,
            "Authentication__Enabled": "true",
            "Authentication__AuthenticationType": "Basic",
            "Authentication__BasicCredential__Username": "sync",
            "Authentication__BasicCredential__Password": PASSWORD,
        }
        yield {
            "DicomWeb__Endpoint": archive.url,
            "Fhir__Endpoint": f"{server.url}/fhir",
            "DicomCast__GapGracePeriod": "00:00:01",
            "DicomCast__StudySettle": "0",  # a study that grows is looked for in FHIR at once
            "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
            **{f"{service}__{name}": value for service in ("DicomWeb", "Fhir") for name, value in way.items()},
        }


def test_the_whole_app(hospital, proxy, dicom, fhir_url, storage, caplog):
    """All at once: a study arrives, the self-check passes, all went by the proxy, the password is told nowhere."""
    caplog.set_level(logging.DEBUG)
    study = f"2.25.{uuid4().int >> 64}"
    assert dicom.store(dicom_file(StudyInstanceUID=study)).status_code == 200
    environment = hospital | {"AzureWebJobsStorage": storage}
    settings = read_settings(environment)
    app = bootstrap.build(settings, shown_settings(environment))
    assert app.tick().outcome is not Outcome.FAILED
    found = requests.get(f"{fhir_url}/ImagingStudy", {"identifier": f"urn:dicom:uid|urn:oid:{study}"}, timeout=30)
    assert found.json()["total"] == 1
    steps = {step.name: step for step in app.check().steps}
    assert {name for name, step in steps.items() if step.state.value != "ok"} == {
        "DICOM service: a token",
        "FHIR server: a token",
    }
    assert {step.message for step in steps.values() if step.state.value == "skipped"} == {
        "HTTP Basic is set: requests are sent with a password"
    }
    urls = (hospital["DicomWeb__Endpoint"], hospital["Fhir__Endpoint"].removesuffix("/fhir"))
    assert set(proxy.seen) == {("CONNECT", url.removeprefix("https://")) for url in urls}
    assert app.settings["Fhir__Authentication__BasicCredential__Password"] == "***"
    assert app.settings["Fhir__Proxy"] == proxy.url
    told = caplog.text + repr(app.status()) + repr(settings) + repr(app.settings)
    assert not [secret for secret in (PASSWORD, BASIC.removeprefix("Basic ")) if secret in told]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Fhir__Tls__CaFile", "", "name a file with the private CA's in Fhir__Tls__CaFile"),
        ("Fhir__Authentication__BasicCredential__Password", "wrong", "401 from .*: mend Fhir__Authentication__BasicCredential__Username and __Password"),
        ("DicomWeb__Tls__CaFile", "", "name a file with the private CA's in DicomWeb__Tls__CaFile"),
        ("DicomWeb__Authentication__Enabled", "false", "the app sends no token; DicomWeb__Authentication__Enabled"),
        ("DicomWeb__Proxy", "http://127.0.0.1:9", "the proxy http://127.0.0.1:9 is not reachable: mend DicomWeb__Proxy"),
    ],
)  # fmt: skip
def test_the_whole_app_without(hospital, dicom, storage, name, value, said):
    """A tick and the self-check say which setting to mend; nothing is skipped."""
    assert dicom.store(dicom_file(StudyInstanceUID=f"2.25.{uuid4().int >> 64}")).status_code == 200
    app = bootstrap.build(read_settings(hospital | {"AzureWebJobsStorage": storage, name: value}))
    record = app.tick()
    assert record.outcome is Outcome.FAILED
    messages = [step.message for step in app.check().steps if step.state.value == "failed"]
    for message in (record.error, *messages):
        assert re.search(said, message)
    assert messages
    assert app.ports.watermarks.read().watermark.sequence == 0
