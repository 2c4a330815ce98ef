"""Settings: every fault in one message; names and defaults as the README says."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from shared.config import SETTINGS, read_settings
from shared.errors import SettingsError

ENOUGH = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "DicomWeb__Endpoint": "https://dicom.example.org/",
    "Fhir__Endpoint": "https://fhir.example.org",
}


def test_what_is_enough():
    """Everything else has a default; a slash at a URL's end does not matter."""
    settings = read_settings(ENOUGH)
    assert settings.dicom_url == "https://dicom.example.org"
    assert (settings.batch_size, settings.gap_grace_seconds, settings.lease_seconds) == (2000, 30, 30)
    assert (settings.dicom_api_version, settings.patient_system) == ("v1", "")


def test_names_are_matched_in_any_case():
    """As the Functions host does on Windows, and .NET's configuration everywhere."""
    assert read_settings({name.upper(): value for name, value in ENOUGH.items()}).fhir_url


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
    ],
)
def test_a_malformed_value(name, value, said):
    """The message names the setting and what is expected."""
    with pytest.raises(SettingsError) as caught:
        read_settings(ENOUGH | {name: value})
    (fault,) = caught.value.faults
    assert fault.startswith(name)
    assert said in fault


def test_an_offset_may_be_west():
    """ISO 8601."""
    offset = read_settings(ENOUGH | {"DicomCast__DefaultUtcOffset": "-03:30"}).default_offset
    assert offset.utcoffset(None) == -timedelta(hours=3, minutes=30)


def test_the_sample_settings_are_good():
    """What a newcomer copies works."""
    sample = json.loads((Path(__file__).parents[2] / "local.settings.sample.json").read_text())["Values"]
    assert read_settings(sample).gap_grace_seconds == 2
    known = {setting.name for setting in SETTINGS} | {"FUNCTIONS_WORKER_RUNTIME", "SyncSchedule"}
    assert set(sample) <= known
