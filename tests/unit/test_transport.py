"""The way to a service: its files and its proxy are judged at start, all faults in one message, no content told."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import SettingsError
from shared.settings.config import read_settings, shown_settings
from shared.settings.transport import Transport
from tests.integration.private_network import Authority, key_pem
from tests.unit.test_config import ENOUGH


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths by what stands there."""
    folder = tmp_path_factory.mktemp("files")
    authority = Authority(folder, "ca")
    certificate, key = authority.issued("client")
    other_key = ec.generate_private_key(ec.SECP256R1())
    texts = {
        "other.key": key_pem(other_key),
        "locked.key": key_pem(other_key, serialization.BestAvailableEncryption(b"passphrase")),
        "no.pem": b"the-content",
        "torn.pem": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "crl.pem": authority.revocations(),
    }
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    made = {name: str(folder / name) for name in (*texts, "missing.pem")}
    return made | {"ca": authority.file, "certificate": certificate, "key": key, "folder": str(folder)}


CA, CERTIFICATE, KEY = (f"Fhir__Tls__{name}" for name in ("CaFile", "ClientCertificateFile", "ClientKeyFile"))

# what is given, by the names above; which settings are at fault; what is said of the first
FAULTS = [
    ({CA: "missing.pem"},                           [CA],          "the path of a file that the app can read is expected (No such file or directory)"),
    ({CA: "folder"},                                [CA],          "(Is a directory)"),
    ({CA: "no.pem"},                                [CA],          "a PEM file of CA certificates is expected"),
    ({CA: "torn.pem"},                              [CA],          "a PEM file of CA certificates is expected"),
    ({CA: "crl.pem"},                               [CA],          "a PEM file of CA certificates is expected"),
    ({CA: "key"},                                   [CA],          "a PEM file of CA certificates is expected"),
    ({CERTIFICATE: "missing.pem"},                  [CERTIFICATE], "the path of a file"),
    ({CERTIFICATE: "no.pem", KEY: "key"},           [CERTIFICATE], f"a PEM file of a certificate, and, in {KEY}, the key that belongs to it"),
    ({CERTIFICATE: "certificate"},                  [CERTIFICATE], "a PEM file of a certificate, and the key that belongs to it, are expected"),
    ({CERTIFICATE: "certificate", KEY: "other.key"}, [CERTIFICATE], "the key that belongs to it"),
    ({CERTIFICATE: "certificate", KEY: "locked.key"}, [CERTIFICATE], "the key is encrypted"),
    ({CERTIFICATE: "certificate", KEY: "missing.pem"}, [KEY],      "the path of a file"),
    ({KEY: "key"},                                  [CERTIFICATE], "is missing"),
    ({CA: "no.pem", CERTIFICATE: "no.pem", KEY: "missing.pem"}, [CA, KEY, CERTIFICATE], "a PEM file"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "settings", "said"), FAULTS)
def test_faults_of_files(files, given, settings, said):
    """At start, by name; a file's path and content are not told."""
    with pytest.raises(SettingsError) as caught:
        read_settings(ENOUGH | {name: files[file] for name, file in given.items()})
    assert [fault.split(":")[0].split(" ")[0] for fault in caught.value.faults] == settings
    assert said in caught.value.faults[0]
    assert "the-content" not in str(caught.value)
    assert files["folder"] not in str(caught.value)


def test_the_text_in_place_of_the_path(files):
    """Who gives the key itself does not find it in the log."""
    pem = key_pem(ec.generate_private_key(ec.SECP256R1())).decode()
    with pytest.raises(SettingsError) as caught:
        read_settings(ENOUGH | {CERTIFICATE: files["certificate"], KEY: pem})
    assert KEY in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("proxy:3128", "http://host:port is expected"),
        ("https://proxy:3128", "http://host:port is expected; no other kind"),
        ("socks5://proxy:1080", "http://host:port is expected; no other kind"),
        ("http://proxy:99999", "http://host:port is expected"),
        ("http://proxy:3128/path", "http://host:port is expected"),
        ("http://user:secret@proxy:3128", "without a user or password"),
    ],
)
def test_faults_of_the_proxy(value, said):
    """Named with the others, without its credentials."""
    with pytest.raises(SettingsError) as caught:
        read_settings(ENOUGH | {"DicomWeb__Proxy": value, "Fhir__Tls__CaFile": "/none"})
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["DicomWeb__Proxy", "Fhir__Tls__CaFile"]
    assert said in caught.value.faults[0]
    assert "secret" not in str(caught.value)


def test_each_service_has_its_own_way(files):
    """None where nothing is set; what is set is shown."""
    given = ENOUGH | {"Fhir__Tls__CaFile": files["ca"], CERTIFICATE: files["certificate"], KEY: files["key"]}
    given["DICOMWEB__PROXY"] = "http://proxy:3128/"
    settings = read_settings(given)
    assert settings.dicom_transport == Transport("DicomWeb", proxy="http://proxy:3128")
    assert settings.fhir_transport == Transport("Fhir", files["ca"], files["certificate"], files["key"])
    shown = shown_settings(given)
    assert {name for name in shown if "__Tls__" in name or "Proxy" in name} == {"DicomWeb__Proxy", CA, CERTIFICATE, KEY}


BASIC = {
    "Fhir__Authentication__Enabled": "true",
    "Fhir__Authentication__AuthenticationType": "Basic",
    "Fhir__Authentication__BasicCredential__Username": "sync",
    "Fhir__Authentication__BasicCredential__Password": "the-password",
}


def test_a_password_is_told_to_nobody():
    """Neither by the record nor by the status."""
    settings = read_settings(ENOUGH | BASIC)
    assert settings.fhir_authentication.password == "the-password"
    assert "the-password" not in repr(settings) + repr(shown_settings(ENOUGH | BASIC))


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"Fhir__Endpoint": "http://fhir.hospital.example"}, True),
        ({"Fhir__Endpoint": "http://fhir.hospital.example", "Fhir__Proxy": "http://127.0.0.1:3128"}, True),
        ({"Fhir__Endpoint": "http://127.0.0.1:8080", "Fhir__Proxy": "http://proxy:3128"}, True),
        ({"Fhir__Endpoint": "http://127.0.0.1:8080", "Fhir__Proxy": "http://127.0.0.1:3128"}, False),
        ({"Fhir__Endpoint": "http://127.0.0.1:8080", "DicomWeb__Proxy": "http://proxy:3128"}, False),
        ({"Fhir__Proxy": "http://proxy:3128"}, False),
        ({"Fhir__Endpoint": "http://fhir.hospital.example", "DicomCast__AllowPlainHttp": "true"}, False),
    ],
)
def test_a_password_over_plain_http(given, refused):
    """Refused unless it stays on this machine, the proxy too; the proxy itself sees nothing of https://."""
    try:
        read_settings(ENOUGH | BASIC | given)
        faults = []
    except SettingsError as error:
        faults = error.faults
    assert [fault.split(":")[0] for fault in faults] == ["Fhir__Endpoint"] * refused
