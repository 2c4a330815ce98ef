"""What the app of the local stack is told over a settings file."""

import json

import pytest

from local.processes import StackError
from local.stack import PortNumbers, Stack, StackOptions
from shared.settings.config import read_settings

OF_A_HOSPITAL = {
    "AzureWebJobsStorage__accountName": "hospital",
    "AzureWebJobsStorage__blobServiceUri": "https://hospital.blob.core.windows.net",
    "AzureWebJobsStorage__tableServiceUri": "https://hospital.table.core.windows.net",
    "DicomWeb__Endpoint": "https://dicom.hospital.example",
    "DicomWeb__PrivateEndpoint": "https://dicom.private.example",
    "DicomWeb__Authentication__Enabled": "true",
    "DicomWeb__Tls__CaFile": "/hospital.pem",
    "FHIR__ENDPOINT": "https://fhir.hospital.example",
    "Fhir__Authentication__Enabled": "true",
    "Fhir__Authentication__AuthenticationType": "Basic",
    "Fhir__Authentication__BasicCredential__Username": "ada",
    "Fhir__Authentication__BasicCredential__Password": "secret",
    "Fhir__Proxy": "http://proxy.hospital.example:3128",
}
OWN = {"TableStore__TableNamePrefix": "mine", "DicomCast__BatchSize": "7"}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The app's settings for a file, an environment and a FHIR server of the command line."""

    def read(file, environment=None, fhir_url=None):
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        (tmp_path / "settings.json").write_text(json.dumps({"Values": file}))
        options = StackOptions(PortNumbers(), tmp_path, settings_file=tmp_path / "settings.json", fhir_url=fhir_url)
        given = (environment or {}) | Stack(options).overriding_settings()
        before = {name.lower() for name in given}
        return read_settings(given | {name: value for name, value in file.items() if name.lower() not in before})

    return read


@pytest.mark.parametrize("in_environment", [False, True])
def test_the_local_parts_are_used_whatever_the_settings_say(told, in_environment):
    """What is tried on one machine is written to nobody's FHIR server, and no token goes anywhere; all else is the file's."""
    settings = told(OWN, OF_A_HOSPITAL) if in_environment else told(OWN | OF_A_HOSPITAL)
    urls = (settings.dicom_url, settings.dicom_private_url, settings.fhir_url)
    assert urls == ("http://127.0.0.1:7072", None, "http://127.0.0.1:7073/fhir")
    assert "hospital" not in repr(settings)
    assert settings.storage_connection == Stack(StackOptions(PortNumbers(), None)).storage_connection
    assert (settings.table_name_prefix, settings.batch_size) == ("mine", 7)
    assert (settings.dicom_authentication, settings.fhir_authentication) == (None, None)


def test_a_named_fhir_server_is_reached_as_the_file_says(told):
    """Its password and its proxy; DICOM and storage are the stack's own all the same."""
    settings = told(OF_A_HOSPITAL, fhir_url="https://test.hospital.example/fhir")
    assert (settings.fhir_url, settings.dicom_url) == ("https://test.hospital.example/fhir", "http://127.0.0.1:7072")
    assert settings.fhir_authentication is not None
    assert settings.dicom_authentication is None
    assert "proxy.hospital.example" in repr(settings.fhir_transport)
    assert "proxy.hospital.example" not in repr(settings.dicom_transport)


def test_a_file_that_cannot_be_read_is_a_message(tmp_path):
    """For the person at the terminal."""
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(StackError, match="is not JSON"):
        Stack(StackOptions(PortNumbers(), tmp_path, settings_file=tmp_path / "settings.json")).overriding_settings()
