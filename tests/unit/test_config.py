"""Settings: every fault in one message; names and defaults as docs/configuration.md says."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.settings.config import SETTINGS, read_settings, shown_settings

ENOUGH = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DicomWeb__Endpoint": "https://dicom.example.org/",
    "Fhir__Endpoint": "https://fhir.example.org",
}


def test_what_is_enough():
    """Everything else has a default; a slash at a URL's end does not matter."""
    settings = read_settings(ENOUGH)
    assert settings.dicom_url == "https://dicom.example.org"
    assert (settings.batch_size, settings.gap_grace_seconds, settings.lease_seconds) == (5000, 30, 30)
    assert (settings.dicom_api_version, settings.patient_system) == ("v1", "")


def test_names_are_matched_in_any_case():
    """As the Functions host does on Windows, and .NET's configuration everywhere."""
    assert read_settings({name.upper(): value for name, value in ENOUGH.items()}) == read_settings(ENOUGH)


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        (
            {"accountName": "contoso"},
            ("https://contoso.blob.core.windows.net", "https://contoso.table.core.windows.net"),
        ),
        (
            {"accountName": "contoso", "tableServiceUri": "https://t/"},
            ("https://contoso.blob.core.windows.net", "https://t"),
        ),
    ],
)
def test_a_storage_account_may_be_known_by_its_name_alone(given, urls):
    """As the Functions host reads it; a URL that is given stands."""
    environment = {**ENOUGH, "AzureWebJobsStorage": ""} | {f"AzureWebJobsStorage__{k}": v for k, v in given.items()}
    settings = read_settings(environment)
    assert (settings.blob_service_url, settings.table_service_url) == urls


def test_every_fault_is_named_at_once():
    """One message, not one start per fault."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"Fhir__Endpoint": "ftp://x", "DicomCast__BatchSize": "many"})
    assert [fault.split(":")[0].split(" ")[0] for fault in caught.value.faults] == [
        "DicomWeb__Endpoint",
        "Fhir__Endpoint",
        "DicomCast__BatchSize",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DicomWeb__ApiVersion", "v3", "v1 or v2"),
        ("Fhir__Endpoint", "https://x/fhir?a=b", "without `?`"),
        ("DicomCast__BatchSize", "0", "from 1 to 20000"),
        ("DicomCast__GapGracePeriod", "30", "hh:mm:ss"),
        ("DicomCast__LeaseDuration", "00:02:00", "blob leases allow"),
        ("DicomCast__DefaultUtcOffset", "0100", "+hh:mm"),
        ("DicomCast__Features__EnforceValidationOfTagValues", "yes", "true or false"),
        ("TableStore__TableNamePrefix", "a-b", "letters and digits"),
        ("AzureWebJobsStorage", "", "connection string"),
        ("AzureWebJobsStorage__accountName", "evil.example/#", "lower-case letters and digits"),
        ("Fhir__Endpoint", "https://user:secret@x/fhir", "without a user or password"),
        ("Fhir__Endpoint", "https://x:99999/fhir", "https://"),
        ("Fhir__Endpoint", "http://fhir.example.org", "DicomCast__AllowPlainHttp"),
        ("DicomWeb__Endpoint", "http://10.0.0.4:8080", "https:// is expected"),
        ("DicomWeb__PrivateEndpoint", "http://dicom.internal", "https:// is expected"),
        ("Fhir__Authentication__Enabled", "on", "true or false"),
        ("DicomCast__AccessionSystem", "RIS", "a URI with its scheme"),
        ("DicomCast__AccessionIssuers", "HOSPITAL", "a JSON object"),
        ("Fhir__BundleProcessing", "yes", "one of server, parallel, sequential"),
        ("DicomCast__OrderLink", "yes", "link-or-identifier"),
        ("DicomCast__EndpointPayload", "wado", "one of text, none, study"),
        ("DicomCast__EndpointContact", "pacs@example.org", "mailto:"),
        ("DicomCast__ViewerUrl", "https://viewer.example.org", "{StudyInstanceUID}"),
        ("DicomCast__ViewerUrl", "viewer/{StudyInstanceUID}", "https://viewer"),
        ("DicomCast__ViewerUrl", "https://viewer/{StudyInstanceUID}/{PatientID}", "https://viewer"),
        ("DicomCast__ViewerUrl", "javascript:open('{StudyInstanceUID}')", "https://viewer"),
        ("DicomCast__OrderLookBack", "a week", "a whole number"),
        ("Patient__IssuerSystems", '{"HOSPITAL": ""}', "a JSON object"),
        ("Patient__IdentifierType", "mr", "table 0203"),
        ("DicomCast__AccessionIssuers", '["urn:oid:1.2.3"]', "a JSON object"),
        ("DicomCast__AccessionIssuers", '{"HOSPITAL": "RIS"}', "a JSON object"),
        ("DicomCast__AccessionIssuers", '{"HOSPITAL": 7}', "a JSON object"),
    ],
)
def test_a_malformed_value(name, value, said):
    """The message names the setting and what is expected."""
    with pytest.raises(SettingsError) as caught:
        read_settings(ENOUGH | {name: value})
    (fault,) = caught.value.faults
    assert fault.startswith(name)
    assert said in fault
    assert "secret" not in fault


@pytest.mark.parametrize(
    "given",
    [
        {"Fhir__Endpoint": "http://localhost:8080/fhir"},
        {"Fhir__Endpoint": "http://127.0.0.1:8080/fhir"},
        {"Fhir__Endpoint": "http://[::1]:8080/fhir"},
        {"DicomWeb__Endpoint": "http://dicom.example.org", "DicomWeb__PrivateEndpoint": "https://dicom.internal"},
        {"Fhir__Endpoint": "http://fhir.example.org", "DicomCast__AllowPlainHttp": "true"},
    ],
)
def test_plain_http_that_is_let_through(given):
    """Loopback, a public URL that is only a name, and where it is said so."""
    settings = read_settings(ENOUGH | given)
    assert settings.fhir_url == given.get("Fhir__Endpoint", ENOUGH["Fhir__Endpoint"])
    assert settings.dicom_url == given.get("DicomWeb__Endpoint", ENOUGH["DicomWeb__Endpoint"]).rstrip("/")


AZURITE = "AccountName=devstoreaccount1;AccountKey=a2V5;"


@pytest.mark.parametrize(
    ("connection", "is_taken"),
    [
        ("UseDevelopmentStorage=true", True),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5;EndpointSuffix=core.windows.net", True),
        (f"DefaultEndpointsProtocol=http;{AZURITE}BlobEndpoint=http://127.0.0.1:10000/d;TableEndpoint=http://localhost:10002/d", True),
        (f"{AZURITE}BlobEndpoint=https://blobs.example.org;TableEndpoint=https://tables.example.org", True),
        ("BlobEndpoint=http://[::1;TableEndpoint=https://tables.example.org", True),
        (f"{AZURITE}BlobEndpoint=http://azurite:10000/d;TableEndpoint=http://127.0.0.1:10002/d", False),
        (f"{AZURITE}blobendpoint=https://blobs.example.org;tableendpoint=HTTP://tables.example.org", False),
        (f"{AZURITE}BlobEndpoint=https://b.example.org;TableEndpoint=https://t.example.org;TableSecondaryEndpoint=http://t2.example.org", False),
        ("DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5", False),
        ("DefaultEndpointsProtocol=HTTP;AccountName=a;AccountKey=a2V5;BlobEndpoint=https://blobs.example.org", False),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://10.0.0.4", False),
    ],
)  # fmt: skip
def test_a_connection_string_without_tls(connection, is_taken):
    """It names URLs as other settings do; its key is never told."""
    given = ENOUGH | {"AzureWebJobsStorage": connection}
    assert read_settings(given | {"DicomCast__AllowPlainHttp": "true"}).storage_connection == connection
    if is_taken:
        assert read_settings(given).storage_connection == connection
        return
    with pytest.raises(SettingsError) as caught:
        read_settings(given)
    (fault,) = caught.value.faults
    assert fault.startswith("AzureWebJobsStorage: https:// is expected")
    assert "a2V5" not in fault


USER = {
    "Fhir__Authentication__Enabled": "true",
    "Fhir__Authentication__AuthenticationType": "oauth2userpasswordcredential",
    "Fhir__Authentication__OAuth2UserPasswordCredential__TokenUri": "https://login.example.org/token/?p=policy",
    "Fhir__Authentication__OAuth2UserPasswordCredential__ClientId": "app",
    "Fhir__Authentication__OAuth2UserPasswordCredential__Username": "sync",
    "Fhir__Authentication__OAuth2UserPasswordCredential__Password": "the-password",
}


def test_authentication_is_read_per_service():
    """The rows of the chosen kind, in any case; a token endpoint's address stays as it is; secrets are not shown."""
    settings = read_settings(ENOUGH | USER)
    assert settings.dicom_authentication is None
    assert settings.fhir_authentication.token_uri == "https://login.example.org/token/?p=policy"
    assert settings.fhir_authentication.password == "the-password"
    assert "the-password" not in repr(settings)
    assert "UseDevelopmentStorage" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"Fhir__Authentication__OAuth2UserPasswordCredential__Password": ""}, ["Fhir__Authentication__OAuth2UserPasswordCredential__Password is missing"]),
        ({"Fhir__Authentication__OAuth2UserPasswordCredential__TokenUri": "http://login.example.org/token"}, ["Fhir__Authentication__OAuth2UserPasswordCredential__TokenUri"]),
        ({"Fhir__Authentication__AuthenticationType": "Digest"}, ["Fhir__Authentication__AuthenticationType"]),
        ({"Fhir__Authentication__AuthenticationType": "basic"}, [f"Fhir__Authentication__BasicCredential__{name} is missing" for name in ("Username", "Password")]),
        ({"Fhir__Authentication__AuthenticationType": "Basic", "Fhir__Authentication__BasicCredential__Username": "a:b", "Fhir__Authentication__BasicCredential__Password": "x"}, ["Fhir__Authentication__BasicCredential__Username"]),
        ({"Fhir__Authentication__AuthenticationType": "OAuth2ClientCredential"}, [f"Fhir__Authentication__OAuth2ClientCredential__{name} is missing" for name in ("TokenUri", "ClientId", "ClientSecret")]),
        ({"Fhir__Authentication__AuthenticationType": "ManagedIdentity"}, []),
        ({"Fhir__Authentication__Enabled": "false", "Fhir__Authentication__OAuth2UserPasswordCredential__Password": ""}, []),
    ],
)  # fmt: skip
def test_faults_of_authentication(given, named):
    """Each is named with the others; what stands in the rows of another kind does not matter."""
    try:
        read_settings(ENOUGH | USER | given)
        faults = []
    except SettingsError as error:
        faults = error.faults
    assert [fault.split(":")[0] for fault in faults] == named


def test_where_a_study_is_looked_at():
    """As it is written, with or without a query."""
    for url in (
        "https://viewer/{StudyInstanceUID}",
        "http://10.0.0.4:8080/v?requestType=STUDY&studyUID={StudyInstanceUID}",
    ):
        assert read_settings(ENOUGH | {"DicomCast__ViewerUrl": url}).viewer_url == url
    assert read_settings(ENOUGH).viewer_url == ""


def test_the_systems_of_issuers():
    """By name, as they are written; none by default."""
    given = {
        "DicomCast__AccessionSystem": "urn:oid:1.2",
        "DicomCast__AccessionIssuers": '{"HOSPITAL A": "urn:oid:1.2.3"}',
    }
    settings = read_settings(ENOUGH | given)
    assert (settings.accession_system, settings.accession_issuers) == ("urn:oid:1.2", {"HOSPITAL A": "urn:oid:1.2.3"})
    assert (read_settings(ENOUGH).accession_system, read_settings(ENOUGH).accession_issuers) == ("", {})


@pytest.mark.parametrize(("value", "read"), [("", None), ("{}", {}), ('{"A": "urn:oid:1.2"}', {"A": "urn:oid:1.2"})])
def test_the_systems_of_patients_issuers(value, read):
    """An empty table is not the same as none: with it the qualifiers of issuers are read."""
    assert read_settings(ENOUGH | {"Patient__IssuerSystems": value}).issuer_systems == read


def test_an_offset_may_be_west():
    """ISO 8601."""
    offset = read_settings(ENOUGH | {"DicomCast__DefaultUtcOffset": "-03:30"}).default_offset
    assert offset.utcoffset(None) == -timedelta(hours=3, minutes=30)


def test_the_sample_settings_are_good():
    """What a newcomer copies works."""
    sample = json.loads((Path(__file__).parents[2] / "local.settings.sample.json").read_text(encoding="utf-8"))[
        "Values"
    ]
    assert read_settings(sample).gap_grace_seconds == 2
    known = {setting.name for setting in SETTINGS} | {"FUNCTIONS_WORKER_RUNTIME", "SyncSchedule"}
    assert set(sample) <= known


def test_a_query_of_a_token_endpoint_is_not_shown():
    """It may hold a key; the address itself an operator has to see."""
    name = "Fhir__Authentication__OAuth2UserPasswordCredential__TokenUri"
    for value in ("https://login.example.org/token?p=a-key", "https://login.example.org/token#a-key"):
        assert shown_settings(ENOUGH | USER | {name: value})[name] == "https://login.example.org/token?***"
    assert shown_settings(ENOUGH | USER | {name: "https://x/t"})[name] == "https://x/t"
