"""The app proves itself: each kind of authentication against a token endpoint, and services that want its tokens."""

import json
import logging
import re
import threading
import traceback
from uuid import uuid4

import pytest
import requests
from starlette.responses import JSONResponse, PlainTextResponse

from shared import bootstrap
from shared.clients.connections import DICOM_AUDIENCE
from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth, token_source
from shared.errors import OutageError
from shared.model.outcome import Outcome
from shared.settings.authentication import Authentication, AuthenticationType
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import dicom_file, running
from tests.integration.faults.proxy import proxy_to
from tests.integration.token_endpoint import IDENTITY_HEADER, TokenEndpoint

SECRETS = ("the-client-secret", "the-password", "token-", IDENTITY_HEADER)


class Clock:
    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return 1_800_000_000 + self.ahead


@pytest.fixture
def endpoint():
    """A token endpoint, served; `url` is its address."""
    tokens = TokenEndpoint()
    with running(tokens.app) as client:
        tokens.url = client.url
        yield tokens


@pytest.fixture
def guarded(endpoint, fhir_url):
    """A FHIR server that takes only the endpoint's newest token."""
    with proxy_to(fhir_url.removesuffix("/fhir")) as proxy:
        proxy.accepts = endpoint.accepts
        yield proxy


def client_credential(endpoint, **more):
    given = {"resource": None, "scope": None, "client_secret": "the-client-secret", **more}
    return Authentication(
        AuthenticationType.CLIENT_CREDENTIAL, client_id="app", token_uri=f"{endpoint.url}/token", **given
    )


def service(guarded, authentication, clock=None):
    auth = BearerAuth(token_source("FHIR server", authentication, "unused"), *([clock] if clock else []))
    return HttpService("FHIR server", f"{guarded.url}/fhir", auth, "remedy")


def settings(service, kind, **values):
    return {
        f"{service}__Authentication__Enabled": "true",
        f"{service}__Authentication__AuthenticationType": kind,
        **{f"{service}__Authentication__{kind}__{name}": value for name, value in values.items()},
    }


# kind, settings, what must be asked for
KINDS = [
    (
        "OAuth2ClientCredential",
        {"ClientId": "app", "ClientSecret": "the-client-secret", "Resource": "urn:fhir", "Scope": "system/*.write"},
        {"grant_type": "client_credentials", "client_id": "app", "client_secret": "the-client-secret", "resource": "urn:fhir", "scope": "system/*.write"},
    ),
    (
        "OAuth2UserPasswordCredential",
        {"ClientId": "app", "Username": "sync", "Password": "the-password"},
        {"grant_type": "password", "client_id": "app", "username": "sync", "password": "the-password"},
    ),
    (
        "ManagedIdentityCredential",
        {"Resource": "https://smart.example.org", "ClientId": "0000-user-assigned"},
        {"api-version": "2019-08-01", "resource": "https://smart.example.org", "client_id": "0000-user-assigned"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "asked"), KINDS, ids=[row[0] for row in KINDS])
def test_a_sync_with_each_kind(kind, given, asked, endpoint, guarded, dicom, storage, monkeypatch, caplog):
    """Both services want a token; a study arrives; one token each; no secret in logs, status or settings."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{endpoint.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    own = TokenEndpoint()
    if not kind.startswith("Managed"):
        given = given | {"TokenUri": f"{endpoint.url}/token"}
    with running(own.app) as dicom_tokens, proxy_to(dicom.url) as feed:
        feed.accepts = own.accepts
        study = f"2.25.{uuid4().int >> 64}"
        assert dicom.store(dicom_file(StudyInstanceUID=study)).status_code == 200
        read = read_settings(
            {
                "AzureWebJobsStorage": storage,
                "DicomWeb__Endpoint": feed.url,
                "Fhir__Endpoint": f"{guarded.url}/fhir",
                "DicomCast__GapGracePeriod": "00:00:01", "DicomCast__StudySettle": "0",
                "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
                **settings("DicomWeb", "OAuth2ClientCredential", TokenUri=f"{dicom_tokens.url}/token", ClientId="dicom", ClientSecret="the-client-secret"),
                **settings("Fhir", kind, **given),
                "Fhir__Authentication__AuthenticationType": kind.replace("IdentityCredential", "Identity"),
            }
        )  # fmt: skip
        app = bootstrap.build(read)
        assert app.tick().outcome is not Outcome.FAILED
        status = app.status()
    assert endpoint.asked == [asked]
    assert [form["client_id"] for form in own.asked] == ["dicom"]
    found = requests.get(
        f"{guarded.upstream}/fhir/ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{study}"}, timeout=30
    ).json()
    assert found["total"] == 1
    assert not [word for word in SECRETS if word in caplog.text + repr(status) + repr(read)]


def test_a_token_is_renewed_before_it_ends(endpoint, guarded):
    """Kept for the most of its hour; a new one when five minutes are left."""
    clock = Clock()
    fhir = HttpService(
        "FHIR server", f"{guarded.url}/fhir", BearerAuth(lambda: issued(endpoint, clock), clock), "remedy"
    )
    counts = []
    for clock.ahead in (0, 1000, 3299, 3301, 3302, 6600, 6700):
        assert fhir.send("GET", "/metadata").status_code == 200
        counts.append(len(endpoint.asked))
    assert counts == [1, 1, 1, 2, 2, 2, 3]


def issued(endpoint, clock):
    """As the app's own source would ask, at the test's time."""
    token = token_source("FHIR server", client_credential(endpoint), "")()
    return type(token).living(token.value, clock(), clock() + 3600)


def test_one_401_is_one_renewal(endpoint, guarded):
    """A token that the service takes no more is renewed, and the request goes out once more with it."""
    fhir = service(guarded, client_credential(endpoint))
    assert fhir.send("GET", "/metadata").status_code == 200
    endpoint.revoke()
    assert fhir.send("GET", "/metadata").status_code == 200
    assert len(endpoint.asked) == 2
    guarded.accepts = lambda authorization: False
    seen = len(guarded.seen)
    with pytest.raises(OutageError, match=r"401 from .*: remedy"):
        fhir.send("GET", "/metadata")
    assert (len(guarded.seen) - seen, len(endpoint.asked)) == (2, 3)


def test_threads_share_one_renewal(endpoint, guarded):
    """Eight requests that are refused at once ask for one token, and all are answered."""
    fhir = service(guarded, client_credential(endpoint))
    assert fhir.send("GET", "/metadata").status_code == 200
    endpoint.revoke()
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(fhir.send("GET", "/metadata").status_code)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, len(endpoint.asked)) == ([200] * 8, 2)


def test_a_body_is_sent_again_whole(endpoint, guarded):
    """A bundle that met a 401 arrives as it was."""
    fhir = service(guarded, client_credential(endpoint))
    assert fhir.send("GET", "/metadata").status_code == 200
    endpoint.revoke()
    uid = uuid4().hex
    body = f'{{"resourceType":"Basic","code":{{"text":"{uid}"}}}}'.encode()
    answer = fhir.send("POST", "/Basic", body=body, headers={"Content-Type": "application/fhir+json"})
    assert answer.status_code == 201
    assert json.loads(answer.content)["code"]["text"] == uid


def test_a_token_that_still_holds_outlives_a_failed_renewal(endpoint, guarded):
    """The identity service may stumble for a while before the token ends; after that it is an outage."""
    clock = Clock()
    fhir = HttpService(
        "FHIR server", f"{guarded.url}/fhir", BearerAuth(lambda: issued(endpoint, clock), clock), "remedy"
    )
    fhir.send("GET", "/metadata")
    endpoint.refusal = PlainTextResponse("", 503)
    for clock.ahead in (3400, 3410, 3431, 3560):
        assert fhir.send("GET", "/metadata").status_code == 200
    assert len(endpoint.asked) == 4, "one try each 30 s"
    clock.ahead = 3595
    with pytest.raises(OutageError, match=r"identity for the FHIR server: no token from .*: status 503"):
        fhir.send("GET", "/metadata")


REFUSALS = [
    # the endpoint answers                                              the error says
    (JSONResponse({"error": "invalid_client", "error_description": "the-client-secret is wrong"}, 401), "status 401, invalid_client$"),
    (JSONResponse({"error": "the-client-secret!"}, 400),                  "status 400, no error code$"),
    (PlainTextResponse("the-client-secret", 200),                         "status 200, no JSON$"),
    (JSONResponse(["token-1"]),                                           "no bearer token in access_token$"),
    (JSONResponse({"access_token": "token-1\r\nX: y"}),                   "no bearer token in access_token$"),
    (JSONResponse({"access_token": "token-1", "expires_in": "soon"}),     "expires_in is not a number of seconds$"),
    (PlainTextResponse("", 302, {"Location": "https://example.org"}),     "status 302, no JSON$"),
]  # fmt: skip


@pytest.mark.parametrize(("refusal", "said"), REFUSALS, ids=[row[1] for row in REFUSALS])
def test_no_token(refusal, said, endpoint, guarded):
    """An outage that names the endpoint and why; neither secret nor answer stands in the traceback."""
    endpoint.refusal = refusal
    with pytest.raises(OutageError, match=said) as caught:
        service(guarded, client_credential(endpoint)).send("GET", "/metadata")
    assert f"{endpoint.url}/token" in str(caught.value)
    told = "".join(traceback.format_exception(caught.value))
    assert not [word for word in SECRETS if word in told]


def test_no_token_endpoint(guarded):
    """Nobody listens."""
    nowhere = Authentication(
        AuthenticationType.CLIENT_CREDENTIAL, None, "app", "http://127.0.0.1:9/token", client_secret="the-client-secret"
    )
    with pytest.raises(OutageError, match=r"identity for the FHIR server: no token from .*ConnectionError$") as caught:
        service(guarded, nowhere).send("GET", "/metadata")
    assert "the-client-secret" not in "".join(traceback.format_exception(caught.value))


def test_no_identity(guarded, endpoint, monkeypatch):
    """The message names the audience and what to look at."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{endpoint.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "managedidentitycredential")
    authentication = Authentication(AuthenticationType.MANAGED_IDENTITY, None, None)
    auth = BearerAuth(token_source("DICOM service", authentication, DICOM_AUDIENCE))
    with pytest.raises(OutageError, match=f"no token for {DICOM_AUDIENCE}; is the system-assigned identity"):
        HttpService("DICOM service", guarded.url, auth).send("GET", "/v1/changefeed/latest")


@pytest.mark.parametrize(
    ("authentication", "said"),
    [
        ({}, r"401 from .*: the app sends no token; Fhir__Authentication__Enabled turns it on$"),
        ({"Scope": "s"}, r"401 from .*: give the app's identity the role FHIR Data Writer; the token's audience was s$"),
        ({"Resource": "r"}, r"the token's audience was r$"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(authentication, said, endpoint, guarded, dicom, storage):
    """The role by name, and the audience that the token was for."""
    guarded.accepts = lambda authorization: False
    enabled = settings(
        "Fhir", "OAuth2ClientCredential", TokenUri=f"{endpoint.url}/token", ClientId="app", ClientSecret="the-client-secret", **authentication
    )  # fmt: skip
    app = bootstrap.build(
        read_settings(
            {
                "AzureWebJobsStorage": storage,
                "DicomWeb__Endpoint": dicom.url,
                "Fhir__Endpoint": f"{guarded.url}/fhir",
                "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
                **(enabled if authentication else {}),
            }
        )
    )
    record = app.tick()
    assert record.outcome is Outcome.FAILED
    assert re.search(said, record.error)
